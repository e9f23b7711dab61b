/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Installs, replaces and removes flows as relay/dataplane/kernel/flowtable.py and flowindex.py do:
 * the same stores in the same order, through the memory of the same maps, and the same wait before
 * a record is used again. But as fast as it can.
 *
 *	churn CONTROL RECORDS ROUTES INDEX TRANSCEIVERS SEED BUCKETS VIP UPSTREAM BASE FIRST
 *	      PORTS TRANSCEIVERS SECONDS
 *
 * The first five are descriptors: of memory that holds struct control, and of maps. VIP and
 * UPSTREAM are the rows of these addresses, BASE is what a port is above to be the position of its
 * record; FIRST is the first of some numbers of transceivers that nobody else uses. Half of the
 * ports have a flow at a time, and have one in the end. It goes on until the SECONDS are over and all
 * has come again some times, and prints a line of what it has done.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../bpf/relay.h"
#include "stress.h"

#define FACTOR 0x9e3779b97f4a7c15ULL
#define NOWHERE UINT64_MAX
#define MAPPED htonl(0xffff)
/* For how long each store that others see is the last one: mostly, and one time in 32. */
#define STORE_NS 100
#define SOME_STORES_NS 5000
#define MOVE_NS 20000 /* the same in a move, which is seldom, and which packets look for */
#define TURNS 6 /* of the ports, at least: a machine may be busy */
#define NUMBERS 4 /* of transceivers: two for this turn of the ports, and two for the last */

struct table {
	struct flow *records;
	struct flow_route *routes;
	uint64_t *entries; /* of all buckets, then of the stash */
	char *transceivers;
	size_t stride; /* from one transceiver to the next */
	uint64_t seed, buckets, stash, end; /* where the stash begins and ends */
	uint32_t base, first;
	uint8_t vip, upstream;
	struct numbers count;
	struct control *control;
	int grace, inner; /* a map of a map that nobody uses */
	uint64_t changes, moved, stashed;
};

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/* However long it takes from one store to the next, packets must go right. */
static void dawdle(uint64_t duration_ns)
{
	uint64_t end = now_ns() + duration_ns;

	while (now_ns() < end)
		;
}

/* A word that others read is stored in one step, after what was stored before `fence`. */
static void store(void *word, uint64_t value)
{
	static uint32_t stores;

	__atomic_store_n((uint64_t *)word, value, __ATOMIC_RELAXED);
	stores = stores * 1664525 + 1013904223; /* pseudo-random (Press et al., 1992) */
	dawdle(stores >> 27 ? STORE_NS : SOME_STORES_NS);
}

static void fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Where a tuple's entry is: flowindex.py. */

static uint64_t hash_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * FACTOR;
	return hash ^ hash >> 32;
}

static uint64_t hash_client(const struct table *table, uint32_t addr, uint16_t port)
{
	uint64_t hash = hash_word(table->seed, (uint64_t)addr << 32 | htonl(vip.addr));

	return hash_word(hash_word(hash, (uint32_t)port << 16 | htons(vip.port)), 0);
}

static uint64_t hash_at(const struct table *table, uint64_t entry)
{
	const struct flow *flow = &table->records[(uint32_t)entry];

	return hash_client(table, flow->client.word[3], flow->ends.client_port);
}

static uint32_t tag_of(uint64_t hash)
{
	return hash_word(hash, 0) >> 32 | 1;
}

static uint64_t start_of(const struct table *table, uint64_t hash, int second)
{
	uint32_t share = second ? hash >> 32 : hash;

	return (share * table->buckets >> 32) * BUCKET_ENTRIES;
}

static uint64_t free_in(const struct table *table, uint64_t start)
{
	for (uint64_t at = start; at < start + BUCKET_ENTRIES; at++)
		if (!table->entries[at])
			return at;
	return NOWHERE;
}

/* The end of what the stash has, which has no gaps. */
static uint64_t stash_end(const struct table *table)
{
	uint64_t at = table->stash;

	while (at < table->end && table->entries[at])
		at++;
	return at;
}

static uint64_t find_in_bucket(const struct table *table, uint64_t start, uint32_t tag)
{
	for (uint64_t at = start; at < start + BUCKET_ENTRIES; at++)
		if (table->entries[at] >> 32 == tag)
			return at;
	return NOWHERE;
}

static bool clashes(const struct table *table, uint64_t hash)
{
	uint32_t tag = tag_of(hash);

	return find_in_bucket(table, start_of(table, hash, 0), tag) != NOWHERE ||
	       find_in_bucket(table, start_of(table, hash, 1), tag) != NOWHERE;
}

