/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the BPF program and user space share: the maps' keys and values, and the reasons.
 *
 * This is the only definition of these layouts. User space decodes the maps through the type
 * information (BTF) that the kernel keeps with each of them, so nothing has to be kept in step by
 * hand. Padding is explicit, because keys are hashed with it and must be zero there.
 *
 * Byte order is in the type: __be16 and __be32 are as on the wire, everything else is the host's.
 */
#ifndef ICELANE_RELAY_H
#define ICELANE_RELAY_H

#include <uapi/linux/types.h>

/*
 * Every packet leaves the program for exactly one of these reasons, and is counted under it.
 *
 *	PASS	the network stack of this host gets the packet, unmodified
 *	DROP	nobody gets it
 *	FORWARD	it was rewritten and leaves through an interface
 *
 * docs/verdicts.md says in full which packet meets which reason.
 */
#define ICELANE_REASONS(X)                                                                         \
	/* Confirmed flows. */                                                                     \
	X(forwarded_to_transceiver, FORWARD)                                                       \
	X(forwarded_to_client, FORWARD)                                                            \
	/* None of the relay's business. */                                                        \
	X(not_ip, PASS)                                                                            \
	X(not_udp, PASS)                                                                           \
	X(not_ours, PASS)                                                                          \
	X(malformed, PASS)                                                                         \
	X(other_host, PASS)                                                                        \
	/* Encapsulations that the program leaves to the network stack. */                         \
	X(vlan_unknown, PASS)                                                                      \
	X(vlan_stacked, PASS)                                                                      \
	X(fragment, PASS)                                                                          \
	X(extension_headers, PASS)                                                                 \
	X(many_buffers, PASS)                                                                      \
	/* A confirmed flow's packet that the agent has to look at or to send. */                  \
	X(stun_other_route, PASS)                                                                  \
	X(control, PASS)                                                                           \
	X(ip_options, PASS)                                                                        \
	X(no_route, PASS)                                                                          \
	X(no_neighbour, PASS)                                                                      \
	X(too_big, PASS)                                                                           \
	X(foreign_interface, PASS)                                                                 \
	X(needs_checksum, PASS)                                                                    \
	X(no_headroom, PASS)                                                                       \
	/* Of no confirmed flow, and the agent should see it. */                                   \
	X(stun_routed, PASS)                                                                       \
	X(stun_remote, PASS)                                                                       \
	X(edge_announced, PASS)                                                                    \
	X(stun_answer, PASS)                                                                       \
	X(unknown_client, PASS)                                                                    \
	X(dormant_client, PASS)                                                                    \
	X(unknown_transceiver, PASS)                                                               \
	/* To the relay, and nobody should see it. */                                              \
	X(group_mac, DROP)                                                                         \
	X(zero_length, DROP)                                                                       \
	X(zero_checksum, DROP)                                                                     \
	X(zero_port, DROP)                                                                         \
	X(ttl_expired, DROP)                                                                       \
	X(wrong_side, DROP)                                                                        \
	X(stun_malformed, DROP)                                                                    \
	X(stun_not_request, DROP)                                                                  \
	X(stun_no_route, DROP)                                                                     \
	X(stun_unknown_key, DROP)                                                                  \
	X(stun_forged, DROP)                                                                       \
	X(not_webrtc, DROP)                                                                        \
	/* As those above that the agent should see, but more of them than it is to see. */        \
	X(stun_ufrag_limited, DROP)                                                                \
	X(stun_prefix_limited, DROP)                                                               \
	X(stun_routed_limited, DROP)                                                               \
	X(stun_remote_limited, DROP)                                                               \
	X(stun_answer_limited, DROP)                                                               \
	X(unknown_client_limited, DROP)                                                            \
	X(unknown_transceiver_limited, DROP)                                                       \
	X(fragment_limited, DROP)                                                                  \
	X(extension_headers_limited, DROP)

