/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps. BCC, which builds the program, makes them and pins them where ICELANE_PINS says, or
 * uses those that are pinned there already. It understands `map.lookup()` in the main file only.
 */
#ifndef ICELANE_MAPS_H
#define ICELANE_MAPS_H

#include "relay.h"

/*
 * Confirmed flows, two entries each. They are plain hashes: a flood of anything cannot evict a
 * flow, and when a map is full the agent hears of it.
 */
BPF_TABLE_PINNED("hash", struct tuple4, struct flow4, flows4, 2 * ICELANE_MAX_FLOWS,
		 ICELANE_PINS "/flows4");
/* Those with an IPv6 address on either side; memory is taken as they come. */
BPF_TABLE_PINNED("hash", struct tuple, struct flow, flows, 2 * ICELANE_MAX_FLOWS,
		 ICELANE_PINS "/flows", BPF_F_NO_PREALLOC);

/* The relay's own addresses; the agent writes them, the program decides by them on a miss. */
BPF_TABLE_PINNED("hash", struct vip, __u32, vips, 64, ICELANE_PINS "/vips");
BPF_TABLE_PINNED("hash", struct address, struct port_range, upstreams, 64,
		 ICELANE_PINS "/upstreams");
BPF_TABLE_PINNED("hash", struct route_key_id, struct siphash_key, route_keys, 4096,
		 ICELANE_PINS "/route_keys");

/* A list, ended by one of no interface: there are few, and an array's lookup is inlined. */
BPF_TABLE_PINNED("array", __u32, struct tx_port, tx_ports, MAX_TX_PORTS, ICELANE_PINS "/tx_ports");

BPF_TABLE_PINNED("array", __u32, struct rate_limit, rate_limits, LIMIT_COUNT,
		 ICELANE_PINS "/rate_limits");
BPF_TABLE_PINNED("percpu_array", __u32, struct token_bucket, token_buckets, LIMIT_COUNT,
		 ICELANE_PINS "/token_buckets");

BPF_TABLE_PINNED("percpu_array", __u32, struct counters, counters, 1, ICELANE_PINS "/counters");

/*
 * The agent's sockets for all upstream ports. The kernel takes one out when it is closed, also by
 * the agent's death.
 */
BPF_TABLE_PINNED("sockmap", __u32, __u32, steer_sockets, STEER_COUNT,
		 ICELANE_PINS "/steer-sockets");

/* The program does not use it: the loader keeps a note here. */
BPF_TABLE_PINNED("array", __u32, struct build, build, 1, ICELANE_PINS "/build");

#endif
