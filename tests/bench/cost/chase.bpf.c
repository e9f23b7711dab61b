/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads one line of memory for each packet, in an order that no processor foresees: which line is
 * next stands in the one before. That is what a cache that has not got a line takes at the least.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/types.h>

struct line {
	__u32 next;
	__u32 rest[15];
};

BPF_F_TABLE("array", __u32, struct line, lines, LINES, BPF_F_MMAPABLE);
BPF_TABLE("array", int, __u32, place, 1);

int chase(struct xdp_md *ctx)
{
	int only = 0;
	__u32 *at = place.lookup(&only);
	struct line *line;

	if (!at)
		return XDP_ABORTED;
	line = lines.lookup(at);
	if (!line)
		return XDP_ABORTED;
	*at = line->next;
	return XDP_DROP;
}