enum reason {
#define X(name, verdict) REASON_##name,
	ICELANE_REASONS(X)
#undef X
	REASON_COUNT,
	REASON_NONE = REASON_COUNT, /* not decided yet */
};

/* Packets by reason, one copy per processor. A field's position is its reason's number. */
struct counters {
#define X(name, verdict) __u64 name;
	ICELANE_REASONS(X)
#undef X
};
_Static_assert(sizeof(struct counters) == 8 * REASON_COUNT, "one counter for each reason");

/* An IPv6 address, or an IPv4 address in its IPv4-mapped form (RFC 4291, section 2.5.5.2). */
struct address {
	__be32 word[4];
};

enum direction {
	TO_TRANSCEIVER = 1,
	TO_CLIENT = 2,
};
#define DIRECTIONS 2

#define ROUTE_SIZE 21 /* the raw bytes of a route, of which a ufrag is the base64 text */

/*
 * The table of flows is arrays, of which user space is the only writer, by plain stores to memory:
 *
 *	flow_records	one record for each upstream port of each address, which are its position
 *	flow_routes	the route of each, which only Binding requests are compared with
 *	flow_index	where the record of a client's tuple is: buckets of a hash table
 *
 * A packet of a transceiver finds its record by the port that it is sent to. One of a client finds
 * it through a bucket, of which its tuple has two: a record's entry is in one of them.
 *
 * A flow appears with the store of a single word, which comes last, and goes with one, which comes
 * first: `ends` for its transceiver, an entry of a bucket for its client. Who forwards a packet at
 * that moment goes on with the record that it has found, which is why a record that was in use is
 * not written again before all that may still read it have finished (a grace period).
 */

/* Where a flow's ends are; by number those that are in tables. The upstream port is its position. */
struct flow_ends {
	__be16 client_port;
	__u16 transceiver;
	__u8 vip;
	__u8 upstream;
	__u8 kind; /* 0: no flow; else enum flow_kind */
	__u8 pad;
};
_Static_assert(sizeof(struct flow_ends) == 8, "one word, which is stored in one step");

enum flow_kind {
	FLOW_CONFIRMED = 1,
	FLOW_CLIENT_IP6 = 2,
	FLOW_TRANSCEIVER_IP6 = 4,
	FLOW_REPLACED = 8, /* another flow has its client by now: only its transceiver sends */
};
#define FLOW_IP4 FLOW_CONFIRMED
#define FLOW_IP6 (FLOW_CONFIRMED | FLOW_CLIENT_IP6 | FLOW_TRANSCEIVER_IP6)

/* `seen` counts the scheduler's ticks in units of 2^6: 64 ms of 1000 a second, 640 ms of 100. */
#define SEEN_TICK_SHIFT 6

/*
 * A confirmed flow. What is there for each direction is at enum direction - 1, and is the
 * program's; the rest is user space's.
 */
struct flow {
	struct flow_ends ends;
	struct address client;
	__u64 bytes[DIRECTIONS];    /* of UDP payload */
	__u32 packets[DIRECTIONS];  /* modulo 2^32 */
	__u32 bindings[DIRECTIONS]; /* the next hop, see struct hop; 0: none */
	__u32 seen[DIRECTIONS];	    /* when the last packet was; 0: never */
};
_Static_assert(sizeof(struct flow) == 64, "one cache line");

struct flow_route {
	__u8 raw[ROUTE_SIZE];
	__u8 pad[3];
};
_Static_assert(sizeof(struct flow_route) == 24, "no hidden padding");

/*
 * A tuple whose two buckets are full has its entry in the stash: some more buckets, behind those of
 * the hash table, which are filled from the front and in which each tuple is looked for. (Kirsch,
 * Mitzenmacher, Wieder, More robust hashing: cuckoo hashing with a stash, 2009.)
 */
#define STASH_BUCKETS 8

/*
 * An entry is a tag of the tuple's hash, which is not 0, above the record's position; 0: none.
 *
 * Where entries are depends on the hash. Whoever changes it gives this another layout, be it by a
 * name: then a loader does not take a running version's index for one of its own, and writes one.
 */
