package icelane

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

type announced struct {
	Data, Client, VIP, Upstream, Ufrag, Transport string
	Time                                          float64
	Epoch                                         uint32
}

type refused struct{ Ufrag, Data, Reason string }

var vectors struct {
	KeyFiles map[string]string `json:"key_files"`
	Routes   []struct {
		KeyFile    string `json:"key_file"`
		Cluster    uint16
		Slot       uint32
		Generation uint8
		Now        float64
		Lifetime   int64
		Nonce      string
		Ufrag      string
		KeySlot    byte    `json:"key_slot"`
		LookedAt   float64 `json:"looked_at"`
		Expires    int64
		Expired    bool
	}
	Refused              []refused
	Announcements        []announced
	AnnouncementsRefused []refused `json:"announcements_refused"`
	Goodbyes             []struct{ Announcement, Data string }
	Answers              []struct {
		SDP, Answer, Offer string
		VIPs               []string
	}
}

var reasons = map[string]error{"format": ErrFormat, "key": ErrKey, "tag": ErrTag}

func TestMain(m *testing.M) {
	text, err := os.ReadFile("vectors.json")
	if err == nil {
		err = json.Unmarshal(text, &vectors)
	}
	if err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func keys(t *testing.T, file string) *Keys {
	t.Helper()
	keys, err := ParseKeys(vectors.KeyFiles[file])
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// each runs a test with the master keys and with those that were derived for one cluster.
func each(t *testing.T, test func(*testing.T, *Keys)) {
	for _, file := range []string{"masters", "cluster"} {
		keys := keys(t, file)
		t.Run(file, func(t *testing.T) { test(t, keys) })
	}
}

func moment(seconds float64) time.Time { return time.UnixMicro(int64(seconds * 1e6)).UTC() }

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoutes(t *testing.T) {
	each(t, func(t *testing.T, verifying *Keys) {
		for _, each := range vectors.Routes {
			signing := verifying
			if each.KeyFile == "older" {
				signing = keys(t, "older")
			}
			target := Target{each.Cluster, each.Slot, each.Generation}
			lifetime := time.Duration(each.Lifetime) * time.Second
			nonce := *(*[4]byte)(unhex(t, each.Nonce))
			minted, err := Mint(target, signing, moment(each.Now), lifetime, nonce)
			if err != nil || minted.Ufrag() != each.Ufrag {
				t.Errorf("minted %s, not %s: %v", minted.Ufrag(), each.Ufrag, err)
			}
			route, err := Open(each.Ufrag, verifying)
			if err != nil || route != minted || route.Target() != target ||
				route.KeySlot() != each.KeySlot || route.Nonce() != nonce {
				t.Errorf("%s says %v: %v", each.Ufrag, route, err)
			}
			at := moment(each.LookedAt)
			if route.Expires(at).Unix() != each.Expires || route.Expired(at) != each.Expired {
				t.Errorf("%s expires at %v: %v", each.Ufrag, route.Expires(at), route.Expired(at))
			}
		}
	})
}

func TestAUfragOfNow(t *testing.T) {
	target := Target{0x0102, 1, 1}
	one, err := Ufrag(target, keys(t, "cluster"), time.Hour)
	other, _ := Ufrag(target, keys(t, "cluster"), time.Hour)
	route, opened := Open(one, keys(t, "masters"))
	if err != nil || opened != nil || one == other || route.Target() != target {
		t.Error(one, other, err, opened)
	}
	if now := time.Now(); route.Expired(now.Add(time.Hour)) || !route.Expired(now.Add(2*time.Hour)) {
		t.Error(route.Expires(now))
	}
}

func TestWhatCannotBeMinted(t *testing.T) {
	good := Target{0x0102, 1, 1}
	for _, each := range []struct {
		target   Target
		lifetime time.Duration
	}{
		{Target{0x0102, 1 << 24, 1}, time.Hour},
		{Target{0x0103, 1, 1}, time.Hour}, // the keys are of another cluster
		{good, 0},
		{good, 21 * 24 * time.Hour},
	} {
		if ufrag, err := Ufrag(each.target, keys(t, "cluster"), each.lifetime); err == nil || ufrag != "" {
			t.Error(each, ufrag)
		}
	}
}

func TestKeyFilesThatCannotBeUsed(t *testing.T) {
	const key = "0 = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"\n"
	for _, text := range []string{
		"", "signing = 0\n", "signing = 7\n[keys]\n" + key, "signing = 1\n[keys]\n" + key,
		"signing = 0\n[keys]\n" + key + key, "signing = 0\n[keys]\n0 = \"00\"\n",
		"signing = 0\n[keys]\n0 = \"xy\"\n", "signing = 0\ncluster = 1\n[keys]\n" + key,
		"signing = 0\nwhat\n[keys]\n" + key, "signing = 0\n[keys]\n0" + key,
	} {
		if _, err := ParseKeys(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if _, err := ParseKeys("signing = 0\n[keys]\n" + key); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	each(t, func(t *testing.T, keys *Keys) {
		for _, each := range vectors.Refused {
			if _, err := Open(each.Ufrag, keys); !errors.Is(err, reasons[each.Reason]) {
				t.Errorf("%s: %v, not %s", each.Ufrag, err, each.Reason)
			}
		}
		for _, each := range vectors.AnnouncementsRefused {
			_, err := ParseAnnouncement(unhex(t, each.Data), keys)
			if !errors.Is(err, reasons[each.Reason]) {
				t.Errorf("%s: %v, not %s", each.Data, err, each.Reason)
			}
		}
	})
}

func TestAnnouncementsAndGoodbyes(t *testing.T) {
	each(t, func(t *testing.T, keys *Keys) {
		for number, each := range vectors.Announcements {
			said, err := ParseAnnouncement(unhex(t, each.Data), keys)
			if err != nil {
				t.Fatal(err)
			}
			if said.Client.String() != each.Client || said.VIP.String() != each.VIP ||
				said.Upstream.String() != each.Upstream || said.Route.Ufrag() != each.Ufrag ||
				!said.Time.Equal(moment(each.Time)) || said.Epoch != each.Epoch ||
				said.TCP != (each.Transport == "tcp") {
				t.Errorf("%+v is no %+v", said, each)
			}
			data, err := Goodbye(said, keys)
			if err != nil || hex.EncodeToString(data) != vectors.Goodbyes[number].Data {
				t.Errorf("goodbye %x: %v", data, err)
			}
		}
	})
}

func TestDescriptions(t *testing.T) {
	for _, each := range vectors.Answers {
		var vips []netip.AddrPort
		for _, vip := range each.VIPs {
			vips = append(vips, netip.MustParseAddrPort(vip))
		}
		if got := Answer(each.SDP, vips...); got != each.Answer {
			t.Errorf("answer %q", got)
		}
		if got := Offer(each.SDP); got != each.Offer {
			t.Errorf("offer %q", got)
		}
	}
}

var (
	ours         = Target{0x0102, 1, 1}
	client       = netip.MustParseAddrPort("203.0.113.2:50000")
	vip          = netip.MustParseAddrPort("203.0.113.10:3478")
	one, another = netip.MustParseAddrPort("192.0.2.1:20000"), netip.MustParseAddrPort("192.0.2.9:30000")
	start        = time.Unix(1_795_381_747, 0)
)

func announcement(t *testing.T, change func(*Announcement)) Announcement {
	t.Helper()
	route, err := Mint(ours, keys(t, "masters"), start, time.Hour, [4]byte{})
	if err != nil {
		t.Fatal(err)
	}
	said := Announcement{client, vip, one, route, start, false, 1}
	change(&said)
	return said
}

// Each announcement of a story is followed by a datagram of both upstream addresses a second later.
func TestWhoIsBehindAnUpstreamAddress(t *testing.T) {
	first := func(*Announcement) {}
	from := func(upstream netip.AddrPort, change func(*Announcement)) func(*Announcement) {
		return func(said *Announcement) { said.Upstream = upstream; change(said) }
	}
	stranger := netip.MustParseAddrPort("203.0.113.3:50000")
	for name, story := range map[string]struct {
		told          []func(*Announcement)
		apart         time.Duration
		shown, reachs netip.AddrPort // what another upstream address is shown as; where the client is
	}{
		"nobody":                  {nil, 0, another, client},
		"a client":                {[]func(*Announcement){first}, 0, another, one},
		"another relay's, later":  {[]func(*Announcement){first, from(another, func(s *Announcement) { s.Epoch = 2 })}, 0, client, another},
		"another relay's, before": {[]func(*Announcement){from(another, func(s *Announcement) { s.Epoch = 2 }), first}, 0, client, another},
		"another VIP's":           {[]func(*Announcement){first, from(another, func(s *Announcement) { s.VIP = one; s.Epoch = 2 })}, 0, another, one},
		"after a silence":         {[]func(*Announcement){first, from(another, func(s *Announcement) { s.VIP = one })}, time.Minute, client, another},
		"over TCP":                {[]func(*Announcement){from(another, func(s *Announcement) { s.TCP = true })}, 0, another, client},
		"of another target":       {[]func(*Announcement){from(another, func(s *Announcement) { s.Route[6]++ })}, 0, another, client},
		"an old copy":             {[]func(*Announcement){from(another, func(s *Announcement) { s.Client = stranger }), from(another, func(s *Announcement) { s.Time = start.Add(-1) })}, 0, stranger, client},
		"the port's next client":  {[]func(*Announcement){from(another, first), from(another, func(s *Announcement) { s.Client = stranger; s.Time = start.Add(1) })}, 0, stranger, client},
	} {
		conn := NewConn(nil, ours, nil)
		now := start
		for _, change := range story.told {
			said := announcement(t, change)
			conn.note(said, said.Upstream, now)
			now = now.Add(time.Second + story.apart)
		}
		shown, _ := endpoint(conn.behind(another, net.UDPAddrFromAddrPort(another), now))
		if shown != story.shown {
			t.Errorf("%s: shown as %v", name, shown)
		}
		reached := client
		if flow := conn.clients[client]; flow != nil {
			reached = flow.said.Upstream
		}
		if reached != story.reachs {
			t.Errorf("%s: reached by %v", name, reached)
		}
	}
}

func TestAnnouncementsFromElsewhereSayNothing(t *testing.T) {
	conn := NewConn(nil, ours, nil)
	conn.note(announcement(t, func(*Announcement) {}), another, start)
	if len(conn.upstreams) != 0 {
		t.Error(conn.upstreams)
	}
}

func TestWhatIsSilentIsForgotten(t *testing.T) {
	conn := NewConn(nil, ours, nil)
	conn.swept = start
	conn.note(announcement(t, func(*Announcement) {}), one, start)
	conn.note(announcement(t, func(s *Announcement) { s.Upstream, s.VIP = another, one }), another, start.Add(2*forget))
	if len(conn.upstreams) != 1 || conn.clients[client].said.Upstream != another {
		t.Error(conn.upstreams)
	}
}

func signed(t *testing.T, said Announcement, keys *Keys) []byte {
	t.Helper()
	data := binary.BigEndian.AppendUint64([]byte{announcementFirst, 1 << 4}, uint64(said.Time.UnixMicro()))
	data = pack(pack(pack(data, said.Client), said.VIP), said.Upstream)
	data = append(binary.BigEndian.AppendUint32(data, said.Epoch), said.Route[:]...)
	return append(data, tag(keys.key("announcement", said.Route.Target().Cluster, said.Route.KeySlot()), data)...)
}

func TestASocketWithARelayBefore(t *testing.T) {
	keys := keys(t, "masters")
	open := func() net.PacketConn {
		socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		_ = socket.SetDeadline(time.Now().Add(10 * time.Second))
		return socket
	}
	server, relay := open(), open()
	conn := NewConn(server, ours, keys)
	upstream, _ := endpoint(relay.LocalAddr())
	said := announcement(t, func(said *Announcement) { said.Upstream = upstream })
	forged := signed(t, said, keys)
	forged[20] ^= 1
	for _, data := range [][]byte{[]byte("before"), forged, signed(t, said, keys), []byte("question")} {
		if _, err := relay.WriteTo(data, server.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, 1500)
	for _, expected := range []struct {
		text, from string
	}{{"before", upstream.String()}, {"question", client.String()}} {
		size, address, err := conn.ReadFrom(buffer)
		if err != nil || string(buffer[:size]) != expected.text || address.String() != expected.from {
			t.Fatal(string(buffer[:size]), address, err)
		}
	}
	if _, err := conn.WriteTo([]byte("answer"), net.UDPAddrFromAddrPort(client)); err != nil {
		t.Fatal(err)
	}
	conn.Goodbye(said.Route.Ufrag())
	goodbye, _ := Goodbye(said, keys)
	for _, expected := range []string{"answer", string(goodbye)} {
		size, _, err := relay.ReadFrom(buffer)
		if err != nil || string(buffer[:size]) != expected {
			t.Fatal(string(buffer[:size]), err)
		}
	}
	if len(conn.upstreams) != 0 || len(conn.clients) != 0 {
		t.Error("it is remembered after the goodbye")
	}
}
