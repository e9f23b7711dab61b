/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs the XDP program on packets of flows that come and go meanwhile, on each of some processors,
 * and looks at what becomes of each packet: whose payload names its flow.
 *
 *	stress PROGRAM CONTROL PUBLIC INTERNAL STABLE PORTS TRANSCEIVERS THREADS
 *
 * PROGRAM and CONTROL are descriptors: of the program, and of memory that holds struct control;
 * PUBLIC and INTERNAL the numbers of interfaces. A flow's number says all of it, see client_of()
 * and the like; test_stress.py has the same. It ends when it is told to, and prints a line of
 * what it has counted.
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

#define STABLE_BIT (1ULL << 63) /* in the number of a flow that stays */

struct control {
	volatile uint64_t newest; /* the flow that was installed last, of those that come and go */
	volatile uint64_t stop;
};

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t rtp[12];
	uint64_t flow;
} __attribute__((packed));

struct end {
	uint32_t addr;
	uint16_t port;
};

struct counts {
	uint64_t sent, forwarded, stable_lost, wrong;
};

static int program;
static struct control *control;
static unsigned int interfaces[2];
static uint64_t stable, ports, transceivers;

static const struct end vip = { 0xcb00710a, 3478 };	/* 203.0.113.10 */
static const uint32_t upstream_addr = 0xc0000201;	/* 192.0.2.1 */

static struct end client_of(uint64_t flow)
{
	uint32_t base = flow & STABLE_BIT ? 0x0b000000 : 0x0a000000;

	flow &= ~STABLE_BIT;
	return (struct end){ base + (uint32_t)(flow & 0xffffff), 1024 + flow % 60000 };
}

static struct end upstream_of(uint64_t flow)
{
	if (flow & STABLE_BIT)
		return (struct end){ upstream_addr, 2000 + (flow & ~STABLE_BIT) };
	return (struct end){ upstream_addr, 30000 + flow % ports };
}

static struct end transceiver_of(uint64_t flow)
{
	if (flow & STABLE_BIT)
		return (struct end){ 0xc00002fe, 5000 };
	return (struct end){ 0xc0000264 + (uint32_t)(flow / ports % transceivers), 5000 };
}

/* Pseudo-random numbers: xorshift64 (Marsaglia, 2003). */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void make_frame(struct frame *frame, struct end from, struct end to, uint64_t flow)
{
	uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	uint32_t sum = 0;

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->eth.h_dest, mac, 6);
	frame->eth.h_proto = htons(ETH_P_IP);
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.tot_len = htons(sizeof(*frame) - sizeof(frame->eth));
	frame->ip.ttl = 64;
	frame->ip.protocol = IPPROTO_UDP;
	frame->ip.saddr = htonl(from.addr);
	frame->ip.daddr = htonl(to.addr);
	for (int i = 0; i < 10; i++)
		sum += ((uint16_t *)&frame->ip)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	frame->ip.check = ~(sum + (sum >> 16));
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

static void send_one(uint64_t flow, bool to_client, struct counts *counts)
{
	struct end client = client_of(flow), upstream = upstream_of(flow);
	struct end transceiver = transceiver_of(flow);
	struct frame frame, out;
	bool forwarded, right;

	if (to_client)
		make_frame(&frame, transceiver, upstream, flow);
	else
		make_frame(&frame, client, vip, flow);
	forwarded = run(&frame, &out, interfaces[to_client]) == XDP_REDIRECT;
	right = to_client ? is_from_to(&out, vip, client) : is_from_to(&out, upstream, transceiver);
	counts->sent++;
	counts->forwarded += forwarded;
	counts->stable_lost += !forwarded && flow & STABLE_BIT;
	counts->wrong += forwarded && !right;
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
		uint64_t random = next_random(&state), flow;

		if (random & 1) {
			flow = STABLE_BIT | (random >> 8) % stable;
		} else {
			/* Around the end: those there, some that have gone, and some to come. */
			flow = control->newest + ports / 16 - (random >> 8) % ports;
			if ((int64_t)flow < 0)
				continue;
		}
		send_one(flow, random & 2, counts);
	}
	return counts;
}

int main(int argc, char **argv)
{
	struct counts all = {};
	pthread_t threads[64];
	long count;

	if (argc != 9)
		return 2;
	program = atoi(argv[1]);
	control = mmap(NULL, sizeof(*control), PROT_READ, MAP_SHARED, atoi(argv[2]), 0);
	interfaces[0] = atoi(argv[3]);
	interfaces[1] = atoi(argv[4]);
	stable = atoll(argv[5]);
	ports = atoll(argv[6]);
	transceivers = atoll(argv[7]);
	count = atol(argv[8]);
	if (control == MAP_FAILED || !stable || !ports || !transceivers || count > 64)
		return 2;
	for (long i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (long i = 0; i < count; i++) {
		struct counts *counts;

		pthread_join(threads[i], (void **)&counts);
		all.sent += counts->sent;
		all.forwarded += counts->forwarded;
		all.stable_lost += counts->stable_lost;
		all.wrong += counts->wrong;
	}
	printf("{\"sent\": %lu, \"forwarded\": %lu, \"stable_lost\": %lu, \"wrong\": %lu}\n", all.sent,
	       all.forwarded, all.stable_lost, all.wrong);
	return 0;
}
