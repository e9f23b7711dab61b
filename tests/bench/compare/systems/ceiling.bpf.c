/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FIB ceiling: what forwarding by XDP costs at the least if it asks for each packet's next hop.
 * No flow is looked up and no address translated; a UDP packet gets its next hop from the kernel's
 * routing table and goes there.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>
#include <uapi/linux/in.h>
#include <uapi/linux/ip.h>

#define FAMILY_IP4 2 /* AF_INET */

int ceiling(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct bpf_fib_lookup fib = {};
	__u32 sum;

	if ((void *)(ip + 1) > end || eth->h_proto != htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP || ip->ttl <= 1)
		return XDP_PASS;
	fib.family = FAMILY_IP4;
	fib.l4_protocol = ip->protocol;
	fib.tot_len = ntohs(ip->tot_len);
	fib.ifindex = ctx->ingress_ifindex;
	fib.tos = ip->tos;
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	ip->ttl--;
	sum = ip->check + htons(0x0100); /* RFC 1141: the checksum rises as the word falls */
	ip->check = sum + (sum >= 0xffff);
	__builtin_memcpy(eth->h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, fib.smac, ETH_ALEN);
	return bpf_redirect(fib.ifindex, 0);
}
