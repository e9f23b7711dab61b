/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Binding requests to a VIP: which of them are verified, and reach the agent or a transceiver. And
 * what edges announce there, which has a route, too.
 */

/*
 * A verdict on the tag of a route: REASON_NONE when one of the relay's keys made it, and
 * REASON_stun_remote when its cluster is elsewhere, so that nobody here can tell.
 */
static __always_inline enum reason verify_route(const struct route *route)
{
	struct route_key_id id = {
		.cluster = route_cluster(route),
		.slot = route_key_slot(route),
	};
	struct siphash_key *key = route_keys.lookup(&id);

	if (!key) {
		id.slot = REMOTE_SLOT;
		return route_keys.lookup(&id) ? REASON_stun_remote : REASON_stun_unknown_key;
	}
	if (siphash24_two_words(le64_to_cpu(key->secret[0]), le64_to_cpu(key->secret[1]), route->head,
				route->tail, ROUTE_SIGNED_SIZE) != route->tag)
		return REASON_stun_forged;
	return REASON_NONE;
}

/* A bucket of its own for what a hash is of, but for chance. */
static __always_inline __u32 bucket_of(__u64 hash)
{
	return hash >> (64 - TOKEN_BUCKETS_BITS);
}

/*
 * Whether one of a ufrag's two buckets lets one more pass. Some of all buckets are empty while
 * ufrags are repeated, but hardly ever both of another one. A tag is as random as a hash, and
 * nobody can choose it.
 */
static __always_inline bool admit_ufrag(__u64 tag)
{
	__u32 first = bucket_of(tag), second = tag % TOKEN_BUCKETS;

	return take_from(ufrag_buckets.lookup(&first), LIMIT_UFRAG) ||
	       take_from(ufrag_buckets.lookup(&second), LIMIT_UFRAG);
}

/*
 * Whether the client's prefixes let one more pass: its IPv4 address, or its /64 and then its /48.
 * Behind an edge there are many clients: it has as much as a /48, and a bucket of its own.
 */
static __always_inline bool admit_prefix(const struct address *client, bool is_ip6)
{
	__u32 only = 0, index;
	struct flow_hash *how = flow_hash.lookup(&only); /* it has a secret seed */
	const __be32 *word = client->word;
	struct token_bucket *edge;

	if (!how)
		return false;
	edge = edges.lookup(client);
	if (edge)
		return take_from(edge, LIMIT_NETWORK);
	index = bucket_of(is_ip6 ? hash_word(how->seed, (__u64)word[0] << 32 | word[1]) :
				   hash_word(~how->seed, word[3]));
	if (!take_from(prefix_buckets.lookup(&index), LIMIT_PREFIX))
		return false;
	if (!is_ip6)
		return true;
	index = bucket_of(hash_word(~how->seed, (__u64)word[0] << 32 |
							(word[1] & bpf_htonl(0xffff0000))));
	return take_from(prefix_buckets.lookup(&index), LIMIT_NETWORK);
}

/*
 * Whether a request with a valid route may reach the agent. Whoever has seen a ufrag can repeat it
 * from anywhere, so each ufrag has buckets of its own; what those have not got has a small share
 * of its own, and takes from nobody else's.
 */
static __always_inline enum reason admit_request(const struct route *route,
						 const struct packet *packet)
{
	struct tuple tuple;

	if (!admit_ufrag(route->tag))
		return take_token(LIMIT_STUN_REPEATED) ? REASON_NONE : REASON_stun_ufrag_limited;
	read_tuple(packet, &tuple);
	if (!admit_prefix(&tuple.src, packet->is_ip6))
		return REASON_stun_prefix_limited;
	return take_token(LIMIT_STUN_ROUTED) ? REASON_NONE : REASON_stun_routed_limited;
}

/*
 * A client's Binding request, whose USERNAME may hold a route; `own` is its flow's, or NULL.
 *
 * On a confirmed flow, one that names another transceiver or generation than the flow's belongs
 * to a new session, and the agent routes it by its ufrag. All others follow the flow, whose
 * transceiver knows best what to make of them: REASON_NONE.
 */
static __always_inline enum reason decide_request(const struct packet *packet,
						  const struct flow_route *own)
{
	struct route route;
	enum reason reason;

	if (!parse_route(packet, &route))
		return own ? REASON_NONE : REASON_stun_no_route;
	if (own && !((route.head ^ le64_to_cpu(*(__le64 *)own->raw)) & ROUTE_TARGET))
		return REASON_NONE;
	reason = verify_route(&route);
	if (reason == REASON_stun_remote)
		return take_token(LIMIT_STUN_REMOTE) ? reason : REASON_stun_remote_limited;
	if (reason == REASON_NONE)
		reason = admit_request(&route, packet);
	if (reason != REASON_NONE)
		return reason;
	return own ? REASON_stun_other_route : REASON_stun_routed;
}

/* What an edge says of a client: the agent verifies it, if its route is one of this cluster. */
static __always_inline enum reason decide_announcement(const struct packet *packet)
{
	const struct announcement *said = find_announcement(packet);
	struct route route;
	enum reason reason;

	if (!said || !read_route(said, &route))
		return REASON_not_webrtc;
	reason = verify_route(&route);
	if (reason == REASON_stun_remote)
		return REASON_stun_unknown_key;
	if (reason == REASON_NONE)
		reason = admit_request(&route, packet);
	return reason == REASON_NONE ? REASON_edge_announced : reason;
}

/* A Binding request, of whose frame relay_triage() has seen that it is one. */
int relay_request(struct xdp_md *ctx)
{
	struct packet packet = {};
	struct found found = {};
	enum reason reason;

	reason = parse(ctx, &packet);
	if (reason == REASON_NONE) {
		find_flow_of(&packet, &found);
		reason = decide_request(&packet, found.flow ? flow_routes.lookup(&found.index) :
							      NULL);
	}
	if (reason != REASON_NONE)
		return conclude(reason);
	tails.call(ctx, TAIL_FORWARD);
	return XDP_PASS;
}

/*
 * The same of what an edge announces. It is a program of its own: of one for both, the verifier
 * would follow each way through either twice.
 */
int relay_announced(struct xdp_md *ctx)
{
	struct packet packet = {};
	enum reason reason;

	reason = parse(ctx, &packet);
	return conclude(reason == REASON_NONE ? decide_announcement(&packet) : reason);
}
