/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Icelane's kernel path: packets of confirmed flows are rewritten and sent on from here; the rest
 * goes up to the agent, past it to this host's own services, or nowhere.
 *
 * This file has what nearly every packet meets, the media of a confirmed flow: plain headers, a
 * first byte of DTLS or RTP, and a next hop that is known. It is small, asks no helper but for
 * maps and the redirect, and leaves everything else, untouched, to relay_triage():
 *
 *	relay()		IPv4
 *	relay_ip6()	IPv6
 */
#define LOOPBACK_IFINDEX 1 /* in every network namespace */
#define AF_INET 2
#define AF_INET6 10

#define DSCP_MASK 0xfc

/* Whether a first byte is of DTLS or RTP (RFC 7983, section 7). */
static __always_inline bool is_media(__u8 first)
{
	return (__u8)(first - 128) < 64 || (__u8)(first - 20) < 44;
}

/* What is known of the interface that a packet came in through; NULL when nothing is. */
static __always_inline struct ingress *find_ingress(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	__u32 index = ifindex % INGRESSES;
	struct ingress *ingress = ingresses.lookup(&index);

	return ingress && ingress->ifindex == ifindex ? ingress : NULL;
}

/* Whether a frame is for this host; on an interface of which nothing is known, it may be. */
static __always_inline bool is_for_us(const struct ingress *ingress, const struct ethhdr *eth)
{
	return !ingress || (*(__u32 *)eth->h_dest == *(__u32 *)ingress->mac &&
			    *(__u16 *)(eth->h_dest + 4) == *(__u16 *)(ingress->mac + 4));
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

	/* Packets of one flow may meet on two processors while a NIC's queues are re-assigned. */
	__sync_fetch_and_add(&flow->packets[i], 1);
	__sync_fetch_and_add(&flow->bytes[i], payload_length);
	if (flow->seen[i] != now)
		flow->seen[i] = now;
}

/* Count and send a packet that was rewritten in place, by a hop that adds no tag. */
static __always_inline int send_by(struct xdp_md *ctx, struct ethhdr *eth, const struct hop *hop,
				   const struct found *found, __u32 payload_length)
{
	__u32 only = 0;
	struct counters *counted = counters.lookup(&only);

	if (!counted)
		return XDP_ABORTED; /* never: the verifier cannot know */
	if (found->direction == TO_TRANSCEIVER)
		counted->forwarded_to_transceiver++;
	else
		counted->forwarded_to_client++;
	count_packet(found->flow, found->direction, payload_length);
	/* Both addresses, which lie side by side in either. */
	*(__u64 *)eth->h_dest = *(__u64 *)hop->destination_mac;
	*(__u32 *)(eth->h_source + 2) = *(__u32 *)(hop->source_mac + 2);
	if (hop->ifindex == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect(hop->ifindex, 0);
}

int relay(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u8 *payload = (void *)(udp + 1);
	struct ingress *ingress = find_ingress(ctx);
	struct found found = {};
	struct tuple tuple, to;
	struct hop *hop;
	__u32 total, length;

	/* What has a payload byte has all headers, too. */
	if ((void *)(payload + 1) > end)
		goto rest;
	if (eth->h_proto != bpf_htons(ETH_P_IP)) {
		if (eth->h_proto == bpf_htons(ETH_P_IPV6))
			tails.call(ctx, TAIL_IP6);
		goto rest;
	}
	/* Version 4, no options, UDP, whole, to be forwarded, media, for us. */
	if (*(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_UDP || ip->ttl <= 1 ||
	    ip->frag_off & bpf_htons(IP4_FRAGMENT_MASK) || !is_media(*payload) ||
	    !is_for_us(ingress, eth))
		goto rest;
	total = bpf_ntohs(ip->tot_len);
	length = bpf_ntohs(udp->len);
	if (total > end - (void *)ip || length <= sizeof(*udp) || length + sizeof(*ip) > total)
		goto rest;
	tuple.src = map_ip4(ip->saddr);
	tuple.dst = map_ip4(ip->daddr);
	tuple.src_port = udp->source;
	tuple.dst_port = udp->dest;
	find_flow(&tuple, false, &found);
	if (!found.flow || (found.ends.kind & FLOW_IP6) != FLOW_IP4 ||
	    !is_right_side(ingress, found.direction))
		goto rest;
	hop = find_bound_hop(*binding_of(found.flow, found.direction), ip->tos, total);
	if (!hop || hop->vlan || !find_rewrite(&found, &to))
		goto rest;
	rewrite_ip4(ip, udp, &to);
	return send_by(ctx, eth, hop, &found, length - sizeof(*udp));
rest:
	tails.call(ctx, TAIL_TRIAGE);
	return XDP_PASS; /* a call fails only while the program is being replaced */
}

int relay_ip6(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u8 *payload = (void *)(udp + 1);
	struct ingress *ingress = find_ingress(ctx);
	struct found found = {};
	struct tuple tuple, to;
	struct hop *hop;
	__u32 length;

	if ((void *)(payload + 1) > end)
		goto rest;
	if (ip->version != 6 || ip->nexthdr != IPPROTO_UDP || ip->hop_limit <= 1 || !udp->check ||
	    !is_media(*payload) || !is_for_us(ingress, eth))
		goto rest;
	length = bpf_ntohs(udp->len);
	if (bpf_ntohs(ip->payload_len) > end - (void *)udp || length <= sizeof(*udp) ||
	    length > bpf_ntohs(ip->payload_len))
		goto rest;
	__builtin_memcpy(&tuple.src, &ip->saddr, sizeof(tuple.src));
	__builtin_memcpy(&tuple.dst, &ip->daddr, sizeof(tuple.dst));
	tuple.src_port = udp->source;
	tuple.dst_port = udp->dest;
	/* In a header a mapped address could pass for IPv4's; the tables of addresses have such. */
	if (is_ip4(&tuple.src) || is_ip4(&tuple.dst))
		goto rest;
	find_flow(&tuple, true, &found);
	if (!found.flow || (found.ends.kind & FLOW_IP6) != FLOW_IP6 ||
	    !is_right_side(ingress, found.direction))
		goto rest;
	hop = find_bound_hop(*binding_of(found.flow, found.direction),
			     ip->priority << 4 | ip->flow_lbl[0] >> 4,
			     sizeof(*ip) + bpf_ntohs(ip->payload_len));
	if (!hop || hop->vlan || !find_rewrite(&found, &to))
		goto rest;
	rewrite_ip6(ip, udp, &to);
	return send_by(ctx, eth, hop, &found, length - sizeof(*udp));
rest:
	tails.call(ctx, TAIL_TRIAGE);
	return XDP_PASS;
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
