/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs the XDP program on packets of flows that come and go meanwhile, on each of some processors,
 * and looks at what becomes of each packet: whose payload names its flow.
 *
 *	stress PROGRAM CONTROL PUBLIC INTERNAL STABLE PORTS TRANSCEIVERS THREADS
 *
 * PROGRAM and CONTROL are descriptors: of the program, and of memory that holds struct control;
 * PUBLIC and INTERNAL the numbers of interfaces. A flow's number says all of it, see stress.h. It
 * ends when it is told to, and prints a line of what it has counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stress.h"

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t rtp[12];
	uint64_t flow;
} __attribute__((packed));

struct counts {
	uint64_t sent, forwarded, lost, wrong;
};

static int program;
static struct control *control;
static unsigned int interfaces[2];
static struct numbers count;
static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 }; /* everybody's */

/* Pseudo-random numbers: xorshift64 (Marsaglia, 2003). */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* The sum of a header's words (RFC 1071): all ones with its checksum. */
static uint16_t sum_of(const void *ip)
{
	uint16_t words[sizeof(struct iphdr) / 2];
	uint32_t sum = 0;

	memcpy(words, ip, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

static void make_frame(struct frame *frame, struct end from, struct end to, uint64_t flow)
{
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->eth.h_dest, mac, sizeof(mac));
	frame->eth.h_proto = htons(ETH_P_IP);
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.tot_len = htons(sizeof(*frame) - sizeof(frame->eth));
	frame->ip.ttl = 64;
	frame->ip.protocol = IPPROTO_UDP;
	frame->ip.saddr = htonl(from.addr);
	frame->ip.daddr = htonl(to.addr);
	frame->ip.check = ~sum_of(&frame->ip);
	frame->udp.source = htons(from.port);
	frame->udp.dest = htons(to.port);
	frame->udp.len = htons(sizeof(*frame) - sizeof(frame->eth) - sizeof(frame->ip));
	frame->rtp[0] = 0x80;
	frame->flow = flow;
}

static int run(struct frame *frame, struct frame *out, unsigned int ifindex)
{
	struct xdp_md context = { .data_end = sizeof(*frame), .ingress_ifindex = ifindex };
	union bpf_attr attributes = {};

	attributes.test.prog_fd = program;
	attributes.test.repeat = 1;
	attributes.test.data_in = (uintptr_t)frame;
	attributes.test.data_size_in = sizeof(*frame);
	attributes.test.data_out = (uintptr_t)out;
	attributes.test.data_size_out = sizeof(*out);
	attributes.test.ctx_in = (uintptr_t)&context;
	attributes.test.ctx_size_in = sizeof(context);
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof(attributes))) {
		perror("BPF_PROG_TEST_RUN");
		exit(1);
	}
	return attributes.test.retval;
}

static bool is_from_to(const struct frame *frame, struct end from, struct end to)
{
	return frame->ip.saddr == htonl(from.addr) && frame->ip.daddr == htonl(to.addr) &&
	       frame->udp.source == htons(from.port) && frame->udp.dest == htons(to.port);
}

/* Whether all else is as it was sent, one hop on. */
static bool is_whole(const struct frame *frame, const struct frame *sent)
{
	return !memcmp(frame->eth.h_dest, mac, sizeof(mac)) &&
	       !memcmp(frame->eth.h_source, mac, sizeof(mac)) &&
	       frame->ip.ttl == sent->ip.ttl - 1 && sum_of(&frame->ip) == 0xffff &&
	       frame->ip.tot_len == sent->ip.tot_len && frame->udp.len == sent->udp.len &&
	       !memcmp(frame->rtp, sent->rtp, sizeof(frame->rtp)) && frame->flow == sent->flow;
}

/* Whether it goes to the transceiver of a flow that has this one's client. */
static bool is_to_transceiver(const struct frame *frame, uint64_t flow)
{
	uint64_t last = replaces(flow + 1) ? flow + 1 : flow;

	for (flow -= replaces(flow); flow <= last; flow++)
		if (is_from_to(frame, upstream_of(flow, &count), transceiver_of(flow, &count)))
			return true;
	return false;
}

/* Whether a flow has been there since the newest one was this, and still is. */
static bool was_there(uint64_t flow, uint64_t newest)
{
	/* With 0, none may have come yet. */
	return flow & STABLE_BIT ||
	       (newest && flow <= newest && control->newest + 1 < flow + count.ports / 2);
}

static void send_one(uint64_t flow, bool to_client, struct counts *counts)
{
	struct end client = client_of(flow), upstream = upstream_of(flow, &count);
	struct end transceiver = transceiver_of(flow, &count);
	struct frame frame, out;
	uint64_t newest = control->newest;
	bool forwarded, right;

	if (to_client)
		make_frame(&frame, transceiver, upstream, flow);
	else
		make_frame(&frame, client, vip, flow);
	forwarded = run(&frame, &out, interfaces[to_client]) == XDP_REDIRECT;
	right = is_whole(&out, &frame) &&
		(to_client ? is_from_to(&out, vip, client) : is_to_transceiver(&out, flow));
	counts->sent++;
	counts->forwarded += forwarded;
	counts->lost += !forwarded && was_there(flow, newest);
	counts->wrong += forwarded && !right;
}

static uint64_t before(uint64_t flow, uint64_t by)
{
	return flow > by ? flow - by : 0;
}

/* A flow, which may not be there. */
static uint64_t choose(uint64_t random)
{
	uint64_t moving = control->moving, next = control->newest + 1, share = random % 16;

	random >>= 4;
	if (share < 6)
		return STABLE_BIT | random % count.stable;
	if (share < 8)
		return moving ? moving : STABLE_BIT;
	/* Of those that come and go: the one that comes right now, and whose client it may get ... */
	if (share < 10)
		return before(next + 1, random % 3);
	/* ... and the one that goes. */
	if (share < 12)
		return before(next + random % 2, count.ports / 2);
	/* Around the end: those there, some that have gone, and some to come. */
	return before(next + count.ports / 16, random % count.ports);
}

static void *work(void *argument)
{
	long number = (long)argument;
	uint64_t state = 88172645463325252ULL + number * 7919;
	struct counts *counts = calloc(1, sizeof(*counts));
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(number % sysconf(_SC_NPROCESSORS_ONLN), &cpus);
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	while (!control->stop) {
		uint64_t random = next_random(&state), flow = choose(random >> 8);

		send_one(flow, random & 2, counts);
	}
	return counts;
}

int main(int argc, char **argv)
{
	struct counts all = {};
	pthread_t threads[64];
	long running;

	if (argc != 9)
		return 2;
	program = atoi(argv[1]);
	control = mmap(NULL, sizeof(*control), PROT_READ, MAP_SHARED, atoi(argv[2]), 0);
	interfaces[0] = atoi(argv[3]);
	interfaces[1] = atoi(argv[4]);
	count = (struct numbers){ atoll(argv[5]), atoll(argv[6]), atoll(argv[7]) };
	running = atol(argv[8]);
	if (control == MAP_FAILED || !count.stable || !count.ports || !count.transceivers ||
	    running > 64)
		return 2;
	for (long i = 0; i < running; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (long i = 0; i < running; i++) {
		struct counts *counts;

		pthread_join(threads[i], (void **)&counts);
		all.sent += counts->sent;
		all.forwarded += counts->forwarded;
		all.lost += counts->lost;
		all.wrong += counts->wrong;
	}
	printf("{\"sent\": %lu, \"forwarded\": %lu, \"lost\": %lu, \"wrong\": %lu}\n", all.sent,
	       all.forwarded, all.lost, all.wrong);
	return 0;
}
