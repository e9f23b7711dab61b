/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading a datagram: which protocol, and of STUN as much as leads to the route in USERNAME. */
#ifndef ICELANE_STUN_H
#define ICELANE_STUN_H

#include "parse.h"

/* What a datagram carries, by its first byte (RFC 7983, section 7). */
enum content {
	CONTENT_STUN,
	CONTENT_DTLS_OR_RTP,
	CONTENT_OTHER,
};

static __always_inline enum content classify(const struct packet *packet)
{
	struct cursor payload = packet->payload;
	__u8 *first = packet->payload_length ? cursor_take(&payload, 1) : NULL;

	if (!first)
		return CONTENT_OTHER;
	if (*first <= 3)
		return CONTENT_STUN;
	if ((*first >= 20 && *first <= 63) || (*first >= 128 && *first <= 191))
		return CONTENT_DTLS_OR_RTP;
	return CONTENT_OTHER;
}

/* Whether a first byte is of no protocol that RFC 7983 knows: such are the relay's own. */
static __always_inline bool is_control(const struct packet *packet)
{
	struct cursor payload = packet->payload;
	__u8 *first = packet->payload_length ? cursor_take(&payload, 1) : NULL;

	return first && ((*first > 3 && *first < 16) || (*first > 79 && *first < 128) ||
			 *first > 191);
}

/* STUN (RFC 8489, section 5). */
#define STUN_COOKIE 0x2112a442
#define STUN_BINDING_REQUEST 0x0001
#define STUN_USERNAME 0x0006
#define STUN_MESSAGE_INTEGRITY 0x0008
#define STUN_MESSAGE_INTEGRITY_SHA256 0x001c

/*
 * USERNAME is looked for among this many attributes. All known clients put it first or second.
 * relay/wire/stun.py has the same bound, so that both parsers give one verdict.
 */
#define STUN_MAX_ATTRIBUTES 8

/*
 * The verifier follows a packet pointer only while its offset surely stays below 2^16, headers
 * included; a datagram that a frame holds whole never reaches this.
 */
#define STUN_MAX_OFFSET 0xff00

struct stun_header {
	__be16 type;
	__be16 length;
	__be32 cookie;
	__be32 transaction_id[3];
};
_Static_assert(sizeof(struct stun_header) == 20, "as on the wire");

struct stun_attribute {
	__be16 type;
	__be16 length;
};

/* The header, when the datagram is one whole STUN message, or NULL. */
static __always_inline struct stun_header *parse_stun(const struct packet *packet)
{
	struct cursor payload = packet->payload;
	struct stun_header *stun = cursor_take(&payload, sizeof(*stun));
	__u32 length;

	if (!stun || stun->cookie != bpf_htonl(STUN_COOKIE))
		return NULL;
	length = bpf_ntohs(stun->length);
	if (stun->type & bpf_htons(0xc000) || length % 4 ||
	    sizeof(*stun) + length != packet->payload_length)
		return NULL;
	return stun;
}

static __always_inline bool is_binding_request(const struct packet *packet)
{
	struct stun_header *stun = parse_stun(packet);

	return stun && stun->type == bpf_htons(STUN_BINDING_REQUEST);
}

/* A USERNAME that starts with a ufrag of a route's size: 28 characters and a colon. */
struct username {
	__u8 ufrag[28];
	__u8 colon;
};

/*
 * The USERNAME of a valid STUN message, if it can hold a route, or NULL. It is the first one, and
 * one after MESSAGE-INTEGRITY does not count (RFC 8489, sections 14 and 14.5).
 */
static __always_inline struct username *find_username(const struct packet *packet)
{
	__u32 offset = sizeof(struct stun_header);
	struct stun_attribute *attribute;
	struct cursor at;
	__u32 length;

	for (int i = 0; i < STUN_MAX_ATTRIBUTES; i++) {
		if (offset >= packet->payload_length || offset > STUN_MAX_OFFSET)
			return NULL;
		at.at = packet->payload.at + offset;
		at.end = packet->payload.end;
		attribute = cursor_take(&at, sizeof(*attribute));
		if (!attribute)
			return NULL;
		length = bpf_ntohs(attribute->length);
		offset += sizeof(*attribute);
		if (offset + length > packet->payload_length)
			return NULL;
		if (attribute->type == bpf_htons(STUN_USERNAME)) {
			if (length < sizeof(struct username))
				return NULL;
			return cursor_take(&at, sizeof(struct username));
		}
		if (attribute->type == bpf_htons(STUN_MESSAGE_INTEGRITY) ||
		    attribute->type == bpf_htons(STUN_MESSAGE_INTEGRITY_SHA256))
			return NULL;
		offset += (length + 3) & ~3; /* values are padded to a multiple of 4 */
	}
	return NULL;
}

/*
 * A route (relay/wire/route.py has the design of its fields):
 *
 *	0	version:2 | key slot:3 | flags:3
 *	1-2	cluster
 *	3-5	transceiver slot
 *	6	generation
 *	7-8	expiry
 *	9-12	nonce
 *	13-20	SipHash-2-4 of bytes 0-12, little-endian
 *
 * Here as little-endian words, which is how SipHash reads bytes.
 */
struct route {
	__u64 head; /* bytes 0 to 7 */
	__u64 tail; /* bytes 8 to 12 */
	__u64 tag;  /* bytes 13 to 20 */
};

