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
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>

#include "relay.h"
#include "parse.h"
#include "stun.h"
#include "siphash.h"
#include "rewrite.h"
#include "maps.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */
#define AF_INET 2
#define AF_INET6 10

/*
 * Keep a variable on the stack. The compiler would split it into registers, of which there are few,
 * and every way through the program would copy each of its fields where the ways meet.
 */
#define KEEP_IN_MEMORY(variable) asm volatile("" : : "r"(&(variable)) : "memory")

/* Whether a rate limit lets one more packet pass: its token bucket holds time, not tokens. */
static __always_inline bool take_token(__u32 which)
{
	struct rate_limit *limit = rate_limits.lookup(&which);
	struct token_bucket *bucket = token_buckets.lookup(&which);
	__u64 now, credit;

	if (!limit || !bucket)
		return false;
	/* The coarse clock is a read of memory; buckets last for many of its ticks. */
	now = bpf_ktime_get_coarse_ns();
	credit = bucket->credit_ns + (now - bucket->updated_ns);
	if (credit > limit->burst_ns)
		credit = limit->burst_ns;
	bucket->updated_ns = now;
	if (credit < limit->cost_ns) {
		bucket->credit_ns = credit;
		return false;
	}
	bucket->credit_ns = credit - limit->cost_ns;
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
	if (!take_token(LIMIT_STUN_ROUTED))
		return REASON_stun_routed_limited;
	return state ? REASON_stun_other_route : REASON_stun_routed;
}

/* The way out that the FIB's answer names, or NULL. */
static __always_inline struct tx_port *find_tx_port(__u32 fib_ifindex)
{
	for (__u32 i = 0; i < MAX_TX_PORTS; i++) {
		__u32 index = i;
		struct tx_port *port = tx_ports.lookup(&index);

		if (!port || !port->fib_ifindex)
			return NULL;
		if (port->fib_ifindex == fib_ifindex)
			return port;
	}
	return NULL;
}

/* Whether a VLAN of this host's lies above the interface that a tagged frame came in through. */
static __always_inline bool is_our_vlan(__u32 ifindex, __be16 vlan)
{
	for (__u32 i = 0; i < MAX_TX_PORTS; i++) {
		__u32 index = i;
		struct tx_port *port = tx_ports.lookup(&index);

		if (!port || !port->fib_ifindex)
			return false;
		if (port->ifindex == ifindex && port->vlan == vlan)
			return true;
	}
	return false;
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
		.l4_protocol = IPPROTO_UDP,
		.ifindex = LOOPBACK_IFINDEX,
	};
	struct tx_port *port;

	if (plan->narrow) {
		fib.family = AF_INET;
		fib.ipv4_src = plan->narrow->src;
		fib.ipv4_dst = plan->narrow->dst;
		fib.sport = plan->narrow->src_port;
		fib.dport = plan->narrow->dst_port;
	} else {
		fib.family = plan->to_ip6 ? AF_INET6 : AF_INET;
		if (plan->to_ip6) {
			__builtin_memcpy(fib.ipv6_src, &plan->wide->src, sizeof(fib.ipv6_src));
			__builtin_memcpy(fib.ipv6_dst, &plan->wide->dst, sizeof(fib.ipv6_dst));
		} else {
			fib.ipv4_src = plan->wide->src.word[3];
			fib.ipv4_dst = plan->wide->dst.word[3];
		}
		fib.sport = plan->wide->src_port;
		fib.dport = plan->wide->dst_port;
	}
	/* tos and flowinfo share a place before the lookup; the kernel masks ECN by itself. */
	if (plan->to_ip6)
		fib.flowinfo = bpf_htonl(packet->tos << 20);
	else
		fib.tos = packet->tos;
	fib.tot_len = ip_header_size(plan->to_ip6) + packet->ip_payload_length;

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
	port = find_tx_port(fib.ifindex);
	if (!port)
		return REASON_foreign_interface;
	plan->ifindex = port->ifindex;
	plan->vlan = port->vlan;
	__builtin_memcpy(plan->source_mac, fib.smac, ETH_ALEN);
	__builtin_memcpy(plan->destination_mac, fib.dmac, ETH_ALEN);
	return REASON_NONE;
}

/*
 * Move the start of the frame to where its new headers will begin. This is the last thing that
 * can fail, and it fails before anything is written. It invalidates all pointers into the frame.
 */
