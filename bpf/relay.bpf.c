/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Icelane's kernel path: packets of confirmed flows are rewritten and sent on from here; the rest
 * goes up to the agent, past it to this host's own services, or nowhere.
 *
 * This file has what nearly every packet meets, the media of a confirmed flow: plain headers, a
 * first byte of DTLS or RTP, and a next hop that is known. It is small, asks no helper but for
 * maps and the redirect, and leaves everything else, untouched, to relay_triage().
 */
#define LOOPBACK_IFINDEX 1 /* in every network namespace */
#define AF_INET 2
#define AF_INET6 10

#define DSCP_MASK 0xfc

#define NO_VERDICT -1 /* another program has it */

/* Whether a first byte is of DTLS or RTP (RFC 7983, section 7). */
static __always_inline bool is_media(__u8 first)
{
	return (__u8)(first - 128) < 64 || (__u8)(first - 20) < 44;
}

/* What is known of an interface, and in which slot; NULL when nothing is. */
static __always_inline struct ingress *find_interface(__u32 ifindex, __u32 *slot)
{
#pragma nounroll
	for (__u32 i = 0; i < INGRESS_PROBES; i++) {
		__u32 index = (ifindex + i) % INGRESSES;
		struct ingress *ingress = ingresses.lookup(&index);

		*slot = index;
		if (!ingress || !ingress->ifindex)
			return NULL;
		if (ingress->ifindex == ifindex)
			return ingress;
	}
	return NULL;
}

/* The same of the interface that a packet came in through. */
static __always_inline struct ingress *find_ingress(struct xdp_md *ctx)
{
	__u32 slot;

	return find_interface(ctx->ingress_ifindex, &slot);
}

/* Whether a frame is for this host; on an interface of which nothing is known, it may be. */
static __always_inline bool is_for_us(const struct ingress *ingress, const struct ethhdr *eth)
{
	const void *to = eth; /* not its packed field, of which the compiler reads single bytes */

	return !ingress || (*(__u32 *)to == *(__u32 *)ingress->mac &&
			    *(__u16 *)(to + 4) == *(__u16 *)(ingress->mac + 4));
}

/* Whether packets of a direction may come in here: who is elsewhere cannot send as a transceiver. */
static __always_inline bool is_right_side(const struct ingress *ingress, __u8 direction)
{
	return !ingress || direction == TO_TRANSCEIVER || ingress->sides & SIDE_TRANSCEIVERS;
}

/* Of which the low bits are in a binding. */
static __always_inline __u32 generation_of(const struct leases *lease)
{
	return lease->raised + lease->told;
}

/* The time as bindings have it. */
static __always_inline __u32 binding_time(const struct leases *lease, __u64 ticks)
{
	return ticks >> lease->tick_shift;
}

/*
 * The next hop that a flow is bound to, if the packet may still use it without asking the FIB;
 * else NULL.
 */
static __always_inline struct hop *find_bound_hop(__u32 binding, __u8 tos, __u32 ip_length)
{
	__u32 only = 0, index = binding % HOPS;
	struct leases *lease = leases.lookup(&only);
	__u64 ticks = bpf_jiffies64();
	__u32 age;
	struct hop *hop;

	if (!lease)
		return NULL;
	if ((binding >> HOP_INDEX_BITS ^ generation_of(lease)) % (1 << HOP_GENERATION_BITS))
		return NULL;
	/* The binding's time is its topmost bits, so a difference of them wraps by itself. */
	age = (binding_time(lease, ticks) << (HOP_INDEX_BITS + HOP_GENERATION_BITS)) -
	      (binding & ~0U << (HOP_INDEX_BITS + HOP_GENERATION_BITS));
	if (age >> (HOP_INDEX_BITS + HOP_GENERATION_BITS) >= lease->flow)
		return NULL;
	hop = hops.lookup(&index);
	if (!hop || !hop->ifindex || (__u32)ticks - hop->checked >= lease->hop)
		return NULL;
	if (ip_length > hop->mtu || (hop->tos ^ tos) & DSCP_MASK)
		return NULL;
	return hop;
}

