/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finding a packet's flow, and what its packets are rewritten to. Whoever includes `ip6` as a
 * constant gets the code of one family only, which is what relay() lives on.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/if_ether.h>

#include "relay.h"
#include "parse.h"
#include "stun.h"
#include "siphash.h"
#include "rewrite.h"
#include "maps.h"

/*
 * A packet's flow. No field is the key of a lookup, which takes the address of what it is given:
 * the compiler would keep all of it in memory, and know nothing of it.
 */
struct found {
	struct flow *flow; /* NULL: there is none */
	struct flow_ends ends;
	enum direction direction;
	__u32 index;
	const struct vip *vip;
};

static __always_inline __u64 hash_word(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/*
 * relay/dataplane/kernel/flowindex.py has the same. The last round takes no word, but mixes:
 * without it many clients of few addresses, with ports in a row, crowd some buckets, and the table
 * is full with a twentieth of its room free.
 */
static __always_inline __u64 hash_tuple(__u64 seed, const struct tuple *tuple, bool ip6)
{
	const __be32 *src = tuple->src.word, *dst = tuple->dst.word;
	__u64 hash = seed;

	if (ip6) {
		hash = hash_word(hash, (__u64)src[0] << 32 | src[1]);
		hash = hash_word(hash, (__u64)src[2] << 32 | src[3]);
		hash = hash_word(hash, (__u64)dst[0] << 32 | dst[1]);
		hash = hash_word(hash, (__u64)dst[2] << 32 | dst[3]);
	} else {
		hash = hash_word(hash, (__u64)src[3] << 32 | dst[3]);
	}
	hash = hash_word(hash, (__u32)tuple->src_port << 16 | tuple->dst_port);
	return hash_word(hash, 0);
}

static __always_inline bool is_same(const struct address *one, const struct address *other,
				    bool ip6)
{
	const __u64 *halves = halves_of(one), *others = halves_of(other);

	if (!ip6)
		return one->word[3] == other->word[3];
	return halves[1] == others[1] && halves[0] == others[0];
}

/* The entry with a tag in the bucket that `share`, of 2^32, names; 0: none. */
static __always_inline __u64 find_entry(__u32 share, __u32 buckets, __u32 tag)
{
	__u32 index = (__u64)share * buckets >> 32;
	struct bucket *bucket = flow_index.lookup(&index);

	if (!bucket)
		return 0;
#pragma unroll
	for (int i = 0; i < BUCKET_ENTRIES; i++) {
		__u64 entry = *(volatile __u64 *)&bucket->entry[i];

		if (entry >> 32 == tag)
			return entry;
	}
	return 0;
}

/*
 * The entry with a tag in the stash; 0: none. It is read backwards: when one goes, the last one
 * takes its place, and is there before it leaves the end.
 */
static __always_inline __u64 find_in_stash(__u32 buckets, __u32 tag)
{
	for (int i = STASH_BUCKETS - 1; i >= 0; i--) {
		__u32 index = buckets + i;
		struct bucket *bucket = flow_index.lookup(&index);

		if (!bucket)
			return 0;
#pragma unroll
		for (int j = BUCKET_ENTRIES - 1; j >= 0; j--) {
			__u64 entry = *(volatile __u64 *)&bucket->entry[j];

			if (entry >> 32 == tag)
				return entry;
		}
	}
	return 0;
}

/* A record's ends, of which it has none when there is no flow. */
static __always_inline struct flow_ends read_ends(const struct flow *flow)
{
	union {
		__u64 word;
		struct flow_ends ends;
	} read = { .word = *(volatile __u64 *)&flow->ends };

	return read.ends;
}

/*
 * Let what is read of a record after its ends depend on them: a processor that reorders loads
 * would else read a client's address from before the record was written (arm64, as C++11's
 * consume). The compiler must not see that it adds nothing.
 */
static __always_inline struct flow *after_ends(struct flow *flow, struct flow_ends ends)
{
	__u64 nothing = ends.kind;

	asm volatile("%0 &= 0" : "+r"(nothing));
	return (void *)flow + nothing;
}

/*
 * The number of one of the relay's own addresses in `table`, if it is one: the row tells. 0 for
 * the port of an upstream address. relay/dataplane/kernel/ownaddresses.py has the same hash.
 */
static __always_inline bool find_own(enum own_table table, const struct address *address,
				     __be16 port, __u32 *number)
{
	__u32 only = 0, slot, *entry;
	struct flow_hash *how = flow_hash.lookup(&only);
	__u32 mixed = address->word[0] * 0x85ebca6bU ^ address->word[1] * 0xc2b2ae35U ^
		      address->word[2] * 0x27d4eb2fU ^ address->word[3] ^ port * 0x165667b1U;

	if (!how)
		return false;
	slot = mixed * how->own_seed >> (32 - OWN_SLOT_BITS);
	entry = own_slots.lookup(&slot);
	if (!entry || !(*entry & table))
		return false;
	*number = *entry & OWN_NUMBER;
	return true;
}

/* The internal address of the relay that this is; NULL: it is none. */
static __always_inline struct upstream *find_upstream(const struct address *address, bool ip6)
{
	struct upstream *upstream;
	__u32 number;

	if (!find_own(OWN_UPSTREAM, address, 0, &number))
		return NULL;
	upstream = own_upstreams.lookup(&number);
	return upstream && is_same(&upstream->addr, address, ip6) ? upstream : NULL;
}

/* The flow that a transceiver sends into, by the relay's address and port that it sends to. */
static __always_inline void find_of_transceiver(const struct tuple *tuple,
						const struct upstream *upstream, bool ip6,
						struct found *found)
{
	__u16 port = bpf_ntohs(tuple->dst_port);
	__u32 index = upstream->base + port, number;
	struct transceiver *sender;
	struct flow *flow;

	if (port < upstream->lowest || port > upstream->highest)
		return;
	found->direction = TO_CLIENT;
	found->index = index;
	flow = flow_records.lookup(&index);
	if (!flow)
		return;
	found->ends = read_ends(flow);
	if (!found->ends.kind)
		return;
	number = found->ends.transceiver;
	sender = transceivers.lookup(&number);
	number = found->ends.vip;
	found->vip = own_vips.lookup(&number);
	/* Upstream and transceiver are of one family. */
	if (sender && sender->port == tuple->src_port && is_same(&sender->addr, &tuple->src, ip6))
		found->flow = after_ends(flow, found->ends);
}

/* The flow of a client, if an entry with its tag is its. */
static __always_inline void take_entry(__u64 entry, const struct tuple *tuple, bool ip6,
				       struct found *found)
{
	__u32 index = entry, number;
	struct flow *flow;

	found->index = index;
	flow = flow_records.lookup(&index);
	if (!flow)
		return;
	found->ends = read_ends(flow);
	number = found->ends.vip;
	found->vip = own_vips.lookup(&number);
	if (!found->ends.kind || !(found->ends.kind & FLOW_CLIENT_IP6) != !ip6 || !found->vip)
		return;
	if (found->ends.client_port == tuple->src_port && found->vip->port == tuple->dst_port &&
	    is_same(&flow->client, &tuple->src, ip6) && is_same(&found->vip->addr, &tuple->dst, ip6))
		found->flow = flow;
}

static __always_inline __u32 tag_of(__u64 hash)
{
	return hash_word(hash, 0) >> 32 | 1;
}

/* The flow that a client sends into. */
static __always_inline void find_of_client(const struct tuple *tuple, bool ip6,
					   struct found *found)
{
	__u32 only = 0, tag;
	struct flow_hash *how = flow_hash.lookup(&only);
	__u64 hash, entry;

	found->direction = TO_TRANSCEIVER;
	if (!how)
		return;
	hash = hash_tuple(how->seed, tuple, ip6);
	tag = tag_of(hash);
	entry = find_entry(hash, how->buckets, tag);
	if (!entry)
		entry = find_entry(hash >> 32, how->buckets, tag);
	if (entry)
		take_entry(entry, tuple, ip6, found);
}

/* The same, if its entry is in the stash, which is empty as a rule. */
static __always_inline void find_of_stashed(const struct tuple *tuple, bool ip6,
					    struct found *found)
{
	__u32 only = 0, first;
	struct flow_hash *how = flow_hash.lookup(&only);
	struct bucket *stash;
	__u64 entry;

	if (!how)
		return;
	first = how->buckets;
	stash = flow_index.lookup(&first);
	if (!stash || !*(volatile __u64 *)&stash->entry[0])
		return;
	entry = find_in_stash(how->buckets, tag_of(hash_tuple(how->seed, tuple, ip6)));
	if (entry)
		take_entry(entry, tuple, ip6, found);
}

/* A packet's flow, by its source and destination; IPv4 addresses are whole in their mapped form. */
static __always_inline void find_flow(const struct tuple *tuple, bool ip6, struct found *found)
{
	struct upstream *upstream = find_upstream(&tuple->dst, ip6);

	if (upstream)
		find_of_transceiver(tuple, upstream, ip6, found);
	if (!found->flow) /* a VIP may have an upstream address, and another port */
		find_of_client(tuple, ip6, found);
}

/*
 * The same, looking into the stash, too: for all but the quick way. The stash comes first, as an
 * entry that leaves it is in its bucket before.
 */
static __always_inline void find_any_flow(const struct tuple *tuple, bool ip6, struct found *found)
{
	found->direction = TO_TRANSCEIVER;
	find_of_stashed(tuple, ip6, found);
	if (!found->flow)
		find_flow(tuple, ip6, found);
}

/* What a flow's packet is rewritten to; false never, but the verifier cannot know. */
static __always_inline bool find_rewrite(const struct found *found, struct ends *to)
{
	struct transceiver *transceiver;
	struct upstream *upstream;
	__u32 number;

	if (found->direction == TO_CLIENT) {
		if (!found->vip)
			return false;
		to->src = &found->vip->addr;
		to->src_port = found->vip->port;
		to->dst = &found->flow->client;
		to->dst_port = found->ends.client_port;
		return true;
	}
	number = found->ends.upstream;
	upstream = own_upstreams.lookup(&number);
	number = found->ends.transceiver;
	transceiver = transceivers.lookup(&number);
	if (!upstream || !transceiver)
		return false;
	to->src = &upstream->addr;
	to->src_port = bpf_htons(found->index - upstream->base);
	to->dst = &transceiver->addr;
	to->dst_port = transceiver->port;
	return true;
}

/* The next hop that a flow's packets of a direction are bound to. */
static __always_inline __u32 *binding_of(struct flow *flow, enum direction direction)
{
	return direction == TO_CLIENT ? &flow->bindings[TO_CLIENT - 1] :
					&flow->bindings[TO_TRANSCEIVER - 1];
}
