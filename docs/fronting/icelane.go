// Package icelane lets a WebRTC server of your own be reached through an Icelane relay.
//
// Copy this file into your project: it needs nothing but the standard library, of Go 1.19 or newer.
// What a server must do is to use a ufrag that Ufrag has minted, and to answer with Answer. Conn
// is for servers that take a net.PacketConn, such as Pion: with it they see each client at the
// address that the client has, follow one that another relay has taken over, and say goodbye.
// docs/fronting.md is about all of it; vectors.json holds this file, icelane.mjs and relay.wire
// together.
package icelane

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What is wrong with something that came from outside; errors.Is tells which.
var (
	ErrFormat = errors.New("icelane: wrong length, alphabet or version")
	ErrKey    = errors.New("icelane: signed with a key that is not here")
	ErrTag    = errors.New("icelane: the tag does not verify")
)

const (
	keySize    = 16
	tagSize    = 8
	masterSize = 32
	slots      = 7 // three bits name a slot of keys; 7 says that there is no route
)

// Keys is a key file: the master keys that `icelane keys new` makes, or what was derived of them
// for one cluster.
type Keys struct {
	signing byte
	cluster int                        // -1 with master keys
	masters map[byte][]byte            // 32 bytes each
	derived map[byte]map[string][]byte // 16 bytes each, by purpose
}

// ParseKeys reads the text of a key file.
func ParseKeys(text string) (*Keys, error) {
	values, err := readTOML(text)
	if err != nil {
		return nil, err
	}
	signing, err := number(values["signing"], slots)
	if err != nil {
		return nil, errors.New("icelane: a key file has `signing = SLOT`, from 0 to 6")
	}
	keys := &Keys{byte(signing), -1, map[byte][]byte{}, map[byte]map[string][]byte{}}
	if written, there := values["cluster"]; there {
		if keys.cluster, err = number(written, 1<<16); err != nil {
			return nil, errors.New("icelane: the cluster in a key file is a number up to 65535")
		}
	}
	for name, value := range values {
		parts := strings.Split(name, ".")
		if parts[0] != "keys" {
			continue
		}
		if err := keys.add(parts[1:], value); err != nil {
			return nil, fmt.Errorf("icelane: %s in a key file: %w", name, err)
		}
	}
	if keys.masters[keys.signing] == nil && keys.derived[keys.signing]["route"] == nil {
		return nil, fmt.Errorf("icelane: the slot that signs, %d, holds no key", signing)
	}
	return keys, nil
}

func (k *Keys) add(name []string, value string) error {
	slot, err := number(name[0], slots)
	if err != nil {
		return errors.New("slots are 0 to 6")
	}
	key, err := hex.DecodeString(value)
	switch {
	case err != nil:
		return errors.New("a key is written in hex digits")
	case len(name) == 1 && k.cluster < 0 && len(key) == masterSize:
		k.masters[byte(slot)] = key
	case len(name) == 2 && k.cluster >= 0 && len(key) == keySize:
		if k.derived[byte(slot)] == nil {
			k.derived[byte(slot)] = map[string][]byte{}
		}
		k.derived[byte(slot)][name[1]] = key
	default:
		return errors.New("neither a master key of 32 bytes nor a key of one cluster of 16")
	}
	return nil
}

// readTOML takes the little of TOML that key files are written in: tables of texts and numbers.
func readTOML(text string) (map[string]string, error) {
	values, table := map[string]string{}, ""
	for number, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		name, value, pair := strings.Cut(line, "=")
		name = table + strings.TrimSpace(name)
		_, twice := values[name]
		switch {
		case line == "":
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			table = line[1:len(line)-1] + "."
		case pair && !twice:
			values[name] = strings.Trim(strings.TrimSpace(value), `"`)
		default:
			return nil, fmt.Errorf("icelane: line %d is none of a key file", number+1)
		}
	}
	return values, nil
}

func number(text string, limit int) (int, error) {
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 || value >= limit || strconv.Itoa(value) != text {
		return 0, ErrFormat
	}
	return value, nil
}