/* Count a packet that is forwarded, for its flow. */
static __always_inline void count_packet(struct flow *flow, enum direction direction,
					 __u32 payload_length)
{
	int i = direction == TO_CLIENT;
	__u32 now = bpf_jiffies64() >> SEEN_TICK_SHIFT; /* a read of memory */

	/*
	 * Not atomic: that takes a fifth of a hit's time. A NIC gives the packets of one direction to
	 * one processor; while it re-assigns queues, two may meet, and one of them is not counted.
	 */
	flow->packets[i]++;
	flow->bytes[i] += payload_length;
	if (flow->seen[i] != now)
		flow->seen[i] = now;
}

/* The verdict that sends a packet through an interface, which may be the one it came in through. */
static __always_inline int send_through(struct xdp_md *ctx, __u32 ifindex)
{
	struct ingress *ingress;
	__u32 slot;

	if (ifindex != ctx->ingress_ifindex)
		return bpf_redirect(ifindex, 0);
	ingress = find_interface(ifindex, &slot);
	if (!ingress || !ingress->redirects)
		return XDP_TX;
	return bpf_redirect(ifindex, 0);
}

/*
 * Write both addresses, which lie side by side in a frame and in a record. Not as fields of the
 * frame's header: they are packed, and the compiler writes single bytes to such.
 */
static __always_inline void write_macs(void *frame, const struct hop *hop)
{
	*(__u64 *)frame = *(__u64 *)hop->destination_mac;
	*(__u32 *)(frame + 8) = *(__u32 *)(hop->source_mac + 2);
}

/* A packet of media: all that its forwarding depends on, besides its flow. */
struct media {
	struct ethhdr *eth;
	void *ip; /* struct iphdr or ipv6hdr */
	struct udphdr *udp;
	const struct tuple *tuple;
	__u32 ip_length;
	__u32 payload_length;
	__u8 tos;
};

/* Forward a packet of a flow; NO_VERDICT, with nothing written, when this is not the way for it. */
static __always_inline int forward_of_flow(struct xdp_md *ctx, const struct ingress *ingress,
					   const struct media *media, const struct found *found,
					   bool ip6)
{
	__u32 only = 0;
	struct counters *counted;
	struct ends to;
	struct hop *hop;

	if (!found->flow || (found->ends.kind & FLOW_IP6) != (ip6 ? FLOW_IP6 : FLOW_IP4) ||
	    !is_right_side(ingress, found->direction))
		return NO_VERDICT;
	hop = find_bound_hop(*binding_of(found->flow, found->direction), media->tos,
			     media->ip_length);
	if (!hop || hop->vlan || !find_rewrite(found, &to))
		return NO_VERDICT;
	counted = counters.lookup(&only);
	if (!counted)
		return NO_VERDICT; /* never: the verifier cannot know */
	if (ip6)
		rewrite_ip6(media->ip, media->udp, &to);
	else
		rewrite_ip4(media->ip, media->udp, &to);
	if (found->direction == TO_TRANSCEIVER)
		counted->forwarded_to_transceiver++;
	else
		counted->forwarded_to_client++;
	count_packet(found->flow, found->direction, media->payload_length);
	write_macs(media->eth, hop);
	return send_through(ctx, hop->ifindex);
}

/* Forward a packet of media; NO_VERDICT, with nothing written, when this is not the way for it. */
static __always_inline int forward_media(struct xdp_md *ctx, const struct ingress *ingress,
					 const struct media *media, bool ip6)
{
	struct upstream *upstream = find_upstream(&media->tuple->dst, ip6);
	struct found of_client = {};

	/* The code is there once for each direction, with all that depends on that as constants. */
	if (upstream) {
		struct found of_transceiver = {};

		find_of_transceiver(media->tuple, upstream, ip6, &of_transceiver);
		if (of_transceiver.flow)
			return forward_of_flow(ctx, ingress, media, &of_transceiver, ip6);
		/* Else to a VIP, which may have the same address. */
	}
	find_of_client(media->tuple, ip6, &of_client);
	return forward_of_flow(ctx, ingress, media, &of_client, ip6);
}

