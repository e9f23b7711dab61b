/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts what the program has forwarded and the kernel then lost, for whoever reads its counters: a
 * redirect is carried out after the program has ended, and fails without a word where the far
 * device is down, takes no frames of XDP, or has no room.
 *
 * Both run at raw tracepoints, whose arguments are pointers into the kernel. Where in them an
 * interface's number and its network namespace are, the loader has found in the kernel's own type
 * information.
 */

/* The sides (enum side) of a device that runs the program, which has one at least; else 0. */
static __always_inline __u8 sides_of(const struct losses *kept, __u64 device)
{
	__u32 ifindex = 0, netns = 0;
	struct ingress *ingress;
	__u64 net = 0;

	bpf_probe_read_kernel(&ifindex, sizeof(ifindex), (void *)(device + kept->ifindex_at));
	bpf_probe_read_kernel(&net, sizeof(net), (void *)(device + kept->net_at));
	bpf_probe_read_kernel(&netns, sizeof(netns), (void *)(net + kept->inum_at));
	ingress = find_interface(ifindex);
	if (!ingress || netns != kept->netns)
		return 0;
	return ingress->sides;
}

/* Count packets of one of the sides. */
static __always_inline void count_lost(struct losses *kept, __u64 *counter, __u8 sides,
					__u32 packets)
{
	__sync_fetch_and_add(counter, packets);
	if (!(sides & SIDE_TRANSCEIVERS))
		__sync_fetch_and_add(&kept->from_clients, packets);
}

/* xdp_redirect_err(device, program, target, error, ...): a packet that cannot be redirected. */
int count_failed(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 only = 0;
	struct losses *kept = losses.lookup(&only);
	__u8 sides;

	if (!kept)
		return 0;
	sides = sides_of(kept, ctx->args[0]);
	if (sides)
		count_lost(kept, &kept->redirect_failed, sides, 1);
	return 0;
}

/* xdp_devmap_xmit(from, to, sent, dropped, error): some packets at once, and how many were lost. */
int count_dropped(struct bpf_raw_tracepoint_args *ctx)
{
	__s32 dropped = ctx->args[3];
	__u32 only = 0;
	struct losses *kept;
	__u8 sides;

	if (dropped <= 0)
		return 0;
	kept = losses.lookup(&only);
	if (!kept)
		return 0;
	sides = sides_of(kept, ctx->args[0]);
	if (sides)
		count_lost(kept, &kept->transmit_dropped, sides, dropped);
	return 0;
}
