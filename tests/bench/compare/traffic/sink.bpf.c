/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ends that the comparison's traffic arrives at: they count its packets and drop them. All
 * else goes to the network stack.
 */
#include "traffic.h"

BPF_F_TABLE("array", int, struct watch, watches, 1, BPF_F_MMAPABLE);
BPF_PERCPU_ARRAY(tallies, struct tally, 1);
BPF_PERCPU_ARRAY(histograms, struct histogram, 1);

/* The traffic's stamp in a frame; NULL: it is none of its packets. */
static __always_inline struct stamp *find_stamp(void *data, void *end)
{
	struct headers headers = headers_at(data);
	struct stamp *stamp = data + HEADERS_SIZE;

	if (data + LEAST_SIZE > end)
		return NULL;
	if (headers.eth->h_proto != bpf_htons(ETH_P_IP) || *(__u8 *)headers.ip != 0x45 ||
	    headers.ip->protocol != IPPROTO_UDP)
		return NULL;
	if ((stamp->version & CHANNEL_DATA_MASK) == CHANNEL_DATA)
		stamp = (void *)stamp + CHANNEL_HEADER;
	if (stamp->version != RTP_VERSION || stamp->magic != MAGIC)
		return NULL;
	return stamp;
}

static __always_inline __u64 bucket_of(__u64 value)
{
	__u64 shift = 0;
	__u64 rest = value >> (SUB_BITS + 1);

#pragma unroll
	for (int step = 16; step; step >>= 1) {
		if (rest >> step) {
			rest >>= step;
			shift += step;
		}
	}
	shift += rest ? 1 : 0;
	return (shift << SUB_BITS) + (value >> shift);
}

static __always_inline void take_time(struct tally *tally, const struct stamp *stamp)
{
	__u64 sent = (__u64)stamp->sent[1] << 32 | stamp->sent[0];
	__u64 latency = bpf_ktime_get_ns() - sent;
	struct histogram *histogram;
	int first = 0;
	__u64 bucket;

	histogram = histograms.lookup(&first);
	if (!histogram)
		return;
	if (latency > tally->slowest)
		tally->slowest = latency;
	bucket = bucket_of(latency);
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	histogram->count[bucket]++;
}

static __always_inline void count(const struct stamp *stamp, __u64 size)
{
	struct watch *watch;
	struct tally *tally;
	int first = 0;

	watch = watches.lookup(&first);
	tally = tallies.lookup(&first);
	if (!watch || !tally)
		return;
	if (stamp->run != watch->run) {
		tally->other++;
		return;
	}
	tally->packets++;
	tally->bytes += size;
	if (watch->timed)
		take_time(tally, stamp);
}

/* Where echoes come back to: a socket waits for them. */
int near_end(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct stamp *stamp = find_stamp(data, end);

	if (!stamp || stamp->run == RUN_ECHO)
		return XDP_PASS;
	count(stamp, end - data);
	return XDP_DROP;
}

/* Send a packet back to where it came from. Swapping leaves all checksums as they are. */
static __always_inline int send_back(struct headers headers, __u32 ifindex)
{
	__u8 mac[ETH_ALEN];
	__be32 address = headers.ip->saddr;
	__be16 port = headers.udp->source;

	__builtin_memcpy(mac, headers.eth->h_source, ETH_ALEN);
	__builtin_memcpy(headers.eth->h_source, headers.eth->h_dest, ETH_ALEN);
	__builtin_memcpy(headers.eth->h_dest, mac, ETH_ALEN);
	headers.ip->saddr = headers.ip->daddr;
	headers.ip->daddr = address;
	headers.udp->source = headers.udp->dest;
	headers.udp->dest = port;
	/* The driver takes XDP_TX only where the receiver runs a program, but this everywhere. */
	return bpf_redirect(ifindex, 0);
}

/* Where echoes turn round. */
int far_end(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct stamp *stamp = find_stamp(data, end);

	if (!stamp)
		return XDP_PASS;
	if (stamp->run == RUN_ECHO)
		return send_back(headers_at(data), ctx->ingress_ifindex);
	count(stamp, end - data);
	return XDP_DROP;
}
