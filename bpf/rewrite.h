/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing the headers of a packet that is forwarded. Pure: all that can fail was done before.
 *
 * Within a family the header is changed in place, and its checksums are updated from what changed.
 * Between families a new header is made (RFC 7915, section 4.1 and 5.1, for UDP without fragments
 * and options). In either case DSCP and ECN are carried over, a congestion mark included.
 */
#ifndef ICELANE_REWRITE_H
#define ICELANE_REWRITE_H

#include "checksum.h"
#include "parse.h"

#define IP4_DONT_FRAGMENT 0x4000

/* The addresses, which are in maps, and ports that a packet is rewritten to. */
struct ends {
	const struct address *src;
	const struct address *dst;
	__be16 src_port;
	__be16 dst_port;
};

static __always_inline int ip_header_size(bool ip6)
{
	return ip6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

/* The difference that the ports make, added to `sum`; they are written, too. */
static __always_inline __u64 rewrite_ports(struct udphdr *udp, __be16 source, __be16 dest,
					   __u64 sum)
{
	sum = checksum_replace16(sum, udp->source, source);
	sum = checksum_replace16(sum, udp->dest, dest);
	udp->source = source;
	udp->dest = dest;
	return sum;
}

static __always_inline void rewrite_ip4(struct iphdr *ip, struct udphdr *udp,
					const struct ends *to)
{
	__be16 *ttl_word = (__be16 *)&ip->ttl; /* the checksum's word of TTL and protocol */
	__be16 old_ttl_word = *ttl_word;
	__u64 sum = 0;

	sum = checksum_replace32(sum, ip->saddr, to->src->word[3]);
	sum = checksum_replace32(sum, ip->daddr, to->dst->word[3]);
	ip->saddr = to->src->word[3];
	ip->daddr = to->dst->word[3];
	ip->ttl--;
	ip->check = checksum_update(ip->check, checksum_replace16(sum, old_ttl_word, *ttl_word));
	sum = rewrite_ports(udp, to->src_port, to->dst_port, sum);
	udp->check = checksum_update_udp_or_none(udp->check, sum);
}

/* The difference that it makes to replace an address in a header, which is written, too. */
static __always_inline __u64 rewrite_address(__be32 *header, const struct address *to, __u64 sum)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum = checksum_replace32(sum, header[i], to->word[i]);
	copy_ip6(header, to);
	return sum;
}

static __always_inline void rewrite_ip6(struct ipv6hdr *ip, struct udphdr *udp,
					const struct ends *to)
{
	__u64 sum = 0;

	ip->hop_limit--;
	sum = rewrite_address((__be32 *)&ip->saddr, to->src, sum);
	sum = rewrite_address((__be32 *)&ip->daddr, to->dst, sum);
	sum = rewrite_ports(udp, to->src_port, to->dst_port, sum);
	udp->check = checksum_update_udp(udp->check, sum);
}

/*
 * Whether an IPv4 header without options has come whole. A header that is only changed keeps its
 * checksum's error; one that is replaced by IPv6's, which has no checksum, would lose it.
 */
static __always_inline bool is_intact(const struct iphdr *ip)
{
	const __be32 *words = (const __be32 *)ip;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 5; i++)
		sum += words[i];
	return checksum_fold(sum) == 0xffff;
}

/*
 * The share of a packet's addresses in its UDP checksum, as it is taken out when the header is
 * replaced by one of the other family. Length and protocol count the same in both (RFC 8200,
 * section 8.1).
 */
static __always_inline __u64 checksum_without_addresses(const struct packet *packet)
{
	struct ipv6hdr *ip6 = packet->ip;
	struct iphdr *ip4 = packet->ip;
	__be32 *words = (__be32 *)&ip6->saddr;
	__u64 sum = 0;

	if (!packet->is_ip6) {
		sum = checksum_replace32(sum, ip4->saddr, 0);
		return checksum_replace32(sum, ip4->daddr, 0);
	}
#pragma unroll
	for (int i = 0; i < 8; i++)
		sum = checksum_replace32(sum, words[i], 0);
	return sum;
}