// key derives by HKDF-Expand (RFC 5869, section 2.3) with one block; nil where there is none.
func (k *Keys) key(purpose string, cluster uint16, slot byte) []byte {
	master := k.masters[slot]
	if master == nil {
		if k.cluster != int(cluster) {
			return nil
		}
		return k.derived[slot][purpose]
	}
	mac := hmac.New(sha256.New, master)
	mac.Write(append([]byte("icelane "+purpose), byte(cluster>>8), byte(cluster), slot, 1))
	return mac.Sum(nil)[:keySize]
}

// Target is who a route leads to, as the relay's registry has it.
type Target struct {
	Cluster    uint16
	Slot       uint32 // 24 bits
	Generation uint8  // changes whenever the slot gets a new owner
}

// RouteSize is the number of bytes of a route, which are 28 characters of a ufrag.
const RouteSize = 21

// Route is what a ufrag holds. Its layout is that of relay/wire/route.py.
type Route [RouteSize]byte

const (
	routeSigned = RouteSize - tagSize
	unit        = 64                  // seconds, of an expiry
	maxLifetime = 20 * 24 * time.Hour // half of what 16 bits of units can tell, less a margin
)

// Ufrag mints a ufrag that opens new flows for a time, such as four hours. Each session needs one
// of its own, and so does each ICE restart.
func Ufrag(target Target, keys *Keys, lifetime time.Duration) (string, error) {
	var nonce [4]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return "", err
	}
	route, err := Mint(target, keys, time.Now(), lifetime, nonce)
	if err != nil {
		return "", err
	}
	return route.Ufrag(), nil
}

// Mint makes a route, of the time and the randomness that it is given.
func Mint(
	target Target, keys *Keys, now time.Time, lifetime time.Duration, nonce [4]byte,
) (Route, error) {
	var route Route
	if target.Slot >= 1<<24 {
		return route, errors.New("icelane: a slot has 24 bits")
	}
	if lifetime <= 0 || lifetime > maxLifetime {
		return route, errors.New("icelane: a route lives for more than 0 and at most 20 days")
	}
	key := keys.key("route", target.Cluster, keys.signing)
	if key == nil {
		return route, fmt.Errorf("icelane: the key file has no keys of cluster %d", target.Cluster)
	}
	route[0] = keys.signing << 3
	binary.BigEndian.PutUint16(route[1:], target.Cluster)
	route[3] = byte(target.Slot >> 16)
	binary.BigEndian.PutUint16(route[4:], uint16(target.Slot))
	route[6] = target.Generation
	// One unit more, so that rounding never shortens the lifetime.
	binary.BigEndian.PutUint16(route[7:], uint16(now.Add(lifetime).Unix()/unit+1))
	copy(route[9:], nonce[:])
	copy(route[routeSigned:], tag(key, route[:routeSigned]))
	return route, nil
}

// Open reads a ufrag and verifies its tag. Whether it has expired is another question.
func Open(ufrag string, keys *Keys) (Route, error) {
	route, err := read(ufrag)
	if err == nil {
		err = route.verify(keys)
	}
	return route, err
}

func read(ufrag string) (Route, error) {
	var route Route
	raw, err := base64.StdEncoding.DecodeString(ufrag)
	if err != nil || len(raw) != RouteSize || len(ufrag) != RouteSize/3*4 {
		return route, ErrFormat
	}
	copy(route[:], raw)
	return route, nil
}

func (r Route) verify(keys *Keys) error {
	if r[0]>>6 != 0 {
		return ErrFormat
	}
	key := keys.key("route", r.Target().Cluster, r.KeySlot())
	if key == nil {
		return ErrKey
	}
	return check(key, r[:], routeSigned)
}

// Ufrag writes a route as an ICE ufrag.
func (r Route) Ufrag() string { return base64.StdEncoding.EncodeToString(r[:]) }

// Target is who the route leads to.
func (r Route) Target() Target {
	slot := uint32(r[3])<<16 | uint32(binary.BigEndian.Uint16(r[4:]))
	return Target{binary.BigEndian.Uint16(r[1:]), slot, r[6]}
}

// KeySlot is the slot of the key that signed it.
func (r Route) KeySlot() byte { return r[0] >> 3 & 7 }

