/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading a frame: Ethernet, 802.1Q, IPv4 or IPv6, UDP.
 *
 * Nothing here looks at a map or writes to the frame. The verifier wants a comparison with the
 * end of the frame before every access; all of them are in cursor_take(), which moves the cursor
 * only when the bytes are there.
 */
#ifndef ICELANE_PARSE_H
#define ICELANE_PARSE_H

#include <uapi/linux/if_ether.h>
#include <uapi/linux/in.h>
#include <uapi/linux/ip.h>
#include <uapi/linux/ipv6.h>
#include <uapi/linux/udp.h>

#include "relay.h"

#define IP4_FRAGMENT_MASK 0x3fff /* more fragments, or an offset (RFC 791, section 3.1) */
#define IP4_OFFSET_MASK 0x1fff
#define IP6_OFFSET_MASK 0xfff8 /* RFC 8200, section 4.5 */

/*
 * Each kind of extension header comes once, destination options may come twice (RFC 8200, section
 * 4.1). So no packet needs more of them before its UDP header; behind encryption nothing is read.
 */
#define IP6_MAX_EXTENSION_HEADERS 6
#define VLAN_ID_MASK 0x0fff	 /* the tag's other bits are a priority */

#define IP4_MAPPED bpf_htonl(0xffff) /* the third word of an IPv4-mapped address */

/* Source and destination of a packet. */
struct tuple {
	struct address src;
	struct address dst;
	__be16 src_port;
	__be16 dst_port;
} __attribute__((aligned(8))); /* for struct halves */

/* An address as two words: all lie at a multiple of eight bytes, in maps and on the stack. */
struct halves {
	__u64 half[2];
} __attribute__((may_alias));

static __always_inline const __u64 *halves_of(const struct address *address)
{
	return ((const struct halves *)(const void *)address)->half;
}

/* Copy an address from or into a header, which need not be aligned where BPF runs. */
static __always_inline void copy_ip6(void *to, const void *from)
{
	*(struct halves *)to = *(const struct halves *)from;
}

static __always_inline bool is_ip4(const struct address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == IP4_MAPPED;
}

static __always_inline struct address map_ip4(__be32 address)
{
	return (struct address){ .word = { 0, 0, IP4_MAPPED, address } };
}

struct cursor {
	void *at;
	void *end;
};

/* The next `size` bytes, or NULL when the frame ends before them. */
static __always_inline void *cursor_take(struct cursor *cursor, __u32 size)
{
	void *start = cursor->at;

	if (start + size > cursor->end)
		return NULL;
	cursor->at = start + size;
	return start;
}

/* What follows the two addresses of a tagged frame. */
struct vlan_tag {
	__be16 tci;
	__be16 protocol;
};

/* What all extension headers begin with; RFC 8200, section 4, and RFC 4302, section 2. */
struct ip6_extension {
	__u8 next_header;
	__u8 length; /* beyond the first 8 bytes, in units of 8; of an authentication header, of 4 */
	__be16 fragment_offset; /* of a fragment header */
	__u8 rest[4];
};
_Static_assert(sizeof(struct ip6_extension) == 8, "as on the wire");

/*
 * A UDP packet whose headers are there in full and agree with each other.
 *
 * Of one that the network stack has to unwrap (REASON_fragment, REASON_extension_headers) only
 * `ip`, `is_ip6` and `udp` are known, and `udp` is NULL where it is not in this frame.
 */
struct packet {
	struct ethhdr *eth;
	void *ip; /* struct iphdr or ipv6hdr; the verifier follows the flag, but no NULL among two */
	bool is_ip6;
	struct udphdr *udp;
	struct cursor payload; /* ends with the frame, which may be padded */
	__u32 payload_length;  /* as UDP says, not more than the frame holds */
	__u16 ip_payload_length;
	bool tagged;
	__be16 vlan; /* the VLAN it came in; 0: none, though the tag may be a mere priority */
	__u8 ttl;    /* or hop limit */
	__u8 tos;    /* DSCP and ECN, also those of an IPv6 traffic class */
	bool ip_options;
	bool unreadable; /* more extension headers than the program follows */
};

static __always_inline enum reason parse_udp(struct cursor *frame, struct packet *packet)
{
	struct udphdr *udp = cursor_take(frame, sizeof(*udp));
	__u32 length;

	if (!udp)
		return REASON_malformed;
	length = bpf_ntohs(udp->len);
	/* Linux takes this as to the end, as in a jumbogram (RFC 2675): triage has the verdict. */
	if (!length && packet->is_ip6)
		length = packet->ip_payload_length;
	if (length < sizeof(*udp) || length > packet->ip_payload_length)
		return REASON_malformed;
	packet->udp = udp;
	packet->payload = *frame;
	packet->payload_length = length - sizeof(*udp);
	return REASON_NONE;
}