/* The entry of a client whose hash this is; tags may clash, so its record is looked at. */
static uint64_t find(const struct table *table, uint64_t hash, uint32_t addr, uint16_t port)
{
	uint64_t places[2 + STASH_BUCKETS * BUCKET_ENTRIES], last = stash_end(table);
	uint32_t tag = tag_of(hash), count = 0;

	for (int second = 0; second < 2; second++)
		places[count++] = find_in_bucket(table, start_of(table, hash, second), tag);
	for (uint64_t at = table->stash; at < last; at++)
		if (table->entries[at] >> 32 == tag)
			places[count++] = at;
	for (uint32_t i = 0; i < count; i++) {
		const struct flow *flow;

		if (places[i] == NOWHERE)
			continue;
		flow = &table->records[(uint32_t)table->entries[places[i]]];
		if (flow->client.word[3] == addr && flow->ends.client_port == port)
			return places[i];
	}
	return NOWHERE;
}

/* Move an entry to its other bucket, if that has room; its old place may be used then. */
static bool move(struct table *table, uint64_t place)
{
	uint64_t entry = table->entries[place], here = place - place % BUCKET_ENTRIES;
	struct address client = table->records[(uint32_t)entry].client;
	uint64_t hash = hash_at(table, entry);

	for (int second = 0; second < 2; second++) {
		uint64_t start = start_of(table, hash, second), free = free_in(table, start);

		if (start == here || free == NOWHERE)
			continue;
		/* stress.c sends by this very flow then. */
		if (ntohl(client.word[3]) >> 24 == STABLE_NET)
			table->control->moving = STABLE_BIT | (ntohl(client.word[3]) & 0xffffff);
		dawdle(MOVE_NS);
		store(&table->entries[free], entry);
		dawdle(MOVE_NS);
		table->moved++;
		return true;
	}
	return false;
}

static uint64_t make_bucket_place(struct table *table, uint64_t hash)
{
	for (int second = 0; second < 2; second++) {
		uint64_t free = free_in(table, start_of(table, hash, second));

		if (free != NOWHERE)
			return free;
	}
	for (int second = 0; second < 2; second++) {
		uint64_t start = start_of(table, hash, second);

		for (uint64_t at = start; at < start + BUCKET_ENTRIES; at++)
			if (move(table, at))
				return at;
	}
	return NOWHERE;
}

static uint64_t make_place(struct table *table, uint64_t hash)
{
	uint64_t place = clashes(table, hash) ? NOWHERE : make_bucket_place(table, hash);

	if (place != NOWHERE)
		return place;
	place = stash_end(table);
	for (uint64_t at = table->stash; at < place; at++)
		if (table->entries[at] >> 32 == tag_of(hash))
			return NOWHERE;
	table->stashed++;
	return place < table->end ? place : NOWHERE;
}

/* Remove an entry of the stash; the last one takes its place. */
static void unstash(struct table *table, uint64_t place)
{
	uint64_t last = stash_end(table) - 1;

	if (last != place) {
		store(&table->entries[place], table->entries[last]);
		fence();
	}
	store(&table->entries[last], 0);
}

/* Remove an entry; one of the stash may get a place of its own by that. */
static void clear_entry(struct table *table, uint64_t place)
{
	uint64_t last;

	if (place >= table->stash) {
		unstash(table, place);
		return;
	}
	store(&table->entries[place], 0);
	last = stash_end(table);
	for (uint64_t at = table->stash; at < last; at++) {
		uint64_t entry = table->entries[at], hash = hash_at(table, entry), free;

		if (clashes(table, hash))
			continue;
		free = make_bucket_place(table, hash);
		if (free == NOWHERE)
			continue;
		store(&table->entries[free], entry);
		fence();
		unstash(table, at);
		return;
	}
}

/* Flows: flowtable.py. */

static void publish(struct table *table, uint32_t position, struct flow_ends ends)
{
	uint64_t word;

	memcpy(&word, &ends, sizeof(word));
	store(&table->records[position].ends, word);
}

static uint16_t name_transceiver(struct table *table, uint64_t number)
{
	uint16_t row = table->first + transceiver_number(number, &table->count) % NUMBERS;
	struct transceiver *transceiver = (void *)(table->transceivers + row * table->stride);
	struct end end = transceiver_of(number, &table->count);

	/* The row's flows before are gone, and a grace period has passed. */
	if (number % table->count.ports < 2) {
		memset(transceiver, 0, sizeof(*transceiver));
		transceiver->addr.word[2] = MAPPED;
		transceiver->addr.word[3] = htonl(end.addr);
		transceiver->port = htons(end.port);
	}
	return row;
}