// Nonce makes the session's ufrag its own.
func (r Route) Nonce() [4]byte { return [4]byte{r[9], r[10], r[11], r[12]} }

// Expires is when it opens no new flow any more: of the moments that its 16 bits can mean, the
// one that is nearest to now. A relay gives five minutes more, because clocks differ.
func (r Route) Expires(now time.Time) time.Time {
	units := now.Unix() / unit
	distance := int16(binary.BigEndian.Uint16(r[7:]) - uint16(units))
	return time.Unix((units+int64(distance))*unit, 0).UTC()
}

// Expired says whether that moment has passed (RFC 1982).
func (r Route) Expired(now time.Time) bool {
	return int16(binary.BigEndian.Uint16(r[7:])-uint16(now.Unix()/unit)) < 0
}

// Announcement is what a relay says of a new upstream address, before it sends anything else from
// there. Its layout is that of relay/wire/announcement.py.
type Announcement struct {
	Client   netip.AddrPort // as the relay sees it
	VIP      netip.AddrPort // where the client sends to
	Upstream netip.AddrPort // where its datagrams come from
	Route    Route          // that of the ufrag that opened the flow
	Time     time.Time      // by the relay's clock
	TCP      bool           // whether the client uses TCP
	Epoch    uint32         // how often a relay has taken the client over, from 1 on
}

const (
	announcementSize   = 97
	announcementFirst  = 0x0c // outside the ranges of RFC 7983
	announcementSigned = announcementSize - tagSize
	goodbyeFirst       = 0x0d
)

// IsAnnouncement says whether a datagram is meant as one.
func IsAnnouncement(data []byte) bool { return len(data) > 0 && data[0] == announcementFirst }

// ParseAnnouncement reads an announcement and verifies it. That it came from its upstream address
// is for the caller to check: only then is it one.
func ParseAnnouncement(data []byte, keys *Keys) (Announcement, error) {
	var said Announcement
	if len(data) != announcementSize || !IsAnnouncement(data) || data[1]&^1 != 1<<4 {
		return said, ErrFormat
	}
	microseconds := binary.BigEndian.Uint64(data[2:])
	if microseconds >= 1<<53 {
		return said, ErrFormat
	}
	copy(said.Route[:], data[68:])
	if err := said.Route.verify(keys); err != nil {
		return said, err
	}
	key := keys.key("announcement", said.Route.Target().Cluster, said.Route.KeySlot())
	if key == nil {
		return said, ErrKey
	}
	if err := check(key, data, announcementSigned); err != nil {
		return said, err
	}
	said.Time = time.UnixMicro(int64(microseconds)).UTC()
	said.Client, said.VIP, said.Upstream = unpack(data[10:]), unpack(data[28:]), unpack(data[46:])
	said.TCP = data[1]&15 == 1
	said.Epoch = binary.BigEndian.Uint32(data[64:])
	return said, nil
}

// Goodbye is the datagram that tells a relay that a call has ended, so that its flow may go. It is
// sent to the upstream address, from where media are. Its layout is that of relay/wire/goodbye.py.
func Goodbye(said Announcement, keys *Keys) ([]byte, error) {
	key := keys.key("announcement", said.Route.Target().Cluster, keys.signing)
	if key == nil {
		return nil, ErrKey
	}
	data := append([]byte{goodbyeFirst, 1<<4 | keys.signing}, said.Route[:]...)
	data = pack(pack(data, said.Client), said.Upstream)
	return append(data, tag(key, data)...), nil
}

// pack appends 18 bytes: the address, IPv4 as IPv4-mapped IPv6, and the port.
func pack(data []byte, address netip.AddrPort) []byte {
	host := address.Addr().As16()
	return binary.BigEndian.AppendUint16(append(data, host[:]...), address.Port())
}

func unpack(data []byte) netip.AddrPort {
	host, _ := netip.AddrFromSlice(data[:16])
	return netip.AddrPortFrom(host.Unmap(), binary.BigEndian.Uint16(data[16:]))
}

