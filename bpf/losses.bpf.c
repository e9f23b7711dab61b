/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts what the program has forwarded and the kernel then lost, for whoever reads its counters: a
 * redirect is carried out after the program has ended, and fails without a word where the far
 * device is down, takes no frames of XDP, or has no room. And for each way out what it takes and
 * what not, so that one that is overloaded is told from one that takes nothing.
 *
 * Both run at raw tracepoints, whose arguments are pointers into the kernel. Where in them an
 * interface's number and its network namespace are, the loader has found in the kernel's own type
 * information.
 */

/* 10 s or more, whatever a tick is: an agent looks once in 5. */
#define LOSING_TICKS 10000

#define ENETDOWN_ERROR (-100) /* -ENETDOWN of asm-generic/errno.h, as the kernel returns it */

/* The number of a device, if it is in the network namespace that this is about; else 0. */
static __always_inline __u32 number_of(const struct losses *kept, __u64 device)
{
	__u32 ifindex = 0, netns = 0;
	__u64 net = 0;

	bpf_probe_read_kernel(&ifindex, sizeof(ifindex), (void *)(device + kept->ifindex_at));
	bpf_probe_read_kernel(&net, sizeof(net), (void *)(device + kept->net_at));
	bpf_probe_read_kernel(&netns, sizeof(netns), (void *)(net + kept->inum_at));
	return netns == kept->netns ? ifindex : 0;
}

/* What became of packets on their way out through an interface that runs the program; else NULL. */
static __always_inline struct way_out *find_way_out(__u32 ifindex)
{
	__u32 slot;

	return find_interface(ifindex, &slot) ? ways_out.lookup(&slot) : NULL;
}

/* Whether something was lost of late: only then it matters what is taken, which costs something. */
static __always_inline bool is_losing(const struct losses *kept)
{
	return kept->lost_at && bpf_jiffies64() - kept->lost_at < LOSING_TICKS;
}

/*
 * Count packets that were lost on a way out. An error is the driver's, or the kernel's in its
 * place, and says that it takes none. A full ring gives no error. A device that is down says so,
 * also one that only starts anew; one driver says it of a full ring (vmxnet3).
 */
static __always_inline void count_way_lost(struct losses *kept, struct way_out *way, __s32 error,
					    __u32 packets)
{
	kept->lost_at = bpf_jiffies64();
	way->lost += packets;
	if (error && error != ENETDOWN_ERROR)
		way->refused += packets;
}

/*
 * Count packets that came in through a device, if it runs the program, which has one side at least.
 * Frames that the agent makes to try a way out come from the loopback interface, and are not lost.
 */
static __always_inline void count_lost(struct losses *kept, __u64 *counter, __u32 from,
					__u32 packets)
{
	__u32 slot;
	struct ingress *ingress = find_interface(from, &slot);

	if (!from || !ingress)
		return;
	__sync_fetch_and_add(counter, packets);
	if (!(ingress->sides & SIDE_TRANSCEIVERS))
		__sync_fetch_and_add(&kept->from_clients, packets);
}

/*
 * xdp_redirect_err(device, program, target, error, kind of map, its number, index): a packet that
 * cannot be redirected. The index is the number of the interface that it was meant for, of the same
 * network namespace: the target itself may not be there.
 */
int count_failed(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 only = 0, from;
	struct losses *kept = losses.lookup(&only);
	struct way_out *way;

	if (!kept)
		return 0;
	from = number_of(kept, ctx->args[0]);
	if (!from)
		return 0;
	way = find_way_out(ctx->args[6]);
	if (way)
		count_way_lost(kept, way, ctx->args[3], 1);
	count_lost(kept, &kept->redirect_failed, from, 1);
	return 0;
}

/*
 * xdp_devmap_xmit(from, to, sent, dropped, error): some packets at once, and how many were lost.
 * While nothing is, this ends before it has looked at anything: it runs for each packet that comes
 * alone.
 */
int count_dropped(struct bpf_raw_tracepoint_args *ctx)
{
	__s32 sent = ctx->args[2], dropped = ctx->args[3];
	__u32 only = 0, to;
	struct losses *kept = losses.lookup(&only);
	struct way_out *way;

	if (!kept || (dropped <= 0 && !is_losing(kept)))
		return 0;
	to = number_of(kept, ctx->args[1]);
	way = to ? find_way_out(to) : NULL;
	if (way && sent > 0)
		way->taken += sent;
	if (dropped <= 0)
		return 0;
	if (way)
		count_way_lost(kept, way, ctx->args[4], dropped);
	count_lost(kept, &kept->transmit_dropped, number_of(kept, ctx->args[0]), dropped);
	return 0;
}