static __always_inline enum reason parse_ip4(struct cursor *frame, struct packet *packet)
{
	struct iphdr *ip = cursor_take(frame, sizeof(*ip));
	__u32 total, header;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return REASON_malformed;
	if (ip->protocol != IPPROTO_UDP)
		return REASON_not_udp;
	packet->ip = ip;
	header = ip->ihl * 4;
	/* Only the first fragment has ports: the network stack puts them together first. */
	if (ip->frag_off & bpf_htons(IP4_FRAGMENT_MASK)) {
		/* The mask tells the verifier that this is neither negative nor large. */
		if (!(ip->frag_off & bpf_htons(IP4_OFFSET_MASK)) &&
		    cursor_take(frame, (header - sizeof(*ip)) & 0x3f))
			packet->udp = cursor_take(frame, sizeof(*packet->udp));
		return REASON_fragment;
	}
	total = bpf_ntohs(ip->tot_len);
	/* Not `ip + total`: Linux 6.1 takes what a byte swap gives for a number of any size. */
	if (total < header || total > frame->end - (void *)ip)
		return REASON_malformed;
	if (header > sizeof(*ip)) {
		if (!cursor_take(frame, header - sizeof(*ip)))
			return REASON_malformed;
		packet->ip_options = true;
	}
	packet->ip_payload_length = total - header;
	packet->ttl = ip->ttl;
	packet->tos = ip->tos;
	return parse_udp(frame, packet);
}

/* Whether a header of this kind may precede UDP in an IPv6 packet. */
static __always_inline bool is_extension(__u8 kind)
{
	return kind == IPPROTO_HOPOPTS || kind == IPPROTO_ROUTING || kind == IPPROTO_DSTOPTS ||
	       kind == IPPROTO_AH || kind == IPPROTO_FRAGMENT;
}

/* Look for UDP behind extension headers, the first of which is of the kind `kind`. */
static __always_inline void find_udp(struct cursor *frame, __u8 kind, struct packet *packet)
{
	struct ip6_extension *header;
	__u32 more;

#pragma unroll
	for (int i = 0; i < IP6_MAX_EXTENSION_HEADERS; i++) {
		if (!is_extension(kind))
			break;
		header = cursor_take(frame, sizeof(*header));
		if (!header)
			return;
		more = header->length * 8;
		if (kind == IPPROTO_AH)
			more = header->length * 4;
		if (kind == IPPROTO_FRAGMENT) {
			if (header->fragment_offset & bpf_htons(IP6_OFFSET_MASK))
				return; /* only the first fragment has ports */
			more = 0;
		}
		kind = header->next_header;
		if (!cursor_take(frame, more))
			return;
	}
	if (kind == IPPROTO_UDP)
		packet->udp = cursor_take(frame, sizeof(*packet->udp));
	else
		packet->unreadable = is_extension(kind);
}

static __always_inline enum reason parse_ip6(struct cursor *frame, struct packet *packet)
{
	struct ipv6hdr *ip = cursor_take(frame, sizeof(*ip));
	__u32 length;

	if (!ip || ip->version != 6)
		return REASON_malformed;
	packet->ip = ip;
	packet->is_ip6 = true;
	if (is_extension(ip->nexthdr)) {
		find_udp(frame, ip->nexthdr, packet);
		return ip->nexthdr == IPPROTO_FRAGMENT ? REASON_fragment :
							 REASON_extension_headers;
	}
	if (ip->nexthdr != IPPROTO_UDP)
		return REASON_not_udp;
	/* In a header they could pass for the IPv4 address; the kernel takes none either. */
	if (is_ip4((struct address *)&ip->saddr) || is_ip4((struct address *)&ip->daddr))
		return REASON_malformed;
	length = bpf_ntohs(ip->payload_len);
	if (length > frame->end - (void *)(ip + 1))
		return REASON_malformed;
	packet->ip_payload_length = length;
	packet->ttl = ip->hop_limit;
	packet->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	return parse_udp(frame, packet);
}

/* Read a whole frame; REASON_NONE when `packet` describes it. */
static __always_inline enum reason parse_frame(void *data, void *data_end, struct packet *packet)
{
	struct cursor frame = { .at = data, .end = data_end };
	struct ethhdr *eth = cursor_take(&frame, sizeof(*eth));
	struct vlan_tag *tag;
	__be16 protocol;

	if (!eth)
		return REASON_malformed;
	packet->eth = eth;
	protocol = eth->h_proto;
	if (protocol == bpf_htons(ETH_P_8021Q)) {
		tag = cursor_take(&frame, sizeof(*tag));
		if (!tag)
			return REASON_malformed;
		packet->tagged = true;
		packet->vlan = tag->tci & bpf_htons(VLAN_ID_MASK);
		protocol = tag->protocol;
	}
	switch (bpf_ntohs(protocol)) {
	case ETH_P_IP:
		return parse_ip4(&frame, packet);
	case ETH_P_IPV6:
		return parse_ip6(&frame, packet);
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		return REASON_vlan_stacked;
	default:
		return REASON_not_ip;
	}
}

#endif
