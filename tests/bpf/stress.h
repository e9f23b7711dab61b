/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stress.c, which sends packets, and churn.c, which changes flows, know of both: a flow's
 * number says all of it. test_stress.py has the same.
 */
#ifndef ICELANE_STRESS_H
#define ICELANE_STRESS_H

#include <stdbool.h>
#include <stdint.h>

#define STABLE_BIT (1ULL << 63) /* in the number of a flow that stays */
#define STABLE_NET 11 /* the first byte of its client's address; of the others' it is 10 */

struct control {
	/* The flow that was installed last, of those that come and go; each before it is there
	 * until the one comes that is half as many later as there are ports. */
	volatile uint64_t newest;
	volatile uint64_t stop;
	volatile uint64_t moving; /* a flow whose entry moves, or has moved; 0: none has */
};

/* How many there are of each. */
struct numbers {
	uint64_t stable, ports, transceivers;
};

struct end {
	uint32_t addr;
	uint16_t port;
};

static const struct end vip = { 0xcb00710a, 3478 };	/* 203.0.113.10 */
static const uint32_t upstream_addr = 0xc0000201;	/* 192.0.2.1 */

/* Whether a flow takes its client from the one before, which is there a while longer. */
static inline bool replaces(uint64_t flow)
{
	return !(flow & STABLE_BIT) && flow % 4 == 1;
}

static inline struct end client_of(uint64_t flow)
{
	uint32_t base = (flow & STABLE_BIT ? STABLE_NET : 10) << 24;

	if (replaces(flow))
		flow--;
	flow &= ~STABLE_BIT;
	return (struct end){ base + (uint32_t)(flow & 0xffffff), 1024 + flow % 60000 };
}

static inline struct end upstream_of(uint64_t flow, const struct numbers *count)
{
	if (flow & STABLE_BIT)
		return (struct end){ upstream_addr, 2000 + (flow & ~STABLE_BIT) };
	return (struct end){ upstream_addr, 30000 + flow % count->ports };
}

/* Neighbours in number have different ones, and so has the one that has the same port later. */
static inline uint64_t transceiver_number(uint64_t flow, const struct numbers *count)
{
	return flow / count->ports * 2 + flow % 2;
}

static inline struct end transceiver_of(uint64_t flow, const struct numbers *count)
{
	if (flow & STABLE_BIT)
		return (struct end){ 0xc00002fe, 5000 };
	return (struct end){
		0xc0000264 + (uint32_t)(transceiver_number(flow, count) % count->transceivers),
		5000,
	};
}

#endif