static void install(struct table *table, uint64_t number)
{
	struct end client = client_of(number);
	uint32_t addr = htonl(client.addr), before = 0;
	uint16_t port = htons(client.port);
	uint32_t position = table->base + upstream_of(number, &table->count).port;
	struct flow *record = &table->records[position];
	struct flow_ends ends = {
		.client_port = port,
		.transceiver = name_transceiver(table, number),
		.vip = table->vip,
		.upstream = table->upstream,
		.kind = FLOW_IP4,
	};
	uint64_t hash = hash_client(table, addr, port);
	uint64_t found = find(table, hash, addr, port), place = found;

	if (found != NOWHERE)
		before = table->entries[found];
	else
		place = make_place(table, hash);
	if (place == NOWHERE) {
		fprintf(stderr, "no place for flow %lu\n", number);
		exit(1);
	}
	memset((char *)record + sizeof(ends), 0, sizeof(*record) - sizeof(ends));
	record->client.word[2] = MAPPED;
	record->client.word[3] = addr;
	memset(table->routes[position].raw, 0, ROUTE_SIZE);
	fence();
	publish(table, position, ends);
	fence();
	store(&table->entries[place], (uint64_t)tag_of(hash) << 32 | position);
	if (found != NOWHERE) {
		ends = table->records[before].ends;
		ends.kind |= FLOW_REPLACED;
		publish(table, before, ends);
	}
	table->changes++;
}

static void take_out(struct table *table, uint64_t number)
{
	struct end client = client_of(number);
	uint32_t addr = htonl(client.addr);
	uint16_t port = htons(client.port);
	uint32_t position = table->base + upstream_of(number, &table->count).port;
	uint64_t place = find(table, hash_client(table, addr, port), addr, port);

	if (place != NOWHERE && (uint32_t)table->entries[place] == position)
		clear_entry(table, place);
	store(&table->records[position].ends, 0);
	table->changes++;
}

/* Waiting until no program reads what was removed: grace.py. */

static int make_map(uint32_t type, uint32_t inner)
{
	union bpf_attr attributes = {
		.map_type = type, .key_size = 4, .value_size = 4, .max_entries = 1, .inner_map_fd = inner,
	};

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

static void settle(struct table *table)
{
	uint32_t key = 0;
	union bpf_attr attributes = {
		.map_fd = table->grace,
		.key = (uintptr_t)&key,
		.value = (uintptr_t)&table->inner,
	};

	if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attributes, sizeof(attributes))) {
		perror("BPF_MAP_UPDATE_ELEM");
		exit(1);
	}
}

/* A map's elements, and bytes from one to the next. */
static void *map_memory(const char *descriptor, size_t *stride)
{
	struct bpf_map_info info = {};
	union bpf_attr attributes = { .info = { .bpf_fd = atoi(descriptor), .info_len = sizeof(info),
						.info = (uintptr_t)&info } };
	void *memory;

	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attributes, sizeof(attributes)))
		exit(2);
	*stride = (info.value_size + 7) / 8 * 8;
	memory = mmap(NULL, *stride * info.max_entries, PROT_READ | PROT_WRITE, MAP_SHARED,
		      atoi(descriptor), 0);
	if (memory == MAP_FAILED)
		exit(2);
	return memory;
}

int main(int argc, char **argv)
{
	struct table table = {};
	uint64_t next = 0, alive;
	size_t stride;
	uint64_t begun;
	double seconds;

	if (argc != 15)
		return 2;
	table.control = mmap(NULL, sizeof(*table.control), PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	table.records = map_memory(argv[2], &stride);
	table.routes = map_memory(argv[3], &stride);
	table.entries = map_memory(argv[4], &stride);
	table.transceivers = map_memory(argv[5], &table.stride);
	table.seed = strtoull(argv[6], NULL, 10);
	table.buckets = atoll(argv[7]);
	table.stash = table.buckets * BUCKET_ENTRIES;
	table.end = table.stash + STASH_BUCKETS * BUCKET_ENTRIES;
	table.vip = atoi(argv[8]);
	table.upstream = atoi(argv[9]);
	table.base = strtoul(argv[10], NULL, 10);
	table.first = atoi(argv[11]);
	table.count = (struct numbers){ .ports = atoll(argv[12]), .transceivers = atoll(argv[13]) };
	table.inner = make_map(BPF_MAP_TYPE_ARRAY, 0);
	table.grace = make_map(BPF_MAP_TYPE_ARRAY_OF_MAPS, table.inner);
	if (table.control == MAP_FAILED || table.inner < 0 || table.grace < 0)
		return 2;
	alive = table.count.ports / 2;
	begun = now_ns();
	do {
		for (uint64_t i = 0; i < alive; i++, next++) {
			if (next >= alive)
				take_out(&table, next - alive);
			install(&table, next);
			table.control->newest = next;
		}
		settle(&table); /* its ports are used again when the next ones have been */
		seconds = (now_ns() - begun) * 1e-9;
	} while (seconds < atof(argv[14]) || next < TURNS * table.count.ports);
	printf("{\"next\": %lu, \"changes\": %lu, \"seconds\": %.3f, \"moved\": %lu, \"stashed\": %lu}\n",
	       next, table.changes, seconds, table.moved, table.stashed);
	return 0;
}
