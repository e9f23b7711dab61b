/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Telling of one client's packets, for `icelane trace`: what came in, and what became of it.
 *
 * While somebody asks for it, interfaces run relay_traced() in the place of relay(). It notes what
 * comes of the client, and ends in relay(), which is the same then as ever. What became of a packet
 * is therefore found out later. Each is counted under one reason, by processor, and XDP runs
 * undisturbed on its processor: what is counted there until its next packet comes is this one's.
 * trace_flush(), which user space runs on each processor, tells of those after which none has come.
 *
 * Whoever asked may be killed. Then the lease ends, and relay_traced() looks at no packet any more.
 */

/*
 * Source and destination of a frame of UDP; its ports are 0 where they are not in it, or behind
 * extension headers. False when it is something else. What a short frame lacks is zero.
 */
static __always_inline bool read_kept(const __u8 *frame, struct tuple *tuple)
{
	__be16 protocol = *(__be16 *)(frame + offsetof(struct ethhdr, h_proto));
	__u32 at = ETH_HLEN;
	const __be16 *ports;
	const struct ipv6hdr *ip6;
	const struct iphdr *ip;

#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		protocol = *(__be16 *)(frame + at + offsetof(struct vlan_tag, protocol));
		at += sizeof(struct vlan_tag);
	}
	if (protocol == bpf_htons(ETH_P_IP)) {
		ip = (void *)(frame + at);
		if (ip->protocol != IPPROTO_UDP)
			return false;
		tuple->src = map_ip4(ip->saddr);
		tuple->dst = map_ip4(ip->daddr);
		if (ip->frag_off & bpf_htons(IP4_OFFSET_MASK))
			return true;
		ports = (void *)(frame + at + (*(__u8 *)ip & 0xf) * 4);
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		ip6 = (void *)(frame + at);
		if (ip6->nexthdr != IPPROTO_UDP && !is_extension(ip6->nexthdr))
			return false;
		copy_ip6(&tuple->src, &ip6->saddr);
		copy_ip6(&tuple->dst, &ip6->daddr);
		if (ip6->nexthdr != IPPROTO_UDP)
			return true;
		ports = (void *)(ip6 + 1);
	} else {
		return false;
	}
	tuple->src_port = ports[0];
	tuple->dst_port = ports[1];
	return true;
}

/* Whether this is the client; a port that is not known may be its. */
static __always_inline bool is_traced(const struct trace_setup *setup, const struct address *client,
				      __be16 port)
{
	return is_same(&setup->client, client, true) &&
	       (!setup->client_port || !port || setup->client_port == port);
}

/* Whether a packet is the client's, of either direction; the record gets which, and the client. */
static __always_inline bool find_traced(const struct trace_setup *setup, const struct tuple *tuple,
					struct trace_record *record)
{
	struct upstream *upstream;
	struct found found = {};

	if (is_traced(setup, &tuple->src, tuple->src_port)) {
		record->direction = TO_TRANSCEIVER;
		record->client = tuple->src;
		record->client_port = tuple->src_port;
		return true;
	}
	upstream = find_upstream(&tuple->dst, true);
	if (!upstream)
		return false;
	find_of_transceiver(tuple, upstream, true, &found);
	if (!found.flow || !is_traced(setup, &found.flow->client, found.ends.client_port))
		return false;
	record->direction = TO_CLIENT;
	record->client = found.flow->client;
	record->client_port = found.ends.client_port;
	return true;
}

/*
 * What was counted since; REASON_NONE when that is nothing, or more than one packet. Without
 * branches: of a packet alone, the sum of what was counted, times its number, is its number.
 */
static __always_inline __u32 find_counted(const struct counters *before,
					  const struct counters *after, __u64 *packets)
{
	const __u64 *one = (void *)before, *other = (void *)after;
	__u64 all = 0, numbers = 0;

#pragma nounroll
	for (__u32 i = 0; i < REASON_COUNT; i++) {
		all += other[i] - one[i];
		numbers += (other[i] - one[i]) * i;
	}
	*packets = all;
	return all == 1 ? numbers : REASON_NONE;
}

