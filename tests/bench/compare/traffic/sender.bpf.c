/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sender of the comparison's traffic, run by BPF_PROG_TEST_RUN.
 *
 * send_frame() is for rates: an XDP program on live frames. Each pass either sends the frame or,
 * when it is not due, gives it back. send_burst() is for senders that sleep between bursts, which
 * setting up live frames would cost too much: a classifier that sends copies of its packet.
 */
#include "traffic.h"

BPF_F_TABLE("array", int, struct leg, legs, MAX_FLOWS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", int, struct plan, plans, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", int, struct progress, progresses, 1, BPF_F_MMAPABLE);

/* A sender that was held up for longer leaves out what it missed. */
#define CATCH_UP (1000000ULL << 16)

/* As fast as possible, reading the clock for every packet would cost a tenth of the rate. */
#define CLOCK_EVERY 32

static __always_inline __u64 read_clock(const struct plan *plan, struct progress *progress)
{
	if (plan->interval || !(progress->sent % CLOCK_EVERY))
		progress->clock = bpf_ktime_get_ns();
	return progress->clock;
}

/* The Internet checksum (RFC 1071) of a sum of 16-bit or 32-bit words. */
static __always_inline __u16 checksum(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* Whether the next packet is due now; the schedule begins with the first pass. */
static __always_inline bool is_due(const struct plan *plan, struct progress *progress, __u64 now)
{
	__u64 since;

	if (!progress->started)
		progress->started = now;
	if (now - progress->started >= plan->duration) {
		progress->ended = now;
		return false;
	}
	if (!plan->interval)
		return true;
	since = (now - progress->started) << 16;
	if (since < progress->due)
		return false;
	if (since - progress->due > CATCH_UP)
		progress->due = since - CATCH_UP;
	progress->due += plan->interval;
	return true;
}

/* The flow of the next packet. */
static __always_inline const struct leg *next_leg(const struct plan *plan,
						  struct progress *progress)
{
	int flow = progress->flow;

	return legs.lookup(&flow);
}

static __always_inline void move_on(const struct plan *plan, struct progress *progress)
{
	progress->sent++;
	if (++progress->flow >= plan->flows) {
		progress->flow = 0;
		progress->round++;
	}
}

static __always_inline void write_stamp(struct stamp *stamp, const struct plan *plan,
					const struct progress *progress, __u64 now)
{
	stamp->version = RTP_VERSION;
	stamp->payload_type = RTP_PAYLOAD_TYPE;
	stamp->sequence = bpf_htons(progress->round);
	stamp->timestamp = bpf_htonl(progress->round * RTP_TICKS);
	stamp->ssrc = bpf_htonl(progress->flow);
	stamp->magic = MAGIC;
	stamp->run = plan->run;
	stamp->sent[0] = now;
	stamp->sent[1] = now >> 32;
}

/* The part of the UDP checksum's sum that differs from packet to packet. */
static __always_inline __u64 sum_of(const struct plan *plan, const struct progress *progress,
				    __u64 now)
{
	return (__u64)bpf_htons(progress->round) + bpf_htonl(progress->round * RTP_TICKS) +
	       bpf_htonl(progress->flow) + plan->run + (now & 0xffffffff) + (now >> 32);
}

static __always_inline void write_headers(struct headers to, const struct plan *plan,
					  const struct leg *leg, __u64 sum)
{
	__u64 addresses = (__u64)leg->source + leg->destination;
	__u16 check;

	__builtin_memcpy(to.eth->h_dest, plan->macs, sizeof(plan->macs));
	to.eth->h_proto = bpf_htons(ETH_P_IP);
	*(__u8 *)to.ip = 0x45;
	to.ip->tos = 0;
	to.ip->tot_len = plan->ip_length;
	to.ip->id = 0;
	to.ip->frag_off = bpf_htons(0x4000); /* don't fragment */
	to.ip->ttl = 64;
	to.ip->protocol = IPPROTO_UDP;
	to.ip->check = checksum(plan->ip_sum + addresses);
	to.ip->saddr = leg->source;
	to.ip->daddr = leg->destination;
	to.udp->source = leg->source_port;
	to.udp->dest = leg->destination_port;
	to.udp->len = plan->udp_length;
	check = checksum(plan->udp_sum + addresses + leg->source_port + leg->destination_port +
			 leg->prefix + sum);
	to.udp->check = check ? check : 0xffff; /* RFC 768: 0 would mean that there is none */
}

int send_frame(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *payload = data + HEADERS_SIZE;
	struct progress *progress;
	const struct leg *leg;
	struct plan *plan;
	int first = 0;
	__u64 now;

	plan = plans.lookup(&first);
	progress = progresses.lookup(&first);
	if (!plan || !progress || progress->ended || data + LEAST_SIZE > end)
		return XDP_DROP;
	now = read_clock(plan, progress);
	if (!is_due(plan, progress, now))
		return XDP_DROP;
	leg = next_leg(plan, progress);
	if (!leg)
		return XDP_DROP;
	write_headers(headers_at(data), plan, leg, sum_of(plan, progress, now));
	if (leg->prefix) {
		*(__be32 *)payload = leg->prefix;
		payload += CHANNEL_HEADER;
	}
	write_stamp(payload, plan, progress, now);
	move_on(plan, progress);
	return XDP_TX;
}

/* A packet's beginning, to be stored into it in one step; aligned, as the verifier wants it. */
struct flat {
	__u8 unused[2];
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	struct stamp stamp;
};

struct prefixed {
	__u8 unused[2];
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	__be32 prefix;
	struct stamp stamp;
};

static __always_inline long send_copy(struct __sk_buff *skb, const struct plan *plan,
				      const struct progress *progress, const struct leg *leg)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 sum = sum_of(plan, progress, now);
	struct prefixed prefixed;
	struct flat flat;
	long result;

	/* Storing makes the packet's data the program's own again, after a copy went out with it. */
	if (leg->prefix) {
		write_headers(headers_at(&prefixed.eth), plan, leg, sum);
		prefixed.prefix = leg->prefix;
		write_stamp(&prefixed.stamp, plan, progress, now);
		result = bpf_skb_store_bytes(skb, 0, &prefixed.eth,
					     HEADERS_SIZE + CHANNEL_HEADER + sizeof(struct stamp), 0);
	} else {
		write_headers(headers_at(&flat.eth), plan, leg, sum);
		write_stamp(&flat.stamp, plan, progress, now);
		result = bpf_skb_store_bytes(skb, 0, &flat.eth,
					     HEADERS_SIZE + sizeof(struct stamp), 0);
	}
	return result ? result : bpf_clone_redirect(skb, plan->ifindex, 0);
}

int send_burst(struct __sk_buff *skb)
{
	struct progress *progress;
	const struct leg *leg;
	struct plan *plan;
	int first = 0;

	plan = plans.lookup(&first);
	progress = progresses.lookup(&first);
	if (!plan || !progress)
		return 0;
	for (int i = 0; i < MAX_BURST; i++) {
		if (i >= plan->burst)
			break;
		leg = next_leg(plan, progress);
		if (!leg || send_copy(skb, plan, progress, leg))
			break;
		move_on(plan, progress);
	}
	return 0;
}