#define BUCKET_ENTRIES 8
struct bucket {
	__u64 entry[BUCKET_ENTRIES];
};
_Static_assert(sizeof(struct bucket) == 64, "one cache line");

/* How buckets and slots are chosen. */
struct flow_hash {
	__u64 seed; /* so that nobody outside can choose tuples that share a bucket */
	__u32 buckets;
	__u32 max_flows; /* for how many there is room; the program has no use for it */
	__u32 own_seed;	 /* by which no two of the relay's own addresses share a slot */
	__u32 own_writes; /* how often these were written; the program has no use for it */
};

/*
 * The relay's own addresses, and the transceivers': flows name them by their positions in tables,
 * which therefore never change while a flow has them.
 */
enum own {
	OWN_CURRENT = 1, /* new flows may have it */
	OWN_FORMER = 2,  /* no longer the relay's, but for the flows that have it */
};

/* Where an address is in its table: a slot has one of these bits with a number, or 0. */
enum own_table {
	OWN_VIP = 0x100,
	OWN_UPSTREAM = 0x200,
};
#define OWN_NUMBER 0xff
#define OWN_SLOT_BITS 12

/* A public address of the relay: clients send to it. */
struct vip {
	struct address addr;
	__be16 port;
	__u8 own; /* enum own; 0: the row is free */
	__u8 pad;
};
_Static_assert(sizeof(struct vip) == 20, "no hidden padding");
#define VIPS 64

/* An internal address of the relay, and its ports; both ends are included. */
struct upstream {
	struct address addr;
	__u32 base;    /* a port's record is at this plus the port, modulo 2^32 */
	__u16 lowest;  /* port that has a record, and the highest */
	__u16 highest;
	__u16 first; /* port of new flows, and the last */
	__u16 last;
	__u8 own;
	__u8 pad[3];
};
_Static_assert(sizeof(struct upstream) == 32, "no hidden padding");
#define UPSTREAMS 64

struct transceiver {
	struct address addr;
	__be16 port;
	__u8 pad[2];
};
_Static_assert(sizeof(struct transceiver) == 20, "no hidden padding");
#define TRANSCEIVERS 16384

/*
 * A next hop: what the FIB has answered for some flows, remembered. Once `ifindex` is set, which
 * is done last, nothing in it changes but `checked`: a MAC address is never read half-written.
 * Nobody frees a single one. The agent turns to the other half of the table now and then, and
 * clears the half that no flow is bound to any more.
 *
 * A flow's entry names its next hop by a binding of one word, so it changes in one step:
 *
 *	bits 0-11	the hop's index; the hop at 0 is never used
 *	bits 12-21	the low bits of the generation (struct leases) when the FIB was asked
 *	bits 22-31	when that was, in units of 2^leases.tick_shift of the scheduler's ticks, or
 *			earlier, for a lease that is to end sooner
 *
 * It holds while that generation is current (whoever sees the FIB change raises it, and all flows
 * ask again), for leases.flow units of time, while the hop's own record was confirmed by some
 * flow within leases.hop, and for packets that fit its MTU and have its DSCP.
 */
struct hop {
	__u64 claim; /* a hash of what is in it; 0: free */
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u16 mtu;
	__be16 vlan;   /* 0: untagged */
	__u32 ifindex; /* the interface that runs the program; 0: not written yet */
	__u32 checked; /* the low bits of the scheduler's ticks when the FIB last said the same */
	__be32 gateway[4];
	__u8 tos; /* DSCP; ECN is zero */
	__u8 pad[15];
};
_Static_assert(sizeof(struct hop) == 64, "one cache line");

#define HOP_INDEX_BITS 12
#define HOP_GENERATION_BITS 10
#define HOPS (1 << HOP_INDEX_BITS)
#define HOPS_HALF (HOPS / 2)
#define HOP_PROBES 4

