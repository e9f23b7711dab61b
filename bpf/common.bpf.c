/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs for rarer packets have in common: whose a packet is, the limits of what may
 * reach the agent, and the verdict of each reason. It uses maps, so it is no header: the loader
 * hands BCC all files of programs as one text, because they share maps.
 */

/* So often another processor may take from a bucket at the same moment before one gives up. */
#define TAKE_TRIES 4

/*
 * Whether a token bucket has one more. It holds time, not tokens: how long it still takes to be full.
 * All processors share it, at no cost in a flood: who gets nothing only reads it, and no more
 * write to it than it lets through.
 */
static __always_inline bool take_from(struct token_bucket *bucket, enum rate_limited which)
{
	__u32 index = which;
	struct rate_limit *limit = rate_limits.lookup(&index);
	__u64 now, seen, full_at;

	if (!limit || !bucket)
		return false;
	/* The coarse clock is a read of memory; buckets last for many of its ticks. */
	now = bpf_ktime_get_coarse_ns();
#pragma unroll
	for (int i = 0; i < TAKE_TRIES; i++) {
		seen = *(volatile __u64 *)&bucket->full_at_ns;
		full_at = (seen > now ? seen : now) + limit->cost_ns;
		if (full_at > now + limit->burst_ns)
			return false;
		if (__sync_val_compare_and_swap(&bucket->full_at_ns, seen, full_at) == seen)
			return true;
	}
	return false;
}

/* Whether what has one bucket for all may pass once more. */
static __always_inline bool take_token(enum rate_limited which)
{
	__u32 index = which;

	return take_from(token_buckets.lookup(&index), which);
}

/* Whether a VLAN of this host's lies above the interface that a tagged frame came in through. */
static __always_inline bool is_our_vlan(__u32 ifindex, __be16 vlan)
{
	struct own_vlan own = { .ifindex = ifindex, .vlan = vlan };

	return own_vlans.lookup(&own);
}

/* Whether new flows may come to a destination: to a VIP, or to a port of an upstream address. */
static __always_inline bool is_vip(const struct tuple *tuple)
{
	struct vip *vip;
	__u32 number;

	if (!find_own(OWN_VIP, &tuple->dst, tuple->dst_port, &number))
		return false;
	vip = own_vips.lookup(&number);
	return vip && vip->own == OWN_CURRENT && vip->port == tuple->dst_port &&
	       is_same(&vip->addr, &tuple->dst, true);
}

static __always_inline bool is_upstream(const struct address *address, __u16 port)
{
	struct upstream *upstream = find_upstream(address, true);

	return upstream && upstream->own == OWN_CURRENT && port >= upstream->first &&
	       port <= upstream->last;
}

/* Which way a packet would go by its destination; 0 when that is none of the relay's. */
static __always_inline enum direction find_direction(const struct tuple *tuple)
{
	if (is_vip(tuple))
		return TO_TRANSCEIVER;
	return is_upstream(&tuple->dst, bpf_ntohs(tuple->dst_port)) ? TO_CLIENT : 0;
}

/* Source and destination of a packet of either family. */
static __always_inline void read_tuple(const struct packet *packet, struct tuple *tuple)
{
	struct ipv6hdr *ip6 = packet->ip;
	struct iphdr *ip4 = packet->ip;

	tuple->src_port = packet->udp->source;
	tuple->dst_port = packet->udp->dest;
	if (packet->is_ip6) {
		__builtin_memcpy(&tuple->src, &ip6->saddr, sizeof(tuple->src));
		__builtin_memcpy(&tuple->dst, &ip6->daddr, sizeof(tuple->dst));
	} else {
		tuple->src = map_ip4(ip4->saddr);
		tuple->dst = map_ip4(ip4->daddr);
	}
}

/* The flow of a packet of either family. */
static __always_inline void find_flow_of(const struct packet *packet, struct found *found)
{
	struct tuple tuple;

	read_tuple(packet, &tuple);
	find_any_flow(&tuple, packet->is_ip6, found);
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
