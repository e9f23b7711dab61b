// A server with Pion behind an Icelane relay: it says back what it hears, and what it is sent.
//
//	pion -keys keys.toml -vip 203.0.113.10:3478 -media 192.0.2.2:5000 -http 198.51.100.2:8081
//
// Clients post an SDP offer to any path of its HTTP address, and delete what Location names.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v3"

	icelane "icelane/fronting"
)

type server struct {
	keys   *icelane.Keys
	target icelane.Target
	vip    netip.AddrPort
	conn   *icelane.Conn
	media  webrtc.SettingEngine
	lock   sync.Mutex
	calls  map[string]*webrtc.PeerConnection // by ufrag
}

// listen opens the one socket of all calls, at the address that the relay's registry has.
func (s *server) listen(address string) error {
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	s.conn = icelane.NewConn(socket, s.target, s.keys)
	s.media.SetICEUDPMux(webrtc.NewICEUDPMux(nil, s.conn))
	s.media.SetLite(true) // the relay's clients find us, and we look for nobody
	return nil
}

// answer makes a call of an offer; its ufrag is the route to this server.
func (s *server) answer(offer string) (ufrag, sdp string, err error) {
	if ufrag, err = icelane.Ufrag(s.target, s.keys, 4*time.Hour); err != nil {
		return "", "", err
	}
	password := make([]byte, 16)
	if _, err = rand.Read(password); err != nil {
		return "", "", err
	}
	settings := s.media
	settings.SetICECredentials(ufrag, hex.EncodeToString(password))
	codecs := &webrtc.MediaEngine{}
	if err = codecs.RegisterDefaultCodecs(); err != nil {
		return "", "", err
	}
	reports := &interceptor.Registry{}
	if err = webrtc.RegisterDefaultInterceptors(codecs, reports); err != nil {
		return "", "", err
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs),
		webrtc.WithInterceptorRegistry(reports))
	peer, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", "", err
	}
	if err = echo(peer); err == nil {
		sdp, err = negotiate(peer, offer)
	}
	if err != nil {
		_ = peer.Close()
		return "", "", err
	}
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			if pair, err := peer.SCTP().Transport().ICETransport().GetSelectedCandidatePair(); err == nil {
				fmt.Printf("connected: %s:%d\n", pair.Remote.Address, pair.Remote.Port)
			}
		} else if state == webrtc.PeerConnectionStateFailed {
			s.end(ufrag)
		}
	})
	s.lock.Lock()
	s.calls[ufrag] = peer
	s.lock.Unlock()
	return ufrag, icelane.Answer(sdp, s.vip), nil
}

func negotiate(peer *webrtc.PeerConnection, offer string) (string, error) {
	remote := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: icelane.Offer(offer)}
	if err := peer.SetRemoteDescription(remote); err != nil {
		return "", err
	}
	answer, err := peer.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err = peer.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return peer.LocalDescription().SDP, nil
}

// echo sends back the sound and the messages of a client.
func echo(peer *webrtc.PeerConnection) error {
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	voice, err := webrtc.NewTrackLocalStaticRTP(opus, "audio", "echo")
	if err != nil {
		return err
	}
	if _, err = peer.AddTrack(voice); err != nil {
		return err
	}
	peer.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			packet, _, err := track.ReadRTP()
			if err != nil || voice.WriteRTP(packet) != nil {
				return
			}
		}
	})
	peer.OnDataChannel(func(channel *webrtc.DataChannel) {
		channel.OnMessage(func(message webrtc.DataChannelMessage) {
			_ = channel.SendText(string(message.Data))
		})
	})
	return nil
}

// end closes a call, and tells the relay, which then forgets its flow.
func (s *server) end(ufrag string) {
	s.lock.Lock()
	peer := s.calls[ufrag]
	delete(s.calls, ufrag)
	s.lock.Unlock()
	if peer != nil {
		_ = peer.Close()
		s.conn.Goodbye(ufrag)
	}
}

func (s *server) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	if request.Method == http.MethodDelete {
		s.end(strings.ReplaceAll(request.URL.Query().Get("call"), " ", "+"))
		response.WriteHeader(http.StatusNoContent)
		return
	}
	offer, err := io.ReadAll(http.MaxBytesReader(response, request.Body, 1<<16))
	if err != nil || request.Method != http.MethodPost {
		http.Error(response, "post an offer", http.StatusBadRequest)
		return
	}
	ufrag, sdp, err := s.answer(string(offer))
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	response.Header().Set("Content-Type", "application/sdp")
	response.Header().Set("Location", "/?call="+ufrag)
	response.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(response, sdp)
}

func run() error {
	file := flag.String("keys", "keys.toml", "the key file")
	vip := flag.String("vip", "", "where clients reach the relay")
	media := flag.String("media", "", "where the relay reaches this server: its address in the registry")
	web := flag.String("http", "127.0.0.1:8081", "where offers are posted")
	slot := flag.Uint("slot", 1, "its slot in the registry")
	flag.Parse()
	text, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	s := &server{
		target: icelane.Target{Cluster: 1, Slot: uint32(*slot), Generation: 1},
		calls:  map[string]*webrtc.PeerConnection{},
	}
	if s.keys, err = icelane.ParseKeys(string(text)); err != nil {
		return err
	}
	if s.vip, err = netip.ParseAddrPort(*vip); err != nil {
		return err
	}
	if err = s.listen(*media); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *web)
	if err != nil {
		return err
	}
	fmt.Println("ready: post offers to", *web)
	return http.Serve(listener, s)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