/* Whether one more record may be written; else the packet is counted as not told. */
static __always_inline bool may_tell(struct trace_setup *setup)
{
	__u64 now = bpf_ktime_get_ns(), seen, full_at;

#pragma unroll
	for (int i = 0; i < TAKE_TRIES; i++) {
		seen = *(volatile __u64 *)&setup->bucket.full_at_ns;
		full_at = (seen > now ? seen : now) + setup->rate.cost_ns;
		if (full_at > now + setup->rate.burst_ns)
			break;
		if (__sync_val_compare_and_swap(&setup->bucket.full_at_ns, seen, full_at) == seen)
			return true;
	}
	__sync_fetch_and_add(&setup->limited, 1);
	return false;
}

static __always_inline __u8 verdict_of(__u32 reason)
{
	if (1ULL << reason & REASONS_OF(FORWARD))
		return VERDICT_FORWARD;
	return 1ULL << reason & REASONS_OF(DROP) ? VERDICT_DROP : VERDICT_PASS;
}

/*
 * Tell of the packet that waits on this processor, if one does: with the reason that was counted
 * since. `ended` says that relay() has finished with it; else it may be at it yet, and waits on.
 */
static __always_inline void tell(struct trace_held *held, struct trace_setup *setup, bool ended)
{
	__u32 only = 0, verdict, reason;
	struct counters *counted, *counts;
	__u64 packets;

	if (!*(volatile __u64 *)&held->waits)
		return;
	counted = counters.lookup(&only);
	if (!counted)
		return;
	reason = find_counted(&held->before, counted, &packets);
	if (!packets && !ended)
		return;
	/* trace_flush() interrupts relay_traced(): one of them has it. */
	if (!__sync_lock_test_and_set(&held->waits, 0))
		return;
	verdict = verdict_of(reason % 64);
	held->record.reason = reason;
	held->record.verdict = verdict;
	counts = trace_counts.lookup(&verdict);
	if (counts && reason < REASON_COUNT)
		((__u64 *)counts)[reason]++;
	if (may_tell(setup) && trace_records.push(&held->record, 0))
		__sync_fetch_and_add(&setup->full, 1);
}

/* Keep what a frame begins with; false when it is too short for a packet. */
static __always_inline bool keep_frame(struct xdp_md *ctx, struct trace_record *record)
{
	__u64 kept = bpf_xdp_get_buff_len(ctx);

	record->frame_length = kept;
	if (kept > TRACE_FRAME)
		kept = TRACE_FRAME;
	/*
	 * The verifier believes no comparison but one of the very register that is passed on. The
	 * compiler must not make a single one of both, of a difference: Linux 6.1 learns nothing of it.
	 */
	asm volatile("" : "+r"(kept));
	if (kept > TRACE_FRAME)
		return false;
	asm volatile("" : "+r"(kept));
	if (kept < ETH_HLEN)
		return false;
	record->kept = kept;
	__builtin_memset(record->frame, 0, TRACE_FRAME);
	return !bpf_xdp_load_bytes(ctx, 0, record->frame, kept);
}

/* Let a packet wait to be told of, if it is the client's. */
static __always_inline void hold(struct xdp_md *ctx, struct trace_held *held,
				 const struct trace_setup *setup)
{
	__u32 only = 0;
	struct counters *counted = counters.lookup(&only);
	struct tuple tuple = {};

	if (!counted || !keep_frame(ctx, &held->record) ||
	    !read_kept(held->record.frame, &tuple) || !find_traced(setup, &tuple, &held->record))
		return;
	held->record.time_ns = bpf_ktime_get_ns();
	held->before = *counted;
	__sync_lock_test_and_set(&held->waits, 1); /* last, and with all of the above in place */
}

int relay_traced(struct xdp_md *ctx)
{
	__u32 only = 0;
	struct trace_lease *lease = trace_lease.lookup(&only);
	struct trace_setup *setup = trace_setup.lookup(&only);
	struct trace_held *held = trace_held.lookup(&only);

	if (lease && setup && held) {
		tell(held, setup, true); /* also when the lease has ended: it came before */
		if (bpf_ktime_get_coarse_ns() < lease->until_ns)
			hold(ctx, held, setup);
	}
	trace_tails.call(ctx, 0);
	return XDP_PASS; /* never: it is there before this runs */
}

/* User space runs it on a processor; its context is of no interest. */
int trace_flush(void *ctx)
{
	__u32 only = 0;
	struct trace_setup *setup = trace_setup.lookup(&only);
	struct trace_held *held = trace_held.lookup(&only);

	if (setup && held)
		tell(held, setup, false);
	return 0;
}
