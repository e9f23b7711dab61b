// A call with Pion: says what is in an Ogg file of Opus, and shows what was said.
//
//	pion question.opus
//
// It is built with Pion 3, such as Debian's golang-github-pion-webrtc.v3-dev; see the Makefile.
// It hangs up when the first answer has been heard.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v3"
	"github.com/pion/webrtc/v3/pkg/media"
	"github.com/pion/webrtc/v3/pkg/media/oggreader"
)

const (
	heard = "conversation.item.input_audio_transcription.completed"
	page  = 20 * time.Millisecond // of sound in a page of the file, as opusenc and FFmpeg can write it
)

type event struct {
	Type       string
	Transcript string
	Error      struct{ Message string }
}

// exchange posts an offer and returns the answer.
func exchange(offer string) (string, error) {
	base := os.Getenv("OPENAI_BASE_URL")
	if base == "" {
		base = "http://127.0.0.1:8080/v1"
	}
	request, err := http.NewRequest("POST", base+"/realtime/calls", strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/sdp")
	request.Header.Set("Authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = errors.New(string(body))
	}
	return string(body), err
}

// speak sends a file in real time, and silence after it: the server waits for the end of a turn.
func speak(file string, track *webrtc.TrackLocalStaticSample) error {
	input, err := os.Open(file)
	if err != nil {
		return err
	}
	defer input.Close()
	reader, _, err := oggreader.NewWith(input)
	if err != nil {
		return err
	}
	silence := []byte{0xf8, 0xff, 0xfe} // a frame of Opus without sound
	for clock := time.NewTicker(page); ; <-clock.C {
		sound, header, err := reader.ParseNextPage()
		if err != nil {
			sound = silence
		} else if header.GranulePosition == 0 { // what the file says of itself
			continue
		}
		if track.WriteSample(media.Sample{Data: sound, Duration: page}) != nil {
			return nil // the call has ended
		}
	}
}

func call(file string) error {
	peer, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer peer.Close()
	opus := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	track, err := webrtc.NewTrackLocalStaticSample(opus, "audio", "example")
	if err != nil {
		return err
	}
	if _, err = peer.AddTrack(track); err != nil {
		return err
	}
	ended := make(chan error, 4)
	var packets atomic.Int64
	peer.OnTrack(func(remote *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			if _, _, err := remote.ReadRTP(); err != nil { // here one would decode and play it
				return
			}
			packets.Add(1)
		}
	})
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			go func() {
				if err := speak(file, track); err != nil {
					ended <- err
				}
			}()
		} else if state == webrtc.PeerConnectionStateFailed {
			ended <- errors.New("the server cannot be reached by UDP")
		}
	})
	events, err := peer.CreateDataChannel("oai-events", nil)
	if err != nil {
		return err
	}
	events.OnOpen(func() {
		_ = events.SendText(`{"type": "session.update", "session": {"type": "realtime",
			"audio": {"input": {"transcription": {"model": "whisper-1"}}}}}`)
	})
	events.OnMessage(func(message webrtc.DataChannelMessage) {
		var told event
		_ = json.Unmarshal(message.Data, &told)
		switch told.Type {
		case heard:
			fmt.Println("you:", told.Transcript)
		case "response.output_audio_transcript.done":
			fmt.Println("agent:", told.Transcript)
		case "output_audio_buffer.stopped":
			ended <- nil
		case "error":
			ended <- errors.New(told.Error.Message)
		}
	})
	offer, err := peer.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(peer)
	if err = peer.SetLocalDescription(offer); err != nil {
		return err
	}
	<-gathered
	answer, err := exchange(peer.LocalDescription().SDP)
	if err != nil {
		return err
	}
	remote := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}
	if err = peer.SetRemoteDescription(remote); err != nil {
		return err
	}
	err = <-ended
	fmt.Println("packets:", packets.Load())
	return err
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pion question.opus")
		os.Exit(2)
	}
	if err := call(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
