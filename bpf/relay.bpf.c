/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Icelane's kernel path: packets of confirmed flows are rewritten and sent on from here; the rest
 * goes up to the agent, past it to this host's own services, or nowhere.
 *
 * The program decides in full before it writes, so that whatever goes up is unmodified:
 *
 *	decide()	reads frame, maps and FIB; says the reason, and fills a plan to forward by
 *	forward()	carries the plan out; nothing in it can fail
 *	relay()		turns the reason into the verdict and counts it, the only place that does
 *
 * It is built by BCC, which creates the maps and pins them where ICELANE_PINS says.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>

#include "relay.h"
#include "parse.h"
#include "checksum.h"
#include "siphash.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */
#define AF_INET 2

/*
 * Confirmed flows, two entries each. They are plain hashes: a flood of anything cannot evict a
 * flow, and when a map is full the agent hears of it.
 */
BPF_TABLE_PINNED("hash", struct tuple4, struct flow4, flows4, 2 * ICELANE_MAX_FLOWS,
		 ICELANE_PINS "/flows4");

/* The relay's own addresses; the agent writes them, the program decides by them on a miss. */
BPF_TABLE_PINNED("hash", struct vip, __u32, vips, 64, ICELANE_PINS "/vips");
BPF_TABLE_PINNED("hash", struct address, struct port_range, upstreams, 64,
		 ICELANE_PINS "/upstreams");
BPF_TABLE_PINNED("hash", struct route_key_id, struct siphash_key, route_keys, 4096,
		 ICELANE_PINS "/route_keys");

/* Interfaces that run this program, by index: those that packets may leave through. */
BPF_TABLE_PINNED("hash", __u32, struct port, ports, 64, ICELANE_PINS "/ports");

BPF_TABLE_PINNED("array", __u32, struct gate_limit, gate_limits, GATE_COUNT,
		 ICELANE_PINS "/gate_limits");
BPF_TABLE_PINNED("percpu_array", __u32, struct gate_state, gates, GATE_COUNT,
		 ICELANE_PINS "/gates");

BPF_TABLE_PINNED("percpu_array", __u32, struct counters, counters, 1, ICELANE_PINS "/counters");

/* What forward() needs to know. */
struct plan {
	struct flow_state *state;
	struct tuple4 rewrite;
	__u32 ifindex;
	__u8 source_mac[ETH_ALEN];
	__u8 destination_mac[ETH_ALEN];
};

/* Whether one more packet may pass a gate: a token bucket, kept in time rather than in tokens. */
static __always_inline bool pass_gate(__u32 gate)
{
	struct gate_limit *limit = gate_limits.lookup(&gate);
	struct gate_state *state = gates.lookup(&gate);
	__u64 now, credit;

	if (!limit || !state)
		return false;
	/* The coarse clock costs a tenth of the exact one; buckets last for many of its ticks. */
	now = bpf_ktime_get_coarse_ns();
	credit = state->credit_ns + (now - state->updated_ns);
	if (credit > limit->burst_ns)
		credit = limit->burst_ns;
	state->updated_ns = now;
	if (credit < limit->cost_ns) {
		state->credit_ns = credit;
		return false;
	}
	state->credit_ns = credit - limit->cost_ns;
	return true;
}

/* A verdict on the tag of a route; REASON_NONE when one of the relay's keys made it. */
static __always_inline enum reason verify_route(const struct route *route)
{
	struct route_key_id id = {
		.cluster = route_cluster(route),
		.slot = route_key_slot(route),
	};
	struct siphash_key *key = route_keys.lookup(&id);

	if (!key)
		return REASON_stun_unknown_key;
	if (siphash24_two_words(le64_to_cpu(key->secret[0]), le64_to_cpu(key->secret[1]), route->head,
				route->tail, ROUTE_SIGNED_SIZE) != route->tag)
		return REASON_stun_forged;
	return REASON_NONE;
}

/*
 * A client's Binding request, whose USERNAME may hold a route; `state` is its flow's, or NULL.
 *
 * On a confirmed flow, one that names another transceiver or generation than the flow's belongs
 * to a new session, and the agent routes it by its ufrag. All others follow the flow, whose
 * transceiver knows best what to make of them: REASON_NONE.
 */
