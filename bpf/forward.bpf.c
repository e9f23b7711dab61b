/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Forwarding every kind of packet of a confirmed flow: of either family and between them, with and
 * without tags, by a next hop that the FIB has yet to name. relay_triage() has seen that the packet
 * is sound and of a flow, and relay_request() that the flow is the one to follow.
 *
 * The program decides in full before it writes, so that whatever goes up is unmodified:
 *
 *	decide_flow()	reads frame, maps and next hop; says the reason, fills a plan to forward by
 *	forward()	carries the plan out; nothing in it can fail
 */

/*
 * Keep a variable on the stack. The compiler would split it into registers, of which there are few,
 * and every way through the program would copy each of its fields where the ways meet.
 */
#define KEEP_IN_MEMORY(variable) asm volatile("" : : "r"(&(variable)) : "memory")

/* Whether the rewritten packet fits the way out; the answer gets what does. */
static __always_inline enum reason fit_interface(struct xdp_md *ctx, const struct plan *plan,
						 struct bpf_fib_lookup *fib)
{
	__u32 mtu = plan->ip_length;
	long fits = bpf_check_mtu(ctx, fib->ifindex, &mtu, 0, 0);

	fib->mtu_result = mtu > 0xffff ? 0xffff : mtu;
	return fits == BPF_MTU_CHK_RET_SUCCESS ? REASON_NONE : REASON_too_big;
}

/*
 * What the FIB says about the rewritten packet. The relay is its sender, so this asks what a local
 * socket's packet would be told: the FIB's rules for input from the loopback interface, which is
 * how the kernel itself looks up the route of local output. That also leaves the forwarding switch
 * of the public interfaces alone; only the loopback's has to be on.
 *
 * It is not asked what fits the path: it would answer with what ICMP errors have taught the kernel,
 * and anybody may forge such an error about an echo reply of this host's. What fits the interface
 * goes out, as from any router, and the sender is who learns what fits the path.
 */
