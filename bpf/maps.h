/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps. BCC, which compiles them, understands `map.lookup()` in the main file only. They are
 * made, sized and pinned when the program is loaded, and a map that is pinned already is used.
 */
#ifndef ICELANE_MAPS_H
#define ICELANE_MAPS_H

#include "relay.h"

/* Confirmed flows, sized by the relay's upstream addresses; the index by the configuration. */
BPF_F_TABLE("array", __u32, struct flow, flow_records, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct flow_route, flow_routes, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct bucket, flow_index, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct flow_hash, flow_hash, 1, BPF_F_MMAPABLE);

/* The addresses that flows name by number; where the relay's own are is in a slot of each. */
BPF_F_TABLE("array", __u32, struct vip, own_vips, VIPS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct upstream, own_upstreams, UPSTREAMS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, __u32, own_slots, 1 << OWN_SLOT_BITS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct transceiver, transceivers, TRANSCEIVERS, BPF_F_MMAPABLE);

BPF_TABLE("hash", struct route_key_id, struct siphash_key, route_keys, 4096);

/*
 * Ways out, by what the FIB calls them, and what may come in tagged. Entries take memory only while
 * they are there. A value has to be something.
 */
BPF_F_TABLE("hash", __u32, struct tx_port, tx_ports, MAX_TX_PORTS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct own_vlan, __u32, own_vlans, MAX_TX_PORTS, BPF_F_NO_PREALLOC);

BPF_TABLE("array", __u32, struct ingress, ingresses, INGRESSES);

/* Next hops, and how long each may be used. User space reads and clears them as memory. */
BPF_F_TABLE("array", __u32, struct hop, hops, HOPS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct leases, leases, 1, BPF_F_MMAPABLE);

/* One for each loaded version, never shared: the programs of a version call their own. */
BPF_PROG_ARRAY(tails, TAIL_COUNT);

BPF_TABLE("array", __u32, struct rate_limit, rate_limits, LIMIT_COUNT);
BPF_TABLE("array", __u32, struct token_bucket, token_buckets, LIMIT_COUNT);
BPF_F_TABLE("array", __u32, struct token_bucket, ufrag_buckets, TOKEN_BUCKETS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct token_bucket, prefix_buckets, TOKEN_BUCKETS, BPF_F_MMAPABLE);

BPF_TABLE("percpu_array", __u32, struct counters, counters, 1);

/*
 * The agent's sockets for all upstream ports. The kernel takes one out when it is closed, also by
 * the agent's death.
 */
BPF_TABLE("sockmap", __u32, __u32, steer_sockets, STEER_COUNT);

/*
 * Sized by the configuration, and mostly empty: entries take memory only while they are there. A
 * value has to be something.
 */
BPF_F_TABLE("hash", struct dormant_client, __u32, dormant_clients, 1, BPF_F_NO_PREALLOC);

/* Where edges send their clients' checks from, each with a bucket of its own. */
BPF_F_TABLE("hash", struct address, struct token_bucket, edges, EDGES, BPF_F_NO_PREALLOC);

BPF_TABLE("array", __u32, struct losses, losses, 1);

/* In the slots that the interfaces have in `ingresses`. */
BPF_TABLE("percpu_array", __u32, struct way_out, ways_out, INGRESSES);

/* The program does not use it: the loader keeps a note here. */
BPF_TABLE("array", __u32, struct build, build, 1);

/*
 * Of the programs of trace.bpf.c. They are made for as long as somebody follows a client, and all
 * but the last are not pinned. A queue is read by system calls, in the order in which it was filled.
 */
BPF_TABLE("array", __u32, struct trace_setup, trace_setup, 1);
BPF_TABLE("array", __u32, struct trace_lease, trace_lease, 1);
BPF_TABLE("percpu_array", __u32, struct trace_held, trace_held, 1);
BPF_TABLE("percpu_array", __u32, struct counters, trace_counts, TRACE_VERDICTS);
BPF_QUEUE(trace_records, struct trace_record, TRACE_RECORDS);
BPF_PROG_ARRAY(trace_tails, 1);

#endif