static __always_inline enum reason decide_request(const struct packet *packet,
						  const struct flow_state *state)
{
	struct route route;
	enum reason reason;

	if (!parse_route(packet, &route))
		return state ? REASON_NONE : REASON_stun_no_route;
	if (state && !((route.head ^ le64_to_cpu(*(__le64 *)state->route)) & ROUTE_TARGET))
		return REASON_NONE;
	reason = verify_route(&route);
	if (reason != REASON_NONE)
		return reason;
	if (!pass_gate(GATE_STUN_ROUTED))
		return REASON_stun_routed_limited;
	return state ? REASON_stun_other_route : REASON_stun_routed;
}

/*
 * Where the rewritten packet goes. The relay is its sender, so this asks what a local socket's
 * packet would be told: the FIB's rules for input from the loopback interface, which is how the
 * kernel itself looks up the route of local output. That also leaves the forwarding switch of
 * the public interfaces alone; only the loopback's has to be on.
 */
static __always_inline enum reason find_hop(struct xdp_md *ctx, const struct packet *packet,
					    struct plan *plan)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = IPPROTO_UDP,
		.sport = plan->rewrite.src_port,
		.dport = plan->rewrite.dst_port,
		.tot_len = bpf_ntohs(packet->ip4->tot_len),
		.ifindex = LOOPBACK_IFINDEX,
		.tos = packet->ip4->tos,
		.ipv4_src = plan->rewrite.src,
		.ipv4_dst = plan->rewrite.dst,
	};
	struct port *port;

	switch (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		/* The agent's own packet to there makes the kernel ask for the neighbour. */
		return REASON_no_neighbour;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return REASON_too_big;
	default:
		/* Negative for bad arguments, else unreachable, not forwarded, no forwarding. */
		return REASON_no_route;
	}
	port = ports.lookup(&fib.ifindex);
	if (!port)
		return REASON_foreign_interface;
	plan->ifindex = port->ifindex;
	__builtin_memcpy(plan->source_mac, fib.smac, ETH_ALEN);
	__builtin_memcpy(plan->destination_mac, fib.dmac, ETH_ALEN);
	return REASON_NONE;
}

/* What of a confirmed flow can be forwarded from here. */
static __always_inline enum reason decide_flow(struct xdp_md *ctx, const struct packet *packet,
					       struct plan *plan)
{
	enum reason reason;

	if (packet->ip_options)
		return REASON_ip_options;
	if (packet->ip4->ttl <= 1)
		return REASON_ttl_expired;
	reason = find_hop(ctx, packet, plan);
	if (reason != REASON_NONE)
		return reason;
	return plan->state->direction == TO_TRANSCEIVER ? REASON_forwarded_to_transceiver :
							  REASON_forwarded_to_client;
}

/* What is of no confirmed flow, Binding requests of clients apart. */
static __always_inline enum reason decide_unknown(const struct packet *packet,
						  enum direction direction)
{
	bool to_client = direction == TO_CLIENT;

	switch (classify(packet)) {
	case CONTENT_STUN:
		if (!parse_stun(packet))
			return REASON_stun_malformed;
		if (!to_client)
			return REASON_stun_not_request;
		return pass_gate(GATE_STUN_ANSWER) ? REASON_stun_answer :
						     REASON_stun_answer_limited;
	case CONTENT_DTLS_OR_RTP:
		/* A share of them lets the agent recover a flow that it has lost. */
		if (pass_gate(to_client ? GATE_UNKNOWN_TRANSCEIVER : GATE_UNKNOWN_CLIENT))
			return to_client ? REASON_unknown_transceiver : REASON_unknown_client;
		return to_client ? REASON_unknown_transceiver_limited :
				   REASON_unknown_client_limited;
	default:
		return REASON_not_webrtc;
	}
}

/* Which way a packet would go by its destination; 0 when that is none of the relay's. */
static __always_inline enum direction find_direction(const struct packet *packet)
{
	struct vip vip = {
		.addr.word = { 0, 0, bpf_htonl(0xffff), packet->ip4->daddr },
		.port = packet->udp->dest,
	};
	__u16 port = bpf_ntohs(packet->udp->dest);
	struct port_range *range;

	if (vips.lookup(&vip))
		return TO_TRANSCEIVER;
	range = upstreams.lookup(&vip.addr);
	return range && port >= range->first && port <= range->last ? TO_CLIENT : 0;
}

static __always_inline struct flow_state *find_flow(const struct packet *packet, struct plan *plan)
{
	struct tuple4 tuple = {
		.src = packet->ip4->saddr,
		.dst = packet->ip4->daddr,
		.src_port = packet->udp->source,
		.dst_port = packet->udp->dest,
	};
	struct flow4 *flow = flows4.lookup(&tuple);

	if (!flow)
		return NULL;
	plan->rewrite = flow->rewrite;
	return &flow->state;
}

