/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs for rarer packets have in common: whose a packet is, the limits of what may
 * reach the agent, and the verdict of each reason. It uses maps, so it is no header: the loader
 * hands BCC all files of programs as one text, because they share maps.
 */

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

/* A confirmed flow's entry. */
struct found {
	struct flow_state *state;    /* NULL: there is none */
	const struct tuple4 *narrow; /* what to rewrite to: one of these two, the other is NULL */
	const struct tuple *wide;
	__u32 *binding;
};

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

/* The direction of a packet's flow, or of its destination; `found` has the flow, if there is one. */
static __always_inline enum direction find_flow(const struct packet *packet, struct found *found)
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
			found->state = &flow4->state;
			found->narrow = &flow4->rewrite;
			found->binding = &flow4->binding;
			return flow4->state.direction;
		}
		tuple.src = map_ip4(ip4->saddr);
		tuple.dst = map_ip4(ip4->daddr);
	}
	flow = flows.lookup(&tuple);
	if (flow) {
		found->state = &flow->state;
		found->wide = &flow->rewrite;
		found->binding = &flow->binding;
		return flow->state.direction;
	}
	return find_direction(&tuple);
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

/* Count a packet under its reason; false never, but the verifier cannot know. */
static __always_inline bool count(enum reason reason)
{
	__u32 only = 0;
	struct counters *counted = counters.lookup(&only);

	if (!counted || reason >= REASON_COUNT)
		return false;
	((__u64 *)counted)[reason]++; /* XDP runs undisturbed on its processor */
	return true;
}

/* The verdict of a reason that forwards nothing, which is counted. */
static __always_inline int conclude(enum reason reason)
{
	if (!count(reason))
		return XDP_ABORTED;
	return 1ULL << reason & REASONS_OF(DROP) ? XDP_DROP : XDP_PASS;
}

/*
 * Read the frame that a program is run on. Where frames are large, a driver may hand over its first
 * buffer alone: no packet of WebRTC is so large, and the network stack has all of it.
 */
static __always_inline enum reason parse(struct xdp_md *ctx, struct packet *packet)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	enum reason reason = parse_frame(data, end, packet);

	if (reason == REASON_malformed && bpf_xdp_get_buff_len(ctx) > end - data)
		return REASON_many_buffers;
	return reason;
}
