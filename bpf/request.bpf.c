/* SPDX-License-Identifier: GPL-2.0-only */
/* Binding requests to a VIP: which of them are verified, and reach the agent or a transceiver. */

/* A verdict on the tag of a route; REASON_NONE when one of the relay's keys made it. */
static __always_inline enum reason verify_route(const struct route *route)
{
	struct route_key_id id = {
		.cluster = route_cluster(route),
		.slot = route_key_slot(route),
	};
	struct siphash_key *key = route_keys.lookup(&id);

	if (!key)
		return REASON_stun_unknown_key;
	if (siphash24_two_words(le64_to_cpu(key->secret[0]), le64_to_cpu(key->secret[1]), route->head,
				route->tail, ROUTE_SIGNED_SIZE) != route->tag)
		return REASON_stun_forged;
	return REASON_NONE;
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
	if (reason != REASON_NONE)
		return reason;
	if (!take_token(LIMIT_STUN_ROUTED))
		return REASON_stun_routed_limited;
	return own ? REASON_stun_other_route : REASON_stun_routed;
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