static __always_inline int forward_ip4(struct xdp_md *ctx, const struct ingress *ingress)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u8 *payload = (void *)(udp + 1);
	struct tuple tuple;
	struct media media = { .eth = eth, .ip = ip, .udp = udp, .tuple = &tuple };
	__u32 length;

	/* What has a payload byte has all headers, too. */
	if ((void *)(payload + 1) > end)
		return NO_VERDICT;
	/* Version 4, no options, UDP, whole, to be forwarded, media, for us. */
	if (*(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_UDP || ip->ttl <= 1 ||
	    ip->frag_off & bpf_htons(IP4_FRAGMENT_MASK) || !is_media(*payload) ||
	    !is_for_us(ingress, eth))
		return NO_VERDICT;
	media.ip_length = bpf_ntohs(ip->tot_len);
	length = bpf_ntohs(udp->len);
	if (media.ip_length > end - (void *)ip || length <= sizeof(*udp) ||
	    length + sizeof(*ip) > media.ip_length)
		return NO_VERDICT;
	media.payload_length = length - sizeof(*udp);
	media.tos = ip->tos;
	tuple.src = map_ip4(ip->saddr);
	tuple.dst = map_ip4(ip->daddr);
	tuple.src_port = udp->source;
	tuple.dst_port = udp->dest;
	return forward_media(ctx, ingress, &media, false);
}

static __always_inline int forward_ip6(struct xdp_md *ctx, const struct ingress *ingress)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u8 *payload = (void *)(udp + 1);
	/* The ports lie behind the addresses: the packet has its tuple as one. */
	const struct tuple *tuple = (void *)&ip->saddr;
	struct media media = { .eth = eth, .ip = ip, .udp = udp, .tuple = tuple };
	__u32 first, length;

	if ((void *)(payload + 1) > end)
		return NO_VERDICT;
	first = bpf_ntohs(*(__be16 *)ip); /* version, traffic class, some of the flow label */
	if (first >> 12 != 6 || ip->nexthdr != IPPROTO_UDP || ip->hop_limit <= 1 || !udp->check ||
	    !is_media(*payload) || !is_for_us(ingress, eth))
		return NO_VERDICT;
	length = bpf_ntohs(udp->len);
	if (bpf_ntohs(ip->payload_len) > end - (void *)udp || length <= sizeof(*udp) ||
	    length > bpf_ntohs(ip->payload_len))
		return NO_VERDICT;
	media.ip_length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	media.payload_length = length - sizeof(*udp);
	media.tos = first >> 4;
	/*
	 * In a header a mapped address could pass for IPv4's; the tables of addresses have such. They
	 * are a few of those that begin with 64 zeroes, none of which is a client's or a relay's.
	 */
	if (!halves_of(&tuple->src)[0] || !halves_of(&tuple->dst)[0])
		return NO_VERDICT;
	return forward_media(ctx, ingress, &media, true);
}

int relay(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	int verdict = NO_VERDICT;

	if ((void *)(eth + 1) <= end) {
		if (eth->h_proto == bpf_htons(ETH_P_IP))
			verdict = forward_ip4(ctx, find_ingress(ctx));
		else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
			verdict = forward_ip6(ctx, find_ingress(ctx));
	}
	if (verdict != NO_VERDICT)
		return verdict;
	tails.call(ctx, TAIL_TRIAGE);
	return XDP_PASS; /* a call fails only while the program is being replaced */
}

/* Runs in the place of relay() while the agent is to forward everything itself. */
int pass_all(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* Writes the scheduler's ticks into a frame: user space runs it, to tell the time of `seen`. */
int ticks(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	__u64 *now = (void *)(long)ctx->data;

	if ((void *)(now + 1) > end)
		return XDP_ABORTED;
	*now = bpf_jiffies64();
	return XDP_DROP;
}