// Answer makes an SDP answer lead to the relay: its only candidates are the relay's addresses, as
// clients see them. They stand in each section: of a bundle, clients look into one or another.
func Answer(sdp string, vips ...netip.AddrPort) string {
	var candidates []string
	for number, vip := range vips {
		priority := 126<<24 | (65535-number)<<8 | 255 // RFC 8445, section 5.1.2.1
		candidates = append(candidates, fmt.Sprintf(
			"a=candidate:%d 1 udp %d %s %d typ host", number+1, priority, vip.Addr(), vip.Port()))
	}
	candidates = append(candidates, "a=end-of-candidates")
	var lines []string
	refused := true // what is before the first section has no candidates either
	for _, line := range append(withoutCandidates(sdp), "m=") {
		if strings.HasPrefix(line, "m=") {
			if !refused {
				lines = append(lines, candidates...)
			}
			fields := strings.Fields(line)
			refused = len(fields) > 1 && fields[1] == "0"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines[:len(lines)-1], "\r\n") + "\r\n"
}

// Offer takes the client's candidates out of an SDP offer: a server that is no ICE-lite one would
// otherwise check them itself, and might reach the client around the relay.
func Offer(sdp string) string { return strings.Join(withoutCandidates(sdp), "\r\n") + "\r\n" }

func withoutCandidates(sdp string) []string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(sdp), "\n") {
		line = strings.TrimRight(line, "\r")
		if !strings.HasPrefix(line, "a=candidate:") && line != "a=end-of-candidates" {
			lines = append(lines, line)
		}
	}
	return lines
}

const (
	forget = 120 * time.Second // a relay gives an upstream port to nobody else for so long
	lives  = 15 * time.Second  // an address belongs to the flow that was heard within this time
)

// Conn is a socket to which datagrams come from where the clients are, and not from the relay's
// upstream addresses: it reads announcements. So checks are answered with the client's address,
// as RFC 8445 wants it, and a client whom another relay takes over goes on with the next packet.
// What was not announced passes as it is, and so do clients over TCP.
type Conn struct {
	net.PacketConn
	keys   *Keys
	target Target
	lock   sync.Mutex
	// Every upstream address that was announced, and the one that each client is reached by.
	upstreams, clients map[netip.AddrPort]*flow
	swept              time.Time
}

type flow struct {
	said  Announcement
	shown *net.UDPAddr // the client
	way   *net.UDPAddr // the upstream address
	heard time.Time
}

// NewConn wraps the UDP socket of the server that is a target in the relay's registry.
func NewConn(socket net.PacketConn, target Target, keys *Keys) *Conn {
	return &Conn{
		PacketConn: socket, keys: keys, target: target, swept: time.Now(),
		upstreams: map[netip.AddrPort]*flow{}, clients: map[netip.AddrPort]*flow{},
	}
}

// ReadFrom gives the next datagram of a client, and the address of that client.
func (c *Conn) ReadFrom(buffer []byte) (int, net.Addr, error) {
	for {
		size, address, err := c.PacketConn.ReadFrom(buffer)
		source, known := endpoint(address)
		switch {
		case err != nil || !known:
			return size, address, err
		case IsAnnouncement(buffer[:size]):
			if said, err := ParseAnnouncement(buffer[:size], c.keys); err == nil {
				c.note(said, source, time.Now())
			}
		default:
			return size, c.behind(source, address, time.Now()), nil
		}
	}
}

// WriteTo sends a datagram to a client, by the relay that announced it last.
func (c *Conn) WriteTo(data []byte, address net.Addr) (int, error) {
	if client, known := endpoint(address); known {
		c.lock.Lock()
		if flow := c.clients[client]; flow != nil {
			address = flow.way
		}
		c.lock.Unlock()
	}
	return c.PacketConn.WriteTo(data, address)
}

// Goodbye tells relays that the call with a ufrag has ended. Without it they keep its flow for
// minutes.
func (c *Conn) Goodbye(ufrag string) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, flow := range c.of(ufrag) {
		if data, err := Goodbye(flow.said, c.keys); err == nil {
			_, _ = c.PacketConn.WriteTo(data, flow.way) // if it is lost, the flow idles out
		}
		c.drop(flow)
	}
}

