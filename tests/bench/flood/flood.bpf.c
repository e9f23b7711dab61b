/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sender of a flood, run by BPF_PROG_TEST_RUN on live frames: prepared frames in turn, each from
 * a source that was never seen before where that is wanted. UDP checksums are 0, as IPv4 allows.
 */
#include "../compare/traffic/traffic.h"

#define FRAME_SIZE 192
#define MAX_FRAMES 128
#define SOURCES 0x3fff /* those bits of an address that differ */

/* A frame as it is sent. */
struct frame {
	__u64 words[FRAME_SIZE / 8];
	__u32 sum;     /* of the IP header's words, without those of the source, and the checksum */
	__u32 strange; /* whether the source is another one each time */
};

struct flood {
	__u64 interval; /* between two packets, in ns; 0: as fast as possible */
	__u64 duration; /* in ns */
	__u32 frames;
	__u32 pad;
};

BPF_F_TABLE("array", int, struct frame, frames, MAX_FRAMES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", int, struct flood, floods, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", int, struct progress, progresses, 1, BPF_F_MMAPABLE);

#define CLOCK_EVERY 32

/* Whether one more packet is due; one that was held up leaves out what it missed. */
static __always_inline bool is_due(const struct flood *flood, struct progress *progress)
{
	if (flood->interval || !(progress->sent % CLOCK_EVERY))
		progress->clock = bpf_ktime_get_ns();
	if (!progress->started)
		progress->started = progress->due = progress->clock;
	if (progress->clock - progress->started >= flood->duration) {
		progress->ended = progress->clock;
		return false;
	}
	if (flood->interval) {
		if (progress->clock < progress->due)
			return false;
		progress->due += flood->interval;
		if (progress->due + 1000000 < progress->clock)
			progress->due = progress->clock;
	}
	return true;
}

static __always_inline void write_source(void *data, __u32 sum)
{
	struct headers to = headers_at(data);
	__u32 random = bpf_get_prandom_u32();
	__u32 source = bpf_ntohl(to.ip->saddr) | (random & SOURCES);

	to.ip->saddr = bpf_htonl(source);
	to.udp->source = bpf_htons(random >> 16 | 1024);
	sum += (source >> 16) + (source & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	to.ip->check = bpf_htons(~sum);
}

int send_flood(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct progress *progress;
	struct frame *frame;
	struct flood *flood;
	__u64 *to = data;
	int index = 0;

	flood = floods.lookup(&index);
	progress = progresses.lookup(&index);
	if (!flood || !progress || progress->ended || data + FRAME_SIZE > end)
		return XDP_DROP;
	if (!is_due(flood, progress))
		return XDP_DROP;
	index = progress->flow;
	frame = frames.lookup(&index);
	if (!frame)
		return XDP_DROP;
#pragma unroll
	for (int i = 0; i < FRAME_SIZE / 8; i++)
		to[i] = frame->words[i];
	if (frame->strange)
		write_source(data, frame->sum);
	progress->sent++;
	if (++progress->flow >= flood->frames)
		progress->flow = 0;
	return XDP_TX;
}

/* The interface that they leave by has to run some program. */
int take_all(struct xdp_md *ctx)
{
	return XDP_PASS;
}
