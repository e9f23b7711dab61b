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
	find_flow(&tuple, packet->is_ip6, found);
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