/* The reason that a frame leaves the program for; when that is to forward, `plan` is complete. */
static __always_inline enum reason decide(struct xdp_md *ctx, struct packet *packet,
					  struct plan *plan)
{
	enum direction direction;
	enum reason reason;

	reason = parse_frame((void *)(long)ctx->data, (void *)(long)ctx->data_end, packet);
	if (reason != REASON_NONE)
		return reason;
	plan->state = find_flow(packet, plan);
	direction = plan->state ? plan->state->direction : find_direction(packet);
	if (!direction)
		return REASON_not_ours;
	if (direction == TO_TRANSCEIVER && is_binding_request(packet)) {
		reason = decide_request(packet, plan->state);
		if (reason != REASON_NONE)
			return reason;
	}
	if (plan->state)
		return decide_flow(ctx, packet, plan);
	return decide_unknown(packet, direction);
}

/*
 * Rewrite in place. DSCP and ECN stay as they are, a congestion mark included. The TTL shares its
 * 16-bit word of the checksum with the protocol, above it: one less is 0x0100 less.
 */
static __always_inline void rewrite_ip4(const struct packet *packet, const struct tuple4 *to)
{
	struct udphdr *udp = packet->udp;
	struct iphdr *ip = packet->ip4;
	__be16 *ttl_word = (__be16 *)&ip->ttl;
	__be16 old_ttl_word = *ttl_word;
	__u64 addresses = 0, ports = 0;

	addresses = checksum_replace32(addresses, ip->saddr, to->src);
	addresses = checksum_replace32(addresses, ip->daddr, to->dst);
	ports = checksum_replace16(addresses, udp->source, to->src_port);
	ports = checksum_replace16(ports, udp->dest, to->dst_port);
	ip->ttl--;
	ip->check = checksum_update(ip->check,
				    checksum_replace16(addresses, old_ttl_word, *ttl_word));
	udp->check = checksum_update_udp(udp->check, ports);
	ip->saddr = to->src;
	ip->daddr = to->dst;
	udp->source = to->src_port;
	udp->dest = to->dst_port;
}

/* Carry a plan out. */
static __always_inline int forward(struct xdp_md *ctx, const struct packet *packet,
				   const struct plan *plan)
{
	struct flow_state *state = plan->state;

	/* Packets of one flow may meet on two processors while a NIC's queues are re-assigned. */
	__sync_fetch_and_add(&state->packets, 1);
	__sync_fetch_and_add(&state->bytes, packet->payload_length);
	state->last_seen_ns = bpf_ktime_get_coarse_ns();

	__builtin_memcpy(packet->eth->h_dest, plan->destination_mac, ETH_ALEN);
	__builtin_memcpy(packet->eth->h_source, plan->source_mac, ETH_ALEN);
	rewrite_ip4(packet, &plan->rewrite);
	if (plan->ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect(plan->ifindex, 0);
}

enum verdict {
	VERDICT_PASS,
	VERDICT_DROP,
	VERDICT_FORWARD,
};

/* The reasons of a verdict, as a bit set: a table would be global data, which BCC has none of. */
#define REASONS_OF(wanted) (0ULL ICELANE_REASONS(REASONS_OF_##wanted))
#define REASONS_OF_DROP(name, verdict) | (__u64)(VERDICT_##verdict == VERDICT_DROP) << REASON_##name
#define REASONS_OF_FORWARD(name, verdict)                                                          \
	| (__u64)(VERDICT_##verdict == VERDICT_FORWARD) << REASON_##name
_Static_assert(REASON_COUNT <= 64, "reasons fit a set");

int relay(struct xdp_md *ctx)
{
	struct packet packet = {};
	struct plan plan = {};
	enum reason reason = decide(ctx, &packet, &plan);
	__u32 only = 0;
	struct counters *counted = counters.lookup(&only);

	if (!counted || reason >= REASON_COUNT)
		return XDP_ABORTED; /* never: the verifier cannot know */
	((__u64 *)counted)[reason]++; /* XDP runs undisturbed on its processor */

	if (1ULL << reason & REASONS_OF(FORWARD))
		return forward(ctx, &packet, &plan);
	if (1ULL << reason & REASONS_OF(DROP))
		return XDP_DROP;
	return XDP_PASS;
}
