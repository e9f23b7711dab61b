// Pion, WebRTC in Go, of the version that the distribution has. See tests/lab/clients/__init__.py.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v3"
	"github.com/pion/webrtc/v3/pkg/media"
)

const (
	frame       = 20 * time.Millisecond
	maxPayloads = 150 // kept for `stats`: the last 3 s
)

var channelNames = []string{"oai-events", "echo"}

type client struct {
	peer     *webrtc.PeerConnection
	voice    *webrtc.TrackLocalStaticSample
	channels map[string]*webrtc.DataChannel

	lock     sync.Mutex
	reached  map[string]bool
	packets  int
	payloads []string
	output   *json.Encoder
}

type object map[string]interface{}

func (c *client) emit(event string, content object) {
	c.lock.Lock()
	defer c.lock.Unlock()
	line := object{"event": event, "at": float64(time.Now().UnixNano()) / 1e6}
	for name, value := range content {
		line[name] = value
	}
	_ = c.output.Encode(line)
}

func (c *client) fail(err error) {
	if err != nil {
		c.emit("error", object{"text": err.Error()})
	}
}

func (c *client) reach(step string) {
	c.lock.Lock()
	before := c.reached[step]
	c.reached[step] = true
	c.lock.Unlock()
	if !before {
		c.emit("connected", object{"step": step})
	}
}

func (c *client) watch() {
	c.peer.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		if state == webrtc.ICEConnectionStateConnected || state == webrtc.ICEConnectionStateCompleted {
			c.reach("ice")
		}
	})
	c.peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			c.reach("dtls")
		}
		if state == webrtc.PeerConnectionStateFailed {
			c.emit("error", object{"text": "the connection failed"})
		}
	})
	c.peer.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			c.lock.Lock()
			c.packets++
			c.payloads = append(c.payloads, base64.StdEncoding.EncodeToString(packet.Payload))
			if len(c.payloads) > maxPayloads {
				c.payloads = c.payloads[1:]
			}
			c.lock.Unlock()
		}
	})
}

func (c *client) openChannels() error {
	for _, name := range channelNames {
		name := name
		channel, err := c.peer.CreateDataChannel(name, nil)
		if err != nil {
			return err
		}
		c.channels[name] = channel
		channel.OnOpen(func() { c.emit("open", object{"channel": name}) })
		channel.OnMessage(func(message webrtc.DataChannelMessage) {
			c.emit("message", object{"channel": name, "text": string(message.Data)})
		})
	}
	return nil
}

func (c *client) offer(options *webrtc.OfferOptions) error {
	offer, err := c.peer.CreateOffer(options)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(c.peer)
	if err := c.peer.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	c.emit("offer", object{"sdp": c.peer.LocalDescription().SDP})
	return nil
}

func (c *client) stats() {
	c.lock.Lock()
	packets, payloads := c.packets, c.payloads
	c.payloads = []string{}
	c.lock.Unlock()
	c.emit("stats", object{"packets": packets, "payloads": payloads})
}

func (c *client) obey(command map[string]string) error {
	switch command["command"] {
	case "answer":
		answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: command["sdp"]}
		return c.peer.SetRemoteDescription(answer)
	case "restart":
		return c.offer(&webrtc.OfferOptions{ICERestart: true})
	case "send":
		return c.channels[command["channel"]].SendText(command["text"])
	case "stats":
		c.stats()
	}
	return nil
}

func (c *client) speak(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		c.fail(err)
		return
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	started := time.Now()
	for number := 0; ; number++ {
		data, err := base64.StdEncoding.DecodeString(lines[number%len(lines)])
		if err == nil {
			err = c.voice.WriteSample(media.Sample{Data: data, Duration: frame})
		}
		if err != nil {
			return
		}
		time.Sleep(time.Until(started.Add(time.Duration(number+1) * frame)))
	}
}

func run(file string) error {
	peer, err := webrtc.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	if err != nil {
		return err
	}
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	voice, err := webrtc.NewTrackLocalStaticSample(opus, "audio", "client")
	if err != nil {
		return err
	}
	if _, err := peer.AddTrack(voice); err != nil {
		return err
	}
	c := &client{
		peer: peer, voice: voice, channels: map[string]*webrtc.DataChannel{},
		reached: map[string]bool{}, payloads: []string{}, output: json.NewEncoder(os.Stdout),
	}
	c.watch()
	if err := c.openChannels(); err != nil {
		return err
	}
	if err := c.offer(nil); err != nil {
		return err
	}
	go c.speak(file)
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<20)
	for input.Scan() {
		command := map[string]string{}
		if err := json.Unmarshal(input.Bytes(), &command); err != nil {
			return err
		}
		if command["command"] == "hangup" {
			break
		}
		c.fail(c.obey(command))
	}
	err = peer.Close()
	c.emit("closed", nil)
	return err
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
