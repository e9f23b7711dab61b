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

/* Whether a device is an interface that runs the program. */
static __always_inline bool is_ours(const struct losses *kept, __u64 device)
{
	__u32 ifindex = 0, netns = 0, index;
	struct ingress *ingress;
	__u64 net = 0;

	bpf_probe_read_kernel(&ifindex, sizeof(ifindex), (void *)(device + kept->ifindex_at));
	bpf_probe_read_kernel(&net, sizeof(net), (void *)(device + kept->net_at));
	bpf_probe_read_kernel(&netns, sizeof(netns), (void *)(net + kept->inum_at));
	index = ifindex % INGRESSES;
	ingress = ingresses.lookup(&index);
	return netns == kept->netns && ingress && ingress->ifindex == ifindex;
}

/* xdp_redirect_err(device, program, target, error, ...): a packet that cannot be redirected. */
int count_failed(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 only = 0;
	struct losses *kept = losses.lookup(&only);

	if (kept && is_ours(kept, ctx->args[0]))
		__sync_fetch_and_add(&kept->redirect_failed, 1);
	return 0;
}

/* xdp_devmap_xmit(from, to, sent, dropped, error): some packets at once, and how many were lost. */
int count_dropped(struct bpf_raw_tracepoint_args *ctx)
{
	__s32 dropped = ctx->args[3];
	__u32 only = 0;
	struct losses *kept;

	if (dropped <= 0)
		return 0;
	kept = losses.lookup(&only);
	if (kept && is_ours(kept, ctx->args[0]))
		__sync_fetch_and_add(&kept->transmit_dropped, dropped);
	return 0;
}
