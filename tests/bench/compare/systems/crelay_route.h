/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route in a STUN Binding request's USERNAME (relay/wire/route.py has the design of its
 * fields). Everything is checked but the expiry, which fixed test data cannot have.
 */
#ifndef CRELAY_ROUTE_H
#define CRELAY_ROUTE_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KEY_SLOTS 7 /* three bits name a slot, and 7 says that there is no route */

struct keys {
	uint16_t cluster; /* the cluster whose keys these are */
	bool there[KEY_SLOTS];
	uint64_t key[KEY_SLOTS][2]; /* little-endian words, as SipHash reads them */
};

enum {
	STUN_HEADER = 20,
	STUN_BINDING_REQUEST = 0x0001,
	STUN_USERNAME = 0x0006,
	STUN_INTEGRITY = 0x0008,
	STUN_INTEGRITY_SHA256 = 0x001c,
	STUN_MAX_ATTRIBUTES = 8, /* relay/wire/stun.py has the same bound */
	UFRAG = 28,
	ROUTE = 21,
	SIGNED = 13, /* of these the tag is made, which follows them */
};

static inline uint16_t read16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static inline uint64_t read_le64(const uint8_t *at)
{
	uint64_t word = 0;

	for (int i = 7; i >= 0; i--)
		word = word << 8 | at[i];
	return word;
}

static inline uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void sip_rounds(uint64_t v[4], int count)
{
	while (count--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

/* SipHash-2-4 of the signed bytes of a route: one whole word, and one of five bytes. */
static inline uint64_t route_tag(const uint64_t key[2], const uint8_t raw[ROUTE])
{
	uint64_t last = read_le64(raw + 8) & 0xffffffffff;
	uint64_t words[] = { read_le64(raw), last | (uint64_t)SIGNED << 56 };
	uint64_t v[] = {
		key[0] ^ 0x736f6d6570736575,
		key[1] ^ 0x646f72616e646f6d,
		key[0] ^ 0x6c7967656e657261,
		key[1] ^ 0x7465646279746573,
	};

	for (int i = 0; i < 2; i++) {
		v[3] ^= words[i];
		sip_rounds(v, 2);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The ufrag of the agent that a Binding request is for, of a route's size; NULL if there is none. */
static inline const uint8_t *find_ufrag(const uint8_t *data, size_t size)
{
	static const uint8_t cookie[] = { 0x21, 0x12, 0xa4, 0x42 };
	size_t at = STUN_HEADER;

	if (size < STUN_HEADER || read16(data) != STUN_BINDING_REQUEST || size % 4 ||
	    size != STUN_HEADER + (size_t)read16(data + 2) || memcmp(data + 4, cookie, 4) != 0)
		return NULL;
	for (int i = 0; i < STUN_MAX_ATTRIBUTES && at < size; i++) {
		uint16_t type = read16(data + at), length = read16(data + at + 2);

		at += 4;
		if (at + length > size)
			return NULL;
		if (type == STUN_USERNAME)
			return length > UFRAG && data[at + UFRAG] == ':' ? data + at : NULL;
		if (type == STUN_INTEGRITY || type == STUN_INTEGRITY_SHA256)
			return NULL;
		at += (length + 3) & ~3;
	}
	return NULL;
}

static inline int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static inline bool decode_ufrag(const uint8_t ufrag[UFRAG], uint8_t raw[ROUTE])
{
	for (int i = 0; i < UFRAG / 4; i++) {
		uint32_t bits = 0;

		for (int j = 0; j < 4; j++) {
			int value = base64_value(ufrag[4 * i + j]);

			if (value < 0)
				return false;
			bits = bits << 6 | value;
		}
		raw[3 * i] = bits >> 16;
		raw[3 * i + 1] = bits >> 8;
		raw[3 * i + 2] = bits;
	}
	return true;
}

/* The transceiver slot that a datagram is routed to, or -1 when it opens no flow. */
static inline int32_t find_slot(const struct keys *keys, const uint8_t *data, size_t size)
{
	const uint8_t *ufrag = find_ufrag(data, size);
	uint8_t raw[ROUTE];
	int key_slot;

	if (!ufrag || !decode_ufrag(ufrag, raw))
		return -1;
	key_slot = raw[0] >> 3 & 7;
	if (raw[0] >> 6 != 0 || key_slot >= KEY_SLOTS || !keys->there[key_slot] ||
	    read16(raw + 1) != keys->cluster)
		return -1;
	if (route_tag(keys->key[key_slot], raw) != read_le64(raw + SIGNED))
		return -1;
	return raw[3] << 16 | raw[4] << 8 | raw[5];
}

#endif
