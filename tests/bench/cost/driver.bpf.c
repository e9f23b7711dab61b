/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What runs a program on packets of many flows, one after the other, in a single test run.
 *
 * Each time it writes a packet's headers anew, since the program has rewritten those of the last
 * one, and calls the program. What that costs is found by calling one that does nothing.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/types.h>

#define HEAD_SIZE 64 /* room for the headers of Ethernet, IPv6 and UDP, in whole words */
#define TRIES 4

/*
 * The packets to make, as driver.py says. A flow's packet differs from that of flow 0 by the last
 * word of an address, and by a port.
 */
struct packets {
	__u64 head[HEAD_SIZE / 8];
	__u32 size;
	__u32 flows;
	__u32 turn;
	__u32 mask;
	__u32 half_bits;
	__u32 address_at;
	__u32 address;
	__u32 flows_of_address;
	__u32 port_at;
	__u32 first_port;
	__u32 ports;
	__u32 checksum_at;
	__u32 sum;
	__u32 written;
};

BPF_F_TABLE("array", int, struct packets, packets, 1, BPF_F_MMAPABLE);
BPF_PROG_ARRAY(measured, 1);

/* The flow whose turn it is. All have one before any has the next one, in no order. */
static __always_inline __u32 next_flow(struct packets *made)
{
	__u32 number = 0;

#pragma unroll
	for (int i = 0; i < TRIES; i++) {
		/* Each step can be undone, so two turns give different numbers up to the mask. */
		number = made->turn++ * 0x9e3779b1 & made->mask;
		number ^= number >> made->half_bits;
		number = number * 0x85ebca6b & made->mask;
		if (number < made->flows)
			return number;
	}
	return number % made->flows;
}

/* The checksum of an IPv4 header, of whose other words the sum is known. */
static __always_inline __be16 checksum(__u32 sum, __u32 address)
{
	sum += (address >> 16) + (address & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return htons(~sum);
}

static __always_inline int write_head(struct xdp_md *ctx, const struct packets *made, __u32 number)
{
	void *end = (void *)(long)ctx->data_end;
	void *frame = (void *)(long)ctx->data;
	void *address = frame + (made->address_at & (HEAD_SIZE - 1));
	void *port = frame + (made->port_at & (HEAD_SIZE - 1));
	void *check = frame + (made->checksum_at & (HEAD_SIZE - 1));
	__u32 host = made->address + number / made->flows_of_address;
	__u64 *words = frame;

	if (frame + HEAD_SIZE > end || address + sizeof(__be32) > end ||
	    port + sizeof(__be16) > end || check + sizeof(__be16) > end)
		return -1;
#pragma unroll
	for (int i = 0; i < HEAD_SIZE / 8; i++)
		words[i] = made->head[i];
	*(__be32 *)address = htonl(host);
	*(__be16 *)port = htons(made->first_port + number % made->ports);
	if (made->checksum_at)
		*(__be16 *)check = checksum(made->sum, host);
	return 0;
}

int drive(struct xdp_md *ctx)
{
	struct packets *made;
	int first = 0;

	made = packets.lookup(&first);
	if (!made)
		return XDP_ABORTED;
	/* The program may have made the last packet shorter or longer at its front. */
	if (bpf_xdp_adjust_head(ctx, (int)(ctx->data_end - ctx->data) - (int)made->size))
		return XDP_ABORTED;
	if (write_head(ctx, made, next_flow(made)))
		return XDP_ABORTED;
	/*
	 * Wait until all of that is in the cache, as it is when it comes from a driver: a load that is
	 * wider than the stores above would wait for them, in the program's time.
	 */
	__sync_fetch_and_add(&made->written, 1);
	measured.call(ctx, 0);
	return XDP_ABORTED; /* there is no program to call */
}