/*
 * How long an answer of the FIB may be used; times in ticks of the scheduler. The generation is the
 * sum of two numbers, so that neither side ever undoes what the other one has raised meanwhile.
 */
struct leases {
	__u64 raised;	  /* how often the program has seen the FIB answer otherwise than before */
	__u64 told;	  /* how often the agent has said that the FIB may have changed */
	__u64 watched_ns; /* CLOCK_MONOTONIC: when the agent was last there to say so */
	__u32 watch_ns;	  /* for how long after that it counts as there */
	__u32 half;	  /* of the table of hops: 0 or 1 */
	__u32 hop;	  /* ticks */
	__u32 flow;	  /* units of 2^tick_shift ticks; without an agent it is one unit */
	__u32 tick_shift;
	__u32 pad;
};
_Static_assert(sizeof(struct leases) == 48, "no hidden padding");

/* What is known of an interface that packets come in through. */
struct ingress {
	__u32 ifindex; /* 0: nothing is */
	__u8 mac[6];   /* frames to another address are not for this host */
	__u8 sides;    /* enum side: where its packets may come from */
	/* Whether what goes back through it is redirected: XDP_TX of a veth reaches nobody unless
	 * the other end runs a program, and nothing tells. */
	__u8 redirects;
};
_Static_assert(sizeof(struct ingress) == 12, "no hidden padding");

enum side {
	SIDE_CLIENTS = 1,
	SIDE_TRANSCEIVERS = 2,
};

/*
 * An interface is in the slot of its number modulo INGRESSES, or in the next ones where that is
 * taken: there is no free slot between, and at most so many are looked at.
 */
#define INGRESSES 64
#define INGRESS_PROBES 16

/* The programs that others end in (bpf_tail_call). */
enum tail {
	TAIL_TRIAGE,
	TAIL_REQUEST,
	TAIL_FORWARD,
	TAIL_ANNOUNCED,
	TAIL_COUNT,
};

/* Which key a route is signed with. */
struct route_key_id {
	__u16 cluster;
	__u8 slot;
	__u8 pad;
};
_Static_assert(sizeof(struct route_key_id) == 4, "hashed as it is: no hidden padding");

/*
 * A slot that no route can name: the cluster is elsewhere. Its relays verify its routes, and this
 * one goes by the cluster alone.
 */
#define REMOTE_SLOT 8

/* A SipHash key: 16 bytes, as two little-endian words. */
struct siphash_key {
	__le64 secret[2];
};

/* Where packets may leave: an interface that runs this program, or a VLAN above one. */
struct tx_port {
	__u32 ifindex; /* the interface that runs the program */
	__be16 vlan;   /* 0: untagged */
	__u8 pad[2];
};
_Static_assert(sizeof(struct tx_port) == 8, "no hidden padding");

/* Where packets may come in tagged: an interface that runs this program, or a part of such a bond. */
struct own_vlan {
	__u32 ifindex;
	__be16 vlan;
	__u8 pad[2];
};
_Static_assert(sizeof(struct own_vlan) == 8, "no hidden padding");

#define MAX_TX_PORTS 8192 /* there are 4094 VLANs */

/* Which of the agent's sockets gets what comes to upstream ports. */
enum steer_family {
	STEER_IP4,
	STEER_IP6,
	STEER_COUNT,
};

/* What was forwarded and lost on the way out, and what finds out whose that was. */
struct losses {
	__u64 redirect_failed;	/* packets that the kernel could not redirect */
	__u64 transmit_dropped; /* packets that a driver did not take, or had no room for */
	__u64 from_clients;	/* of all these, those that came in where clients alone do */
	__u64 lost_at;		/* scheduler's tick when a way out last lost a packet; 0: never */
	__u32 netns;		/* the inode number of the network namespace that this is about */
	__u32 ifindex_at;	/* offsets in the running kernel's structures */
	__u32 net_at;
	__u32 inum_at;
};
_Static_assert(sizeof(struct losses) == 48, "no hidden padding");

