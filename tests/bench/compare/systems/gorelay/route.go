// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math/bits"
)

const (
	stunHeader          = 20
	stunBindingRequest  = 0x0001
	stunUsername        = 0x0006
	stunIntegrity       = 0x0008
	stunIntegritySHA256 = 0x001c
	stunMaxAttributes   = 8 // relay/wire/stun.py has the same bound

	ufragSize  = 28
	routeSize  = 21
	signedSize = 13 // of these the tag is made, which follows them
	keySlots   = 7  // three bits name a slot, and 7 says that there is no route
)

var stunCookie = []byte{0x21, 0x12, 0xa4, 0x42}

// A key of SipHash, as its two little-endian words.
type sipKey [2]uint64

// keys verify routes of one cluster.
type keys struct {
	cluster uint16
	slots   [keySlots]*sipKey
}

// findUfrag returns the ufrag of the agent that a Binding request is for; nil if there is none of
// a route's size.
func findUfrag(data []byte) []byte {
	if len(data) < stunHeader || len(data)%4 != 0 ||
		binary.BigEndian.Uint16(data) != stunBindingRequest ||
		int(binary.BigEndian.Uint16(data[2:])) != len(data)-stunHeader ||
		!bytes.Equal(data[4:8], stunCookie) {
		return nil
	}
	rest := data[stunHeader:]
	for i := 0; i < stunMaxAttributes && len(rest) > 0; i++ {
		kind, length := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		rest = rest[4:]
		if length > len(rest) {
			return nil
		}
		switch kind {
		case stunUsername:
			if length <= ufragSize || rest[ufragSize] != ':' {
				return nil
			}
			return rest[:ufragSize]
		case stunIntegrity, stunIntegritySHA256:
			return nil
		}
		rest = rest[(length+3)&^3:]
	}
	return nil
}

// findSlot returns the transceiver slot that a datagram is routed to, and whether it opens a flow.
// It checks everything but the route's expiry, which fixed test data cannot have.
func (k *keys) findSlot(data []byte) (int, bool) {
	ufrag := findUfrag(data)
	// The decoder skips line breaks, which the ICE alphabet does not have.
	if ufrag == nil || bytes.ContainsAny(ufrag, "\r\n") {
		return 0, false
	}
	var raw [routeSize]byte
	if n, err := base64.StdEncoding.Decode(raw[:], ufrag); err != nil || n != routeSize {
		return 0, false
	}
	slot := raw[0] >> 3 & 7
	if raw[0]>>6 != 0 || slot >= keySlots || k.slots[slot] == nil ||
		binary.BigEndian.Uint16(raw[1:]) != k.cluster {
		return 0, false
	}
	if routeTag(k.slots[slot], &raw) != binary.LittleEndian.Uint64(raw[signedSize:]) {
		return 0, false
	}
	return int(raw[3])<<16 | int(raw[4])<<8 | int(raw[5]), true
}

// routeTag is SipHash-2-4 of a route's signed bytes: one whole word, and one of five bytes.
func routeTag(key *sipKey, raw *[routeSize]byte) uint64 {
	const low40 = 1<<40 - 1
	words := [2]uint64{
		binary.LittleEndian.Uint64(raw[:]),
		binary.LittleEndian.Uint64(raw[8:])&low40 | signedSize<<56,
	}
	v := [4]uint64{
		key[0] ^ 0x736f6d6570736575,
		key[1] ^ 0x646f72616e646f6d,
		key[0] ^ 0x6c7967656e657261,
		key[1] ^ 0x7465646279746573,
	}
	for _, word := range words {
		v[3] ^= word
		sipRounds(&v, 2)
		v[0] ^= word
	}
	v[2] ^= 0xff
	sipRounds(&v, 4)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sipRounds(v *[4]uint64, count int) {
	for ; count > 0; count-- {
		v[0] += v[1]
		v[2] += v[3]
		v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
		v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
		v[0] = bits.RotateLeft64(v[0], 32) + v[3]
		v[2] += v[1]
		v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
		v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
		v[2] = bits.RotateLeft64(v[2], 32)
	}
}
