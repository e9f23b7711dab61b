/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What relay() does not send on: what is none of the relay's business, what belongs to no confirmed
 * flow, and what another program has to look at.
 */
#define GROUP_MAC 1 /* in the first byte of the address of many, or of all (IEEE 802) */


/* Whether another relay has a flow of the client that sends this. */
static __always_inline bool is_dormant(const struct tuple *tuple)
{
	struct dormant_client client = {
		.client = tuple->src,
		.vip = tuple->dst,
		.client_port = tuple->src_port,
		.vip_port = tuple->dst_port,
	};

	return dormant_clients.lookup(&client);
}

/* What is of no confirmed flow, Binding requests of clients apart. */
static __always_inline enum reason decide_unknown(const struct packet *packet,
						  const struct tuple *tuple,
						  enum direction direction)
{
	bool to_client = direction == TO_CLIENT;

	switch (classify(packet)) {
	case CONTENT_STUN:
		if (!parse_stun(packet))
			return REASON_stun_malformed;
		if (!to_client)
			return REASON_stun_not_request;
		return take_token(LIMIT_STUN_ANSWER) ? REASON_stun_answer :
						     REASON_stun_answer_limited;
	case CONTENT_DTLS_OR_RTP:
		if (!to_client && is_dormant(tuple))
			return REASON_dormant_client;
		/* A share of them lets the agent recover a flow that it has lost. */
		if (take_token(to_client ? LIMIT_UNKNOWN_TRANSCEIVER : LIMIT_UNKNOWN_CLIENT))
			return to_client ? REASON_unknown_transceiver : REASON_unknown_client;
		return to_client ? REASON_unknown_transceiver_limited :
				   REASON_unknown_client_limited;
	default:
		return REASON_not_webrtc;
	}
}

/*
 * What the network stack has to unwrap before anybody can read it. Of that, as much as is the
 * relay's goes up at a limited rate. Fragments after the first have no port; without the first,
 * they come to nothing.
 */
static __always_inline enum reason decide_wrapped(const struct packet *packet, enum reason reason)
{
	struct tuple tuple;

	if (packet->udp) {
		read_tuple(packet, &tuple);
		if (!find_direction(&tuple))
			return reason;
	} else if (!packet->unreadable) {
		return reason;
	}
	if (take_token(LIMIT_WRAPPED))
		return reason;
	return reason == REASON_fragment ? REASON_fragment_limited :
					   REASON_extension_headers_limited;
}

/* The reason that a frame leaves for; REASON_NONE when another program, `next`, decides. */
static __always_inline enum reason decide(struct xdp_md *ctx, enum tail *next)
{
	struct ingress *ingress = find_ingress(ctx);
	struct packet packet = {};
	struct found found = {};
	enum direction direction;
	struct tuple tuple;
	enum reason reason;

	reason = parse(ctx, &packet);
	if (reason == REASON_fragment || reason == REASON_extension_headers)
		return decide_wrapped(&packet, reason);
	if (reason != REASON_NONE)
		return reason;
	if (packet.vlan && !is_our_vlan(ctx->ingress_ifindex, packet.vlan))
		return REASON_vlan_unknown;
	read_tuple(&packet, &tuple);
	find_any_flow(&tuple, packet.is_ip6, &found);
	/* Of a flow, the address may be the relay's no longer. */
	direction = found.flow ? found.direction : find_direction(&tuple);
	if (!direction)
		return REASON_not_ours;
	if (packet.eth->h_dest[0] & GROUP_MAC)
		return REASON_group_mac; /* RFC 1122, section 3.3.6 */
	if (!is_for_us(ingress, packet.eth))
		return REASON_other_host;
	if (!is_right_side(ingress, direction))
		return REASON_wrong_side;
	if (!packet.udp->len)
		return REASON_zero_length; /* no jumbogram, so forbidden (RFC 768) */
	if (packet.is_ip6 && !packet.udp->check)
		return REASON_zero_checksum; /* RFC 8200, section 8.1 */
	if (!packet.udp->source)
		return REASON_zero_port; /* nobody could answer (RFC 768) */
	/* Not to the agent either: what it sends has a new one, and a loop would never end. */
	if (packet.ttl <= 1)
		return REASON_ttl_expired;
	if (direction == TO_TRANSCEIVER && is_binding_request(&packet)) {
		*next = TAIL_REQUEST;
		return REASON_NONE;
	}
	if (direction == TO_TRANSCEIVER && find_announcement(&packet)) {
		*next = TAIL_ANNOUNCED;
		return REASON_NONE;
	}
	if (found.flow) {
		/* From a transceiver it is for the agent; a client has nothing of that kind to say. */
		if (is_control(&packet))
			return direction == TO_CLIENT ? REASON_control : REASON_not_webrtc;
		*next = TAIL_FORWARD;
		return REASON_NONE;
	}
	return decide_unknown(&packet, &tuple, direction);
}

int relay_triage(struct xdp_md *ctx)
{
	enum tail next = TAIL_FORWARD;
	enum reason reason = decide(ctx, &next);

	if (reason != REASON_NONE)
		return conclude(reason);
	if (next == TAIL_REQUEST)
		tails.call(ctx, TAIL_REQUEST);
	else if (next == TAIL_ANNOUNCED)
		tails.call(ctx, TAIL_ANNOUNCED);
	else
		tails.call(ctx, TAIL_FORWARD);
	return XDP_PASS; /* a call fails only while the program is being replaced */
}
