/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwarding by constants: what nothing that forwards by XDP can do with less.
 *
 * Two programs redirect whatever they get, and two translate addresses. No flow is looked up and no
 * next hop: the compiler gets all of it as constants, of which the _THERE ones are for packets to
 * the transceiver and the _BACK ones for those to clients. The upstream address and port of a client
 * are its own plus a constant each, so that the transceiver sees one address for each client.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>
#include <uapi/linux/in.h>
#include <uapi/linux/ip.h>
#include <uapi/linux/udp.h>

#define MF_AND_OFFSET 0x3fff /* of iphdr.frag_off, host order: this is a fragment */

/* Both MAC addresses, as they lie in a frame. */
static __always_inline void write_macs(void *frame, __u64 first, __u32 last)
{
	*(__u64 *)frame = first;
	*(__u32 *)(frame + sizeof(first)) = last;
}

int redirect_there(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *frame = (void *)(long)ctx->data;

	if (frame + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	write_macs(frame, MACS_THERE, MACS_THERE_LAST);
	return bpf_redirect(IFINDEX_THERE, 0);
}

int redirect_back(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	void *frame = (void *)(long)ctx->data;

	if (frame + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	write_macs(frame, MACS_BACK, MACS_BACK_LAST);
	return bpf_redirect(IFINDEX_BACK, 0);
}

/* RFC 1624, equation 3, with the sum of ~m + m' of all words that change. */
static __always_inline __sum16 updated(__sum16 check, __u32 change)
{
	__u32 sum = (__u16)~check + change;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u32 change32(__be32 from, __be32 to)
{
	return (~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16);
}

static __always_inline __u32 change16(__be16 from, __be16 to)
{
	return (__u16)~from + to;
}

/* An IPv4 packet without options of UDP that may be forwarded, and is no fragment. */
static __always_inline int is_ours(const struct iphdr *ip)
{
	return *(const __u8 *)ip == 0x45 && ip->protocol == IPPROTO_UDP && ip->ttl > 1 &&
	       !(ip->frag_off & htons(MF_AND_OFFSET));
}

/* The addresses and ports that a packet leaves with. */
struct ends {
	__be32 saddr;
	__be32 daddr;
	__be16 source;
	__be16 dest;
};

static __always_inline void rewrite(struct iphdr *ip, struct udphdr *udp, struct ends want)
{
	__u32 addresses = change32(ip->saddr, want.saddr) + change32(ip->daddr, want.daddr);
	__sum16 check;

	/* The TTL is the high byte of its word, which falls by one. */
	ip->check = updated(ip->check, addresses + htons(0xfeff));
	ip->ttl--;
	if (udp->check) { /* 0: the sender made none, RFC 768 */
		check = updated(udp->check, addresses + change16(udp->source, want.source) +
						    change16(udp->dest, want.dest));
		udp->check = check ? check : 0xffff;
	}
	ip->saddr = want.saddr;
	ip->daddr = want.daddr;
	udp->source = want.source;
	udp->dest = want.dest;
}

int nat_there(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct ends want;

	if ((void *)(udp + 1) > end || eth->h_proto != htons(ETH_P_IP) || !is_ours(ip) ||
	    ip->daddr != htonl(VIP) || udp->dest != htons(VIP_PORT))
		return XDP_PASS;
	want.saddr = htonl(ntohl(ip->saddr) + ADDRESS_OFFSET);
	want.daddr = htonl(TRANSCEIVER);
	want.source = htons(ntohs(udp->source) + PORT_OFFSET);
	want.dest = htons(TRANSCEIVER_PORT);
	rewrite(ip, udp, want);
	write_macs(eth, MACS_THERE, MACS_THERE_LAST);
	return bpf_redirect(IFINDEX_THERE, 0);
}

int nat_back(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct ends want;

	if ((void *)(udp + 1) > end || eth->h_proto != htons(ETH_P_IP) || !is_ours(ip) ||
	    ip->saddr != htonl(TRANSCEIVER) || udp->source != htons(TRANSCEIVER_PORT))
		return XDP_PASS;
	want.saddr = htonl(VIP);
	want.daddr = htonl(ntohl(ip->daddr) - ADDRESS_OFFSET);
	want.source = htons(VIP_PORT);
	want.dest = htons(ntohs(udp->dest) - PORT_OFFSET);
	rewrite(ip, udp, want);
	write_macs(eth, MACS_BACK, MACS_BACK_LAST);
	return bpf_redirect(IFINDEX_BACK, 0);
}
