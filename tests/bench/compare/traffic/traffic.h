/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the ends of the comparison's traffic share with each other, and with layout.py.
 *
 * Fields of packets are in network byte order, all others in the machine's.
 */
#ifndef ICELANE_TRAFFIC_H
#define ICELANE_TRAFFIC_H

#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>
#include <uapi/linux/in.h>
#include <uapi/linux/ip.h>
#include <uapi/linux/udp.h>

#define MAX_FLOWS 1000000
#define MAX_BURST 64

#define RTP_VERSION 0x80 /* RFC 3550, section 5.1: version 2, no options */
#define RTP_PAYLOAD_TYPE 111
#define RTP_TICKS 960 /* of a 48 kHz clock in 20 ms */
#define MAGIC bpf_htonl(0x49434c42)
#define RUN_ECHO 0xffffffff /* the run of packets that the far end sends back */

#define CHANNEL_DATA_MASK 0xc0 /* the two bits that tell ChannelData from RTP (RFC 7983) */
#define CHANNEL_DATA 0x40
#define CHANNEL_HEADER 4

/* One direction of a flow. */
struct leg {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__be32 prefix; /* a ChannelData header (RFC 8656, section 12.4), or 0 */
};

/* What the payload begins with; the rest is the same in all packets. */
struct stamp {
	__u8 version;
	__u8 payload_type;
	__be16 sequence;
	__be32 timestamp;
	__be32 ssrc; /* the flow's number */
	__be32 magic;
	__u32 run;
	__u32 sent[2]; /* bpf_ktime_get_ns(), the low half first: a __u64 would want padding */
};
_Static_assert(sizeof(struct stamp) == 28, "as in layout.py");

#define HEADERS_SIZE (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))
#define LEAST_SIZE (HEADERS_SIZE + CHANNEL_HEADER + sizeof(struct stamp)) /* of a frame */

/* Where a packet's headers are. */
struct headers {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct udphdr *udp;
};

static __always_inline struct headers headers_at(void *data)
{
	return (struct headers){ .eth = data,
				 .ip = data + sizeof(struct ethhdr),
				 .udp = data + sizeof(struct ethhdr) + sizeof(struct iphdr) };
}

/* What to send; set before a run. */
struct plan {
	__u8 macs[12];
	__u32 flows;
	__be16 ip_length;
	__be16 udp_length;
	__u32 run;
	__u64 ip_sum;	/* of the 16-bit words of an IP header that are the same in all packets */
	__u64 udp_sum;	/* the same for the UDP checksum */
	__u64 interval; /* between two packets, in ns / 65536; 0: as fast as possible */
	__u64 duration; /* of the run, in ns */
	__u32 burst;	/* packets in one pass of send_burst() */
	__u32 ifindex;	/* where they go */
};

/* What was sent. */
struct progress {
	__u64 started; /* bpf_ktime_get_ns() of the first pass; 0: none yet */
	__u64 ended;   /* of the first pass after the duration; 0: not yet */
	__u64 clock;   /* bpf_ktime_get_ns() when it was read last */
	__u64 due;     /* when the next packet is, after the start, in ns / 65536 */
	__u64 sent;
	__u32 flow; /* that comes next */
	__u32 round;
};

/* What to look for. */
struct watch {
	__u32 run;
	__u32 timed; /* whether to measure latency */
};

/* What arrived. */
struct tally {
	__u64 packets;
	__u64 bytes; /* of whole frames */
	__u64 other; /* packets of other runs */
	__u64 slowest; /* latency of the slowest packet, in ns */
};

#define SUB_BITS 5 /* a bucket is at most 1/32 of its value wide */
#define BUCKETS 1024

/* How many packets had which latency, in buckets as histogram.py says. */
struct histogram {
	__u64 count[BUCKETS];
};

#endif