static __always_inline enum reason ask_fib(struct xdp_md *ctx, const struct packet *packet,
					   const struct plan *plan, struct bpf_fib_lookup *fib)
{
	fib->l4_protocol = IPPROTO_UDP;
	fib->ifindex = LOOPBACK_IFINDEX;
	fib->sport = plan->to.src_port;
	fib->dport = plan->to.dst_port;
	if (plan->to_ip6) {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, plan->to.src, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, plan->to.dst, sizeof(fib->ipv6_dst));
	} else {
		fib->family = AF_INET;
		fib->ipv4_src = plan->to.src->word[3];
		fib->ipv4_dst = plan->to.dst->word[3];
	}
	/* tos and flowinfo share a place before the lookup; the kernel masks ECN by itself. */
	if (plan->to_ip6)
		fib->flowinfo = bpf_htonl(packet->tos << 20);
	else
		fib->tos = packet->tos;
	fib->tot_len = 0;

	switch (bpf_fib_lookup(ctx, fib, sizeof(*fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		return fit_interface(ctx, plan, fib);
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		/* The agent's own packet to there makes the kernel ask for the neighbour. */
		return REASON_no_neighbour;
	default:
		/* Negative for bad arguments, else unreachable, not forwarded, no forwarding. */
		return REASON_no_route;
	}
}

/* One more word in a hash of what a hop is. */
static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* A MAC address as a word; on the stack, where the verifier wants alignment, it has that of two. */
static __always_inline __u64 mac_word(const __u8 mac[6])
{
	const __u16 *part = (const __u16 *)mac;

	return (__u64)part[0] << 32 | (__u64)part[1] << 16 | part[2];
}

/*
 * The index of the record of what the FIB has answered, which is made where there is none; 0 when
 * there is no room, or another processor is just making it: the FIB then answers once more.
 */
static __always_inline __u32 intern_hop(const struct bpf_fib_lookup *fib, const struct plan *plan,
					__u8 dscp, __u32 ticks, __u32 half)
{
	struct {
		__u32 ifindex, checked;
	} last = { plan->ifindex, ticks };
	__u64 claim = mix(mix(0, mac_word(fib->dmac)), mac_word(fib->smac));
	__u32 index, slot;
	struct hop *hop;

	claim = mix(claim, (__u64)plan->ifindex << 32 | (__u64)fib->mtu_result << 16 | plan->vlan);
	/* The gateway, or who is sent to: neighbours may share a MAC address. */
	claim = mix(claim, (__u64)fib->ipv6_dst[0] << 32 | fib->ipv6_dst[1]);
	claim = mix(claim, (__u64)fib->ipv6_dst[2] << 32 | fib->ipv6_dst[3]);
	claim = mix(claim, dscp) | 1; /* 0 is free */
	slot = claim >> 40;
#pragma unroll
	for (int i = 0; i < HOP_PROBES; i++) {
		index = (slot + i) % HOPS_HALF + (half & 1) * HOPS_HALF;
		hop = hops.lookup(&index);
		if (!hop || !index)
			continue;
		if (!hop->claim && !__sync_val_compare_and_swap(&hop->claim, 0, claim)) {
			__builtin_memcpy(hop->destination_mac, fib->dmac, ETH_ALEN);
			__builtin_memcpy(hop->source_mac, fib->smac, ETH_ALEN);
			__builtin_memcpy(hop->gateway, fib->ipv6_dst, sizeof(hop->gateway));
			hop->mtu = fib->mtu_result;
			hop->vlan = plan->vlan;
			hop->tos = dscp;
			/* Fully ordered: who sees the interface sees all of the above. */
			__sync_lock_test_and_set((__u64 *)&hop->ifindex, *(__u64 *)&last);
			return index;
		}
		if (hop->claim == claim) {
			if (!hop->ifindex)
				return 0;
			hop->checked = ticks;
			return index;
		}
	}
	return 0;
}

/* The record of a next hop with an index; NULL where there is none. */
static __always_inline struct hop *hop_at(__u32 index)
{
	struct hop *hop = hops.lookup(&index);

	return hop && hop->ifindex ? hop : NULL;
}

/*
 * When a flow asked the FIB, as its binding has it. While an agent watches, a flow may use the
 * answer for the whole lease, since the agent says when it is worth nothing. With nobody there, it
 * counts as so old that it can be used for one more unit of time.
 */
static __always_inline __u32 time_asked(const struct leases *lease, __u64 ticks)
{
	bool watched = bpf_ktime_get_coarse_ns() - lease->watched_ns < lease->watch_ns;

	return binding_time(lease, ticks) - (watched ? 0 : lease->flow - 1);
}

/*
 * Remember what the FIB has answered, and have all flows ask again when it would have answered
 * otherwise before: by another way, for the same kind of packet, within the same generation. A
 * flow raises it once, since its own binding is then of the generation before. The generation is the
 * one from before the FIB was asked: its answer may be older than a change that came since.
 */
static __always_inline void bind_flow(const struct packet *packet, const struct plan *plan,
				      const struct bpf_fib_lookup *fib, struct leases *lease,
				      __u32 generation)
{
	__u32 *binding = binding_of(plan->flow, plan->direction);
	__u32 old = *binding, index = 0;
	__u64 ticks = bpf_jiffies64();
	struct hop *before;

	generation %= 1 << HOP_GENERATION_BITS;
	if (fib)
		index = intern_hop(fib, plan, packet->tos & DSCP_MASK, ticks, lease->half);
	before = hop_at(old % HOPS);
	if (before && old % HOPS != index && (index || !fib) &&
	    !((old >> HOP_INDEX_BITS ^ generation) % (1 << HOP_GENERATION_BITS)) &&
	    !((before->tos ^ packet->tos) & DSCP_MASK))
		__sync_fetch_and_add(&lease->raised, 1);
	*binding = index ? index | generation << HOP_INDEX_BITS |
				   time_asked(lease, ticks)
					   << (HOP_INDEX_BITS + HOP_GENERATION_BITS) :
			   0;
}

/* Where the rewritten packet goes: as its flow's packets before it, or as the FIB says. */
static __always_inline enum reason find_hop(struct xdp_md *ctx, const struct packet *packet,
					    struct plan *plan)
{
	__u32 only = 0, generation;
	struct leases *lease = leases.lookup(&only);
	struct bpf_fib_lookup fib = {};
	struct tx_port *port = NULL;
	enum reason reason;
	struct hop *hop;

	if (!lease)
		return REASON_no_route; /* never: the verifier cannot know */
	generation = generation_of(lease);
	plan->ip_length = ip_header_size(plan->to_ip6) + packet->ip_payload_length;
	hop = find_bound_hop(*binding_of(plan->flow, plan->direction), packet->tos,
			     plan->ip_length);
	if (hop) {
		plan->ifindex = hop->ifindex;
		plan->vlan = hop->vlan;
		__builtin_memcpy(plan->destination_mac, hop->destination_mac, 2 * ETH_ALEN);
		return REASON_NONE;
	}
	reason = ask_fib(ctx, packet, plan, &fib);
	if (reason == REASON_too_big)
		return reason; /* smaller ones go the same way as before */
	if (reason == REASON_NONE) {
		port = tx_ports.lookup(&fib.ifindex);
		reason = REASON_foreign_interface;
	}
	if (!port) {
		bind_flow(packet, plan, NULL, lease, generation);
		return reason;
	}
	plan->ifindex = port->ifindex;
	plan->vlan = port->vlan;
	__builtin_memcpy(plan->source_mac, fib.smac, ETH_ALEN);
	__builtin_memcpy(plan->destination_mac, fib.dmac, ETH_ALEN);
	bind_flow(packet, plan, &fib, lease, generation);
	return REASON_NONE;
}

/*
 * Move the start of the frame to where its new headers will begin. This is the last thing that
 * can fail, and it fails before anything is written. It invalidates all pointers into the frame.
 */
static __always_inline enum reason make_room(struct xdp_md *ctx, const struct packet *packet,
					     const struct plan *plan)
{
	int before = (packet->tagged ? sizeof(struct vlan_tag) : 0) + ip_header_size(plan->from_ip6);
	int after = (plan->vlan ? sizeof(struct vlan_tag) : 0) + ip_header_size(plan->to_ip6);

	if (before == after)
		return REASON_NONE;
	return bpf_xdp_adjust_head(ctx, before - after) ? REASON_no_headroom : REASON_NONE;
}

/* What of a confirmed flow can be forwarded from here. */
static __always_inline enum reason decide_flow(struct xdp_md *ctx, const struct packet *packet,
					       struct plan *plan)
{
	enum reason reason;

	plan->from_ip6 = packet->is_ip6;
	plan->to_ip6 = !is_ip4(plan->to.dst);
	plan->payload_length = packet->payload_length;
	if (packet->ip_options)
		return REASON_ip_options;
	if (plan->from_ip6 != plan->to_ip6) {
		/* IPv6 has no UDP without a checksum; that of a whole payload is the kernel's. */
		if (!packet->udp->check)
			return REASON_needs_checksum;
		if (!packet->is_ip6 && !is_intact(packet->ip))
			return REASON_malformed;
		plan->translation = (struct translation){
			.sum = checksum_without_addresses(packet),
			.ip_payload_length = packet->ip_payload_length,
			.ttl = packet->ttl,
			.tos = packet->tos,
		};
	}
	reason = find_hop(ctx, packet, plan);
	if (reason == REASON_NONE)
		reason = make_room(ctx, packet, plan);
	if (reason != REASON_NONE)
		return reason;
	return plan->direction == TO_TRANSCEIVER ? REASON_forwarded_to_transceiver :
						   REASON_forwarded_to_client;
}

/* Carry a plan out. */
static __always_inline int forward(struct xdp_md *ctx, const struct plan *plan)
{
	struct cursor frame = {
		.at = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct vlan_tag *tag = NULL;
	struct ethhdr *eth;

	count_packet(plan->flow, plan->direction, plan->payload_length);
	eth = cursor_take(&frame, sizeof(*eth));
	if (plan->vlan)
		tag = cursor_take(&frame, sizeof(*tag));
	if (!eth || (plan->vlan && !tag) || !write_packet(&frame, plan))
		return XDP_ABORTED; /* never: make_room() saw to it, but the verifier did not */
	write_ethernet(eth, tag, plan);
	return send_through(ctx, plan->ifindex);
}

int relay_forward(struct xdp_md *ctx)
{
	enum reason reason = REASON_malformed;
	struct packet packet = {};
	struct found found = {};
	struct plan plan = {};

	KEEP_IN_MEMORY(plan);
	if (parse(ctx, &packet) == REASON_NONE) {
		find_flow_of(&packet, &found);
		plan.flow = found.flow;
		plan.direction = found.direction;
		/* The flow may have been removed a moment ago; the agent knows of it. */
		if (plan.flow && find_rewrite(&found, &plan.to))
			reason = decide_flow(ctx, &packet, &plan);
		else
			reason = REASON_unknown_client;
	}
	if (!(1ULL << reason & REASONS_OF(FORWARD)))
		return conclude(reason);
	return count(reason) ? forward(ctx, &plan) : XDP_ABORTED;
}
