/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A transceiver that answers every Binding request with success, faster than any relay asks. What
 * the request holds comes back as it is: relays look at the header alone. What a relay announces
 * ends here, as it does at a server: its host's stack, which would look for a socket and refuse it,
 * runs on the relay's processor.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>
#include <uapi/linux/in.h>
#include <uapi/linux/ip.h>
#include <uapi/linux/udp.h>

#define REQUEST bpf_htons(0x0001) /* Binding, RFC 8489, section 5 */
#define SUCCESS bpf_htons(0x0101)
#define ANNOUNCEMENT bpf_htons(0x0c00) /* relay/wire/announcement.py; its first byte tells */
#define COOKIE bpf_htonl(0x2112a442)

struct message {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	__be16 type;
	__be16 length;
	__be32 cookie;
} __attribute__((packed));

static __always_inline void turn_round(struct message *message)
{
	__be32 address = message->ip.saddr;
	__be16 port = message->udp.source;
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, message->eth.h_source, ETH_ALEN);
	__builtin_memcpy(message->eth.h_source, message->eth.h_dest, ETH_ALEN);
	__builtin_memcpy(message->eth.h_dest, mac, ETH_ALEN);
	message->ip.saddr = message->ip.daddr;
	message->ip.daddr = address;
	message->udp.source = message->udp.dest;
	message->udp.dest = port;
}

/* Only the message's type changes what the checksum is made of (RFC 1624). */
static __always_inline void make_success(struct message *message)
{
	__u32 sum = (__u16)~message->udp.check + (__u16)~REQUEST + SUCCESS;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	if (message->udp.check)
		message->udp.check = (__u16)~sum ? (__u16)~sum : 0xffff;
	message->type = SUCCESS;
}

int answer(struct xdp_md *ctx)
{
	struct message *message = (void *)(long)ctx->data;

	if ((void *)(message + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	if (message->eth.h_proto != bpf_htons(ETH_P_IP) || *(__u8 *)&message->ip != 0x45 ||
	    message->ip.protocol != IPPROTO_UDP)
		return XDP_PASS;
	if ((message->type & bpf_htons(0xff00)) == ANNOUNCEMENT)
		return XDP_DROP;
	if (message->type != REQUEST || message->cookie != COOKIE)
		return XDP_PASS;
	turn_round(message);
	make_success(message);
	/* The driver takes XDP_TX only where the receiver runs a program, but this everywhere. */
	return bpf_redirect(ctx->ingress_ifindex, 0);
}