static __always_inline enum reason make_room(struct xdp_md *ctx, const struct packet *packet,
					     const struct plan *plan)
{
	int before = (packet->vlan ? sizeof(struct vlan_tag) : 0) + ip_header_size(plan->from_ip6);
	int after = (plan->vlan ? sizeof(struct vlan_tag) : 0) + ip_header_size(plan->to_ip6);

	if (before == after)
		return REASON_NONE;
	return bpf_xdp_adjust_head(ctx, before - after) ? REASON_no_headroom : REASON_NONE;
}

/* What of a confirmed flow can be forwarded from here. */
static __always_inline enum reason decide_flow(struct xdp_md *ctx, const struct packet *packet,
					       struct plan *plan)
{
	bool to_transceiver = plan->state->direction == TO_TRANSCEIVER;
	enum reason reason;

	plan->from_ip6 = packet->is_ip6;
	plan->to_ip6 = plan->wide && !is_ip4(&plan->wide->dst);
	plan->payload_length = packet->payload_length;
	if (packet->ip_options)
		return REASON_ip_options;
	if (packet->ttl <= 1)
		return REASON_ttl_expired;
	if (plan->from_ip6 != plan->to_ip6) {
		/* IPv6 has no UDP without a checksum; that of a whole payload is the kernel's. */
		if (!packet->udp->check)
			return REASON_needs_checksum;
		if (!packet->is_ip6 && !is_intact(packet->ip))
			return REASON_malformed;
		plan->translation = (struct translation){
			.sum = checksum_without_addresses(packet),
			.ip_payload_length = packet->ip_payload_length,
			.ttl = packet->ttl,
			.tos = packet->tos,
		};
	}
	reason = find_hop(ctx, packet, plan);
	if (reason == REASON_NONE)
		reason = make_room(ctx, packet, plan);
	if (reason != REASON_NONE)
		return reason;
	return to_transceiver ? REASON_forwarded_to_transceiver : REASON_forwarded_to_client;
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
		return take_token(LIMIT_STUN_ANSWER) ? REASON_stun_answer :
						     REASON_stun_answer_limited;
	case CONTENT_DTLS_OR_RTP:
		/* A share of them lets the agent recover a flow that it has lost. */
		if (take_token(to_client ? LIMIT_UNKNOWN_TRANSCEIVER : LIMIT_UNKNOWN_CLIENT))
			return to_client ? REASON_unknown_transceiver : REASON_unknown_client;
		return to_client ? REASON_unknown_transceiver_limited :
				   REASON_unknown_client_limited;
	default:
		return REASON_not_webrtc;
	}
}

/* Which way a packet would go by its destination; 0 when that is none of the relay's. */
static __always_inline enum direction find_direction(const struct tuple *tuple)
{
	struct vip vip = { .addr = tuple->dst, .port = tuple->dst_port };
	__u16 port = bpf_ntohs(tuple->dst_port);
	struct port_range *range;

	if (vips.lookup(&vip))
		return TO_TRANSCEIVER;
	range = upstreams.lookup(&vip.addr);
	return range && port >= range->first && port <= range->last ? TO_CLIENT : 0;
}

/*
 * What the network stack has to unwrap before anybody can read it. Of that, as much as is the
 * relay's goes up at a limited rate. Fragments after the first have no port; without the first,
 * they come to nothing.
 */
static __always_inline enum reason decide_wrapped(const struct packet *packet, enum reason reason)
{
	struct ipv6hdr *ip6 = packet->ip;
	struct iphdr *ip4 = packet->ip;
	struct tuple tuple = {};

	if (packet->udp) {
		if (packet->is_ip6)
			__builtin_memcpy(&tuple.dst, &ip6->daddr, sizeof(tuple.dst));
		else
			tuple.dst = map_ip4(ip4->daddr);
		tuple.dst_port = packet->udp->dest;
		if (!find_direction(&tuple))
			return reason;
	} else if (!packet->unreadable) {
		return reason;
	}
	if (take_token(LIMIT_WRAPPED))
		return reason;
	return reason == REASON_fragment ? REASON_fragment_limited :
					   REASON_extension_headers_limited;
}

