/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The Internet checksum, updated from what changed (RFC 1624, equation 3):
 *
 *	HC' = ~(~HC + ~m + m')
 *
 * An update keeps a right checksum right and a wrong one wrong: what was damaged on its way here
 * is never made to look whole. Sums are in network byte order throughout; one's complement
 * addition does not mind (RFC 1071, section 2 B).
 */
#ifndef ICELANE_CHECKSUM_H
#define ICELANE_CHECKSUM_H

#include <uapi/linux/types.h>

/*
 * The difference that replacing a 32-bit word makes, added to `sum`: ~m + m'. Of what is taken from
 * all ones, the compiler adds up the ones of several words; to cut ~m to 32 bits is three
 * instructions for each, as BPF has them.
 */
static __always_inline __u64 checksum_replace32(__u64 sum, __be32 from, __be32 to)
{
	return sum + 0xffffffffULL - from + to;
}

/* The same for a 16-bit word, which must lie at an even offset. */
static __always_inline __u64 checksum_replace16(__u64 sum, __be16 from, __be16 to)
{
	return sum + 0xffffULL - from + to;
}

/* Fold a sum of up to 2^16 words of 32 bits to 16 bits. */
static __always_inline __u16 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* A checksum after the differences in `sum`. */
static __always_inline __u16 checksum_update(__u16 check, __u64 sum)
{
	return ~checksum_fold(sum + (__u16)~check);
}

/*
 * The same for UDP that has a checksum, as IPv6's always does: one that comes out as 0 is written
 * as its other form, 0xffff, because 0 says that there is none (RFC 768).
 */
static __always_inline __u16 checksum_update_udp(__u16 check, __u64 sum)
{
	__u16 updated = checksum_update(check, sum);

	return updated ? updated : 0xffff;
}

/* The same for UDP of IPv4, which may have none; it stays 0 then. */
static __always_inline __u16 checksum_update_udp_or_none(__u16 check, __u64 sum)
{
	return check ? checksum_update_udp(check, sum) : 0;
}

#endif