#define ROUTE_SIGNED_SIZE 13
#define ROUTE_TARGET 0x00ffffffffffff00ULL /* cluster, slot and generation in the head */

static __always_inline __u8 route_version(const struct route *route)
{
	return route->head >> 6 & 3;
}

static __always_inline __u8 route_key_slot(const struct route *route)
{
	return route->head >> 3 & 7;
}

static __always_inline __u16 route_cluster(const struct route *route)
{
	return bpf_ntohs(route->head >> 8 & 0xffff);
}

/*
 * Base64, eight characters at a time and without branches: a branch for each character would have
 * the verifier follow 2^28 paths. Each byte of a word is handled on its own, and no operation
 * below carries from one into the next.
 */
#define EACH_BYTE(value) (0x0101010101010101ULL * (value))

/* 0x01 in each byte of `text` from `first` to `last`; all bytes of it must be below 0x80. */
static __always_inline __u64 bytes_within(__u64 text, __u8 first, __u8 last)
{
	__u64 at_least_first = text + EACH_BYTE(0x80 - first);
	__u64 above_last = text + EACH_BYTE(0x7f - last);

	return (at_least_first & ~above_last & EACH_BYTE(0x80)) >> 7;
}

/*
 * Decode eight characters, the first in the highest byte, to 48 bits. Returns 0 when they are all
 * of the alphabet. Not a truth value: the compiler would make branches of it for each word, and the
 * verifier would follow all ways through them, which took it a third of its time.
 */
static __always_inline __u64 decode_base64(__u64 text, __u64 *bits)
{
	__u64 upper = bytes_within(text, 'A', 'Z'), lower = bytes_within(text, 'a', 'z');
	__u64 digit = bytes_within(text, '0', '9'), plus = bytes_within(text, '+', '+');
	__u64 slash = bytes_within(text, '/', '/');
	__u64 value = text - upper * 'A' - lower * ('a' - 26) + digit * (52 - '0') +
		      plus * (62 - '+') + slash * (63 - '/');

	/* Join neighbours: 8 x 6 bits, 4 x 12, 2 x 24, 48. */
	value = (value >> 2 & 0x0fc00fc00fc00fc0) | (value & 0x003f003f003f003f);
	value = (value >> 4 & 0x00fff00000fff000) | (value & 0x00000fff00000fff);
	*bits = (value >> 8 & 0x0000ffffff000000) | (value & 0x0000000000ffffff);
	return (text & EACH_BYTE(0x80)) | ((upper | lower | digit | plus | slash) ^ EACH_BYTE(1));
}

/* Decode a ufrag: 28 characters are exactly 21 bytes, so there is no padding and one spelling. */
static __always_inline bool decode_ufrag(const __u8 ufrag[28], struct route *route)
{
	/* Packets need no alignment where BPF runs, and byte by byte would be eight times as many. */
	__u64 text0 = *(__be64 *)ufrag, text1 = *(__be64 *)(ufrag + 8);
	__u64 text2 = *(__be64 *)(ufrag + 16), text3 = *(__be32 *)(ufrag + 24);
	__u64 bits0, bits1, bits2, bits3; /* bytes 0-5, 6-11, 12-17, and 18-20 below AAAA */
	__u64 invalid;

	invalid = decode_base64(be64_to_cpu(text0), &bits0);
	invalid |= decode_base64(be64_to_cpu(text1), &bits1);
	invalid |= decode_base64(be64_to_cpu(text2), &bits2);
	invalid |= decode_base64(EACH_BYTE('A') << 32 | be32_to_cpu(text3), &bits3);
	route->head = swab64(bits0 << 16 | bits1 >> 32);
	route->tail = swab64(bits1 << 32 | bits2 >> 40 << 24);
	route->tag = swab64(bits2 << 24 | bits3);
	return !invalid;
}

/*
 * What an edge says of a client to the relay of another cluster (relay/wire/announcement.py): of
 * its bytes, the route is all that is read here.
 */
struct announcement {
	__u8 first; /* ANNOUNCEMENT_FIRST */
	__u8 skipped[67];
	__u8 route[ROUTE_SIZE];
	__u8 tag[8];
};
_Static_assert(sizeof(struct announcement) == 97, "as on the wire");
#define ANNOUNCEMENT_FIRST 0x0c

/* The announcement that a datagram is, or NULL. */
static __always_inline struct announcement *find_announcement(const struct packet *packet)
{
	struct cursor payload = packet->payload;
	struct announcement *said = cursor_take(&payload, sizeof(*said));

	if (!said || packet->payload_length != sizeof(*said) || said->first != ANNOUNCEMENT_FIRST)
		return NULL;
	return said;
}

/* The route in an announcement; false when it is of another version. */
static __always_inline bool read_route(const struct announcement *said, struct route *route)
{
	/* Packets need no alignment where BPF runs; the words overlap. */
	route->head = le64_to_cpu(*(__le64 *)said->route);
	route->tail = le64_to_cpu(*(__le64 *)(said->route + 5)) >> 24;
	route->tag = le64_to_cpu(*(__le64 *)(said->route + ROUTE_SIGNED_SIZE));
	return route_version(route) == 0;
}

/* The route in a Binding request's USERNAME; false when there is none. */
static __always_inline bool parse_route(const struct packet *packet, struct route *route)
{
	struct username *username = find_username(packet);

	return username && username->colon == ':' && decode_ufrag(username->ufrag, route) &&
	       route_version(route) == 0;
}

#endif