func (c *Conn) of(ufrag string) []*flow {
	var found []*flow
	route, err := read(ufrag)
	for _, flow := range c.upstreams {
		if err == nil && flow.said.Route == route {
			found = append(found, flow)
		}
	}
	return found
}

// behind gives the address that datagrams of a source are shown to come from.
func (c *Conn) behind(source netip.AddrPort, address net.Addr, now time.Time) net.Addr {
	c.lock.Lock()
	defer c.lock.Unlock()
	flow := c.upstreams[source]
	if flow == nil {
		return address
	}
	flow.heard = now
	if c.clients[flow.said.Client] != flow {
		return address
	}
	return flow.shown
}

// note takes an announcement that was verified. It is compared with no clock, only with what was
// said of the same address before: a copy of an old one does nothing.
func (c *Conn) note(said Announcement, source netip.AddrPort, now time.Time) {
	if said.Upstream != source || said.Route.Target() != c.target {
		return
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	c.sweep(now)
	if before := c.upstreams[source]; before != nil {
		moved := said.Client == before.said.Client && said.TCP == before.said.TCP &&
			said.Epoch > before.said.Epoch
		if !said.Time.After(before.said.Time) && !moved {
			return
		}
		c.drop(before)
	}
	fresh := &flow{said, net.UDPAddrFromAddrPort(said.Client), net.UDPAddrFromAddrPort(source), now}
	c.upstreams[source] = fresh
	// One client may send to two VIPs, by two flows, and its address can stand for one of them
	// only. The other one is served as it is.
	owner := c.clients[said.Client]
	moved := owner != nil && owner.said.VIP == said.VIP && owner.said.Epoch < said.Epoch
	if !said.TCP && (owner == nil || moved || now.Sub(owner.heard) > lives) {
		c.clients[said.Client] = fresh
	}
}

func (c *Conn) sweep(now time.Time) {
	if now.Sub(c.swept) < forget {
		return
	}
	c.swept = now
	for _, flow := range c.upstreams {
		if now.Sub(flow.heard) > forget {
			c.drop(flow)
		}
	}
}

func (c *Conn) drop(flow *flow) {
	delete(c.upstreams, flow.said.Upstream)
	if c.clients[flow.said.Client] == flow {
		delete(c.clients, flow.said.Client)
	}
}

func endpoint(address net.Addr) (netip.AddrPort, bool) {
	udp, known := address.(*net.UDPAddr)
	if !known || udp == nil {
		return netip.AddrPort{}, false
	}
	found := udp.AddrPort()
	return netip.AddrPortFrom(found.Addr().Unmap(), found.Port()), true
}

// check holds the tag at the end of data against what is before it.
func check(key, data []byte, signed int) error {
	if subtle.ConstantTimeCompare(tag(key, data[:signed]), data[signed:]) != 1 {
		return ErrTag
	}
	return nil
}

// tag is SipHash-2-4 (Aumasson and Bernstein, 2012), 8 bytes, little-endian.
func tag(key, data []byte) []byte {
	k0, k1 := binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	rounds := func(count int) {
		for ; count > 0; count-- {
			v0 += v1
			v1 = bits.RotateLeft64(v1, 13) ^ v0
			v0 = bits.RotateLeft64(v0, 32)
			v2 += v3
			v3 = bits.RotateLeft64(v3, 16) ^ v2
			v0 += v3
			v3 = bits.RotateLeft64(v3, 21) ^ v0
			v2 += v1
			v1 = bits.RotateLeft64(v1, 17) ^ v2
			v2 = bits.RotateLeft64(v2, 32)
		}
	}
	whole := len(data) &^ 7
	last := make([]byte, 8)
	copy(last, data[whole:])
	last[7] = byte(len(data))
	for _, word := range [][]byte{data[:whole], last} {
		for ; len(word) > 0; word = word[8:] {
			m := binary.LittleEndian.Uint64(word)
			v3 ^= m
			rounds(2)
			v0 ^= m
		}
	}
	v2 ^= 0xff
	rounds(4)
	return binary.LittleEndian.AppendUint64(nil, v0^v1^v2^v3)
}