/* What a header of the other family is made from. */
struct translation {
	__u64 sum; /* checksum_without_addresses() */
	__u16 ip_payload_length;
	__u8 ttl;
	__u8 tos;
};

static __always_inline void translate_to_ip4(struct iphdr *ip, struct udphdr *udp,
					     const struct ends *to,
					     const struct translation *from)
{
	__be16 *word = (__be16 *)ip;
	__u64 sum = 0, udp_sum;

	/* Not fragmented on the way here, so it need not be on the way there: no identification. */
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tos = from->tos,
		.tot_len = bpf_htons(sizeof(*ip) + from->ip_payload_length),
		.frag_off = bpf_htons(IP4_DONT_FRAGMENT),
		.ttl = from->ttl - 1,
		.protocol = IPPROTO_UDP,
		.saddr = to->src->word[3],
		.daddr = to->dst->word[3],
	};
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	ip->check = ~checksum_fold(sum);
	udp_sum = from->sum + ip->saddr + ip->daddr;
	udp_sum = rewrite_ports(udp, to->src_port, to->dst_port, udp_sum);
	udp->check = checksum_update_udp(udp->check, udp_sum);
}

static __always_inline void translate_to_ip6(struct ipv6hdr *ip, struct udphdr *udp,
					     const struct ends *to,
					     const struct translation *from)
{
	__u64 sum = from->sum;

	ip->version = 6;
	ip->priority = from->tos >> 4;
	ip->flow_lbl[0] = from->tos << 4;
	ip->flow_lbl[1] = 0;
	ip->flow_lbl[2] = 0;
	ip->payload_len = bpf_htons(from->ip_payload_length);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = from->ttl - 1;
	copy_ip6(&ip->saddr, to->src);
	copy_ip6(&ip->daddr, to->dst);
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += (__u64)to->src->word[i] + to->dst->word[i];
	sum = rewrite_ports(udp, to->src_port, to->dst_port, sum);
	udp->check = checksum_update_udp(udp->check, sum);
}

/* How to forward a packet: all there is to know, as its frame will have moved. */
struct plan {
	struct flow *flow;
	enum direction direction;
	struct ends to; /* what to rewrite to */
	struct translation translation;
	__u32 payload_length;
	__u32 ip_length; /* of the packet that leaves, with its header */
	__u32 ifindex;
	__be16 vlan;
	bool from_ip6;
	bool to_ip6;
	__u8 destination_mac[ETH_ALEN];
	__u8 source_mac[ETH_ALEN];
};

static __always_inline void write_ethernet(struct ethhdr *eth, struct vlan_tag *tag,
					   const struct plan *plan)
{
	__be16 protocol = plan->to_ip6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	__builtin_memcpy(eth->h_dest, plan->destination_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, plan->source_mac, ETH_ALEN);
	eth->h_proto = tag ? bpf_htons(ETH_P_8021Q) : protocol;
	if (tag) {
		tag->tci = plan->vlan;
		tag->protocol = protocol;
	}
}

/* The headers above Ethernet; false never, but the verifier cannot know. */
static __always_inline bool write_packet(struct cursor *frame, const struct plan *plan)
{
	struct ipv6hdr *ip6;
	struct udphdr *udp;
	struct iphdr *ip4;

	if (plan->to_ip6) {
		ip6 = cursor_take(frame, sizeof(*ip6));
		udp = cursor_take(frame, sizeof(*udp));
		if (!ip6 || !udp)
			return false;
		if (plan->from_ip6)
			rewrite_ip6(ip6, udp, &plan->to);
		else
			translate_to_ip6(ip6, udp, &plan->to, &plan->translation);
		return true;
	}
	ip4 = cursor_take(frame, sizeof(*ip4));
	udp = cursor_take(frame, sizeof(*udp));
	if (!ip4 || !udp)
		return false;
	if (plan->from_ip6)
		translate_to_ip4(ip4, udp, &plan->to, &plan->translation);
	else
		rewrite_ip4(ip4, udp, &plan->to);
	return true;
}

#endif
