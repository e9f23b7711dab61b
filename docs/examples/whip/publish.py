"""Publishes a sound file by WHIP, with GStreamer's webrtcbin, and ends the session.

    apt-get install python3-gst-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice
    apt-get install gstreamer1.0-plugins-{base,good,bad}
    python3 publish.py http://127.0.0.1:8080/whip speech.wav

Where there is gst-plugins-rs, whipclientsink does the same in a line.
"""

import os
import sys
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  # after their versions

PIPELINE = """
    webrtcbin name=peer bundle-policy=max-bundle
    filesrc location="{}" ! decodebin ! audioconvert ! audioresample ! clocksync name=clock
        ! opusenc ! rtpopuspay pt=111
        ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! queue ! peer.
"""


def request(method: str, url: str, body: bytes | None = None):
    """Ask the server; its answer."""
    headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}
    if body is not None:
        headers["Content-Type"] = "application/sdp"
    asked = urllib.request.Request(url, body, headers, method=method)
    return urllib.request.urlopen(asked, timeout=10)


class Publisher:
    """A pipeline whose webrtcbin offers, gets an answer, and sends until the file ends."""

    def __init__(self, url: str, file: str) -> None:
        self.url, self.session = url, ""
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(PIPELINE.format(file))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("on-negotiation-needed", self.offer)
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("notify::connection-state", self.changed)
        # webrtcbin keeps the end of the file to itself, so it is noticed before it.
        end = self.pipeline.get_by_name("clock").get_static_pad("src")
        end.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, self.passing)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.failed)

    def offer(self, peer) -> None:
        """Make an offer, whose candidates are then gathered."""

        def made(promise) -> None:
            reply = promise.get_reply()  # the offer is a part of it
            peer.emit("set-local-description", reply["offer"], Gst.Promise.new())

        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(made))

    def gathered(self, peer, _) -> None:
        """Post the offer once it has all candidates; then there is no need to trickle."""
        complete = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if peer.get_property("ice-gathering-state") == complete and not self.session:
            offer = peer.get_property("local-description").sdp.as_text()
            GLib.idle_add(self.exchange, offer)

    def exchange(self, offer: str) -> None:
        """Give the server the offer, and webrtcbin its answer."""
        with request("POST", self.url, offer.encode()) as answered:
            self.session = urljoin(self.url, answered.headers["Location"])
            _, sdp = GstSdp.SDPMessage.new_from_text(answered.read().decode())
        print("session:", self.session, flush=True)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.peer.emit("set-remote-description", answer, Gst.Promise.new())

    def changed(self, peer, _) -> None:
        """Tell how the connection is."""
        print(peer.get_property("connection-state").value_nick, flush=True)

    def passing(self, _, passed):
        """Notice the end of the file, which has been sent in real time."""
        if passed.get_event().type == Gst.EventType.EOS:
            GLib.timeout_add(500, self.loop.quit)  # what is on its way arrives
        return Gst.PadProbeReturn.OK

    def failed(self, _, message) -> None:
        """Tell why the pipeline has stopped."""
        print(message.parse_error()[0].message, file=sys.stderr)
        self.loop.quit()

    def run(self) -> None:
        """Send the whole file, and end the session."""
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        if self.session:
            request("DELETE", self.session).close()


Gst.init(None)
Publisher(*sys.argv[1:3]).run()