/*
 * What became of packets that were redirected to an interface that runs the program, whoever's they
 * were; of XDP_TX nobody tells.
 */
struct way_out {
	__u64 taken;   /* packets that its driver took, within some seconds after a loss */
	__u64 lost;    /* packets that it did not take, and that could not be redirected to it */
	__u64 refused; /* of these, those with an error, but for a device that is down */
};
_Static_assert(sizeof(struct way_out) == 24, "no hidden padding");

/*
 * A client of whom another relay has a flow, and who may come here when routes change: its first
 * packet goes up however many others of unknown clients there are.
 */
struct dormant_client {
	struct address client;
	struct address vip;
	__be16 client_port;
	__be16 vip_port;
};
_Static_assert(sizeof(struct dormant_client) == 36, "hashed as it is: no hidden padding");

/* What the running program was built from, so that a restarted agent need not build it again. */
struct build {
	__u8 sha256[32];
};

/*
 * What may reach the agent at a limited rate only, in the order of relay/core/rates.py. Most have
 * one token bucket, which all processors share; the last three have many, chosen by hash.
 */
enum rate_limited {
	LIMIT_STUN_ROUTED,
	LIMIT_STUN_REPEATED,
	LIMIT_STUN_ANSWER,
	LIMIT_UNKNOWN_CLIENT,
	LIMIT_UNKNOWN_TRANSCEIVER,
	LIMIT_WRAPPED,
	LIMIT_STUN_REMOTE,
	LIMIT_UFRAG,
	LIMIT_PREFIX,
	LIMIT_NETWORK,
	LIMIT_COUNT,
};

/* From so many addresses edges may send; from others, they are clients like any other. */
#define EDGES 1024

/* How many buckets ufrags have, and prefixes of clients' addresses. */
#define TOKEN_BUCKETS_BITS 14
#define TOKEN_BUCKETS (1 << TOKEN_BUCKETS_BITS)

/* A bucket's size, in time: a packet costs `cost_ns`, and a bucket gains 1 ns each ns. */
struct rate_limit {
	__u64 cost_ns;
	__u64 burst_ns;
};

/* One word, so that it changes in one step. A bucket of 0 is full. */
struct token_bucket {
	__u64 full_at_ns; /* CLOCK_MONOTONIC_COARSE: when it is full, if nothing more is taken */
};

/*
 * What `icelane trace` is told of a packet (trace.bpf.c). The frame is as it came in, and begins two
 * bytes behind a multiple of eight, so that its IP header has the right place.
 */
#define TRACE_FRAME 126
struct trace_record {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct address client;
	__u32 frame_length;
	__be16 client_port; /* 0: the packet does not tell */
	__u8 direction;
	__u8 reason;  /* REASON_NONE: nobody knows */
	__u8 verdict; /* enum verdict */
	__u8 kept;    /* bytes of the frame that are here; the rest is zero */
	__u8 frame[TRACE_FRAME];
};
_Static_assert(sizeof(struct trace_record) == 160, "no hidden padding");

/* The last packet of the client on a processor, until it is told of. */
struct trace_held {
	struct trace_record record;
	struct counters before; /* what was counted when it came */
	__u64 waits;		/* 1: it is to be told of; taken in one step */
};

/* Whose packets are told of, how many at most, and how many were not. */
struct trace_setup {
	struct address client;
	struct rate_limit rate;
	struct token_bucket bucket;
	__u64 limited; /* packets beyond the rate */
	__u64 full;    /* packets for which there was no room */
	__be16 client_port; /* 0: any */
	__u8 pad[6];
};
_Static_assert(sizeof(struct trace_setup) == 64, "no hidden padding");

/* Until when somebody is there to read what is told: CLOCK_MONOTONIC, in nanoseconds. */
struct trace_lease {
	__u64 until_ns;
};

/* Records that wait to be read. */
#define TRACE_RECORDS 2048

/* Verdicts by which the client's packets are counted, see enum verdict. */
#define TRACE_VERDICTS 3

#endif