/* The direction of a packet's flow, or of its destination; `plan` has the flow, if there is one. */
static __always_inline enum direction find_flow(const struct packet *packet, struct plan *plan)
{
	struct tuple tuple = {
		.src_port = packet->udp->source,
		.dst_port = packet->udp->dest,
	};
	struct ipv6hdr *ip6 = packet->ip;
	struct iphdr *ip4 = packet->ip;
	struct flow *flow;

	if (packet->is_ip6) {
		__builtin_memcpy(&tuple.src, &ip6->saddr, sizeof(tuple.src));
		__builtin_memcpy(&tuple.dst, &ip6->daddr, sizeof(tuple.dst));
	} else {
		struct tuple4 tuple4 = {
			.src = ip4->saddr,
			.dst = ip4->daddr,
			.src_port = packet->udp->source,
			.dst_port = packet->udp->dest,
		};
		struct flow4 *flow4 = flows4.lookup(&tuple4);

		if (flow4) {
			plan->state = &flow4->state;
			plan->narrow = &flow4->rewrite;
			return flow4->state.direction;
		}
		tuple.src = map_ip4(ip4->saddr);
		tuple.dst = map_ip4(ip4->daddr);
	}
	flow = flows.lookup(&tuple);
	if (flow) {
		plan->state = &flow->state;
		plan->wide = &flow->rewrite;
		return flow->state.direction;
	}
	return find_direction(&tuple);
}

/* The reason that a frame leaves the program for; when that is to forward, `plan` is complete. */
static __always_inline enum reason decide(struct xdp_md *ctx, struct plan *plan)
{
	struct packet packet = {};
	enum direction direction;
	enum reason reason;

	reason = parse_frame((void *)(long)ctx->data, (void *)(long)ctx->data_end, &packet);
	if (reason == REASON_fragment || reason == REASON_extension_headers)
		return decide_wrapped(&packet, reason);
	if (reason != REASON_NONE)
		return reason;
	if (packet.vlan && !is_our_vlan(ctx->ingress_ifindex, packet.vlan))
		return REASON_vlan_unknown;
	direction = find_flow(&packet, plan);
	if (!direction)
		return REASON_not_ours;
	if (packet.is_ip6 && !packet.udp->check)
		return REASON_zero_checksum; /* RFC 8200, section 8.1 */
	if (direction == TO_TRANSCEIVER && is_binding_request(&packet)) {
		reason = decide_request(&packet, plan->state);
		if (reason != REASON_NONE)
			return reason;
	}
	if (plan->state)
		return decide_flow(ctx, &packet, plan);
	return decide_unknown(&packet, direction);
}

/* Note when a flow was last seen. Ticks are a read of memory; the clock costs a call. */
static __always_inline void note_time(struct flow_state *state)
{
	__u16 tick = bpf_jiffies64() >> SEEN_TICK_SHIFT;

	if (tick == state->seen_tick && state->last_seen_ns)
		return;
	state->seen_tick = tick;
	state->last_seen_ns = bpf_ktime_get_coarse_ns();
}

/* Carry a plan out. */
static __always_inline int forward(struct xdp_md *ctx, const struct plan *plan)
{
	struct cursor frame = {
		.at = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct flow_state *state = plan->state;
	struct vlan_tag *tag = NULL;
	struct ethhdr *eth;

	/* Packets of one flow may meet on two processors while a NIC's queues are re-assigned. */
	__sync_fetch_and_add(&state->packets, 1);
	__sync_fetch_and_add(&state->bytes, plan->payload_length);
	note_time(state);

	eth = cursor_take(&frame, sizeof(*eth));
	if (plan->vlan)
		tag = cursor_take(&frame, sizeof(*tag));
	if (!eth || (plan->vlan && !tag) || !write_packet(&frame, plan))
		return XDP_ABORTED; /* never: make_room() saw to it, but the verifier did not */
	write_ethernet(eth, tag, plan);
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
	struct plan plan = {};
	__u32 only = 0;
	struct counters *counted = counters.lookup(&only);
	enum reason reason;

	KEEP_IN_MEMORY(plan);
	reason = decide(ctx, &plan);
	if (!counted || reason >= REASON_COUNT)
		return XDP_ABORTED; /* never: the verifier cannot know */
	((__u64 *)counted)[reason]++; /* XDP runs undisturbed on its processor */

	if (1ULL << reason & REASONS_OF(FORWARD))
		return forward(ctx, &plan);
	if (1ULL << reason & REASONS_OF(DROP))
		return XDP_DROP;
	return XDP_PASS;
}

/* Runs in the place of relay() while the agent is to forward everything itself. */
int pass_all(struct xdp_md *ctx)
{
	return XDP_PASS;
}
