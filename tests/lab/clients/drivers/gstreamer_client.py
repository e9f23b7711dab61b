"""GStreamer's webrtcbin, of which version 1.22 has no ICE restart."""

import json
import sys
import threading
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  # after their versions

from tests.lab.clients.drivers.interface import CHANNELS, emit  # noqa: E402  # as above

_PIPELINE = """
    webrtcbin name=peer bundle-policy=max-bundle
    audiotestsrc is-live=true wave=sine freq=440 samplesperbuffer=960
        ! audio/x-raw,rate=48000,channels=1 ! opusenc ! rtpopuspay pt=111
        ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! peer.
"""
_LEVEL_SECONDS = 0.1


class _Client:
    def __init__(self) -> None:
        self._pipeline = Gst.parse_launch(_PIPELINE)
        self._peer = self._pipeline.get_by_name("peer")
        self._packets, self._energy = 0, 0.0
        self._channels: dict[str, Any] = {}
        self._reached: set[str] = set()
        self._offering = self._offered = False
        self._peer.connect("notify::ice-gathering-state", self._gathering)
        self._peer.connect("notify::ice-connection-state", self._state, "ice")
        self._peer.connect("notify::connection-state", self._state, "dtls")
        self._peer.connect("pad-added", self._heard)
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self._on_message)
        self._pipeline.set_state(Gst.State.READY)  # before that it makes no data channel
        for name in CHANNELS:
            channel = self._peer.emit("create-data-channel", name, None)
            self._channels[name] = channel
            channel.connect("on-open", lambda _, name=name: emit("open", channel=name))
            channel.connect(
                "on-message-string",
                lambda _, text, name=name: emit("message", channel=name, text=text),
            )
        self._pipeline.set_state(Gst.State.PLAYING)

    def _offer(self) -> None:
        """Offer, once all that is to be in it is known: when the pipeline plays."""
        if self._offering:
            return
        self._offering = True

        def created(promise: Any) -> None:
            reply = promise.get_reply()  # the offer is a part of it
            offer = reply["offer"]
            self._peer.emit("set-local-description", offer, Gst.Promise.new())

        promise = Gst.Promise.new_with_change_func(created)
        self._peer.emit("create-offer", None, promise)

    def _gathering(self, peer: Any, _: Any) -> None:
        state = peer.get_property("ice-gathering-state")
        if state == GstWebRTC.WebRTCICEGatheringState.COMPLETE and not self._offered:
            self._offered = True
            emit("offer", sdp=peer.get_property("local-description").sdp.as_text())

    def _state(self, peer: Any, what: Any, step: str) -> None:
        state = peer.get_property(what.name).value_nick
        if step not in self._reached and state in {"connected", "completed"}:
            self._reached.add(step)
            emit("connected", step=step)

    def _heard(self, _: Any, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        interval = int(_LEVEL_SECONDS * Gst.SECOND)
        sink = Gst.parse_bin_from_description(
            "rtpopusdepay ! opusdec ! audioconvert"
            f" ! level interval={interval} post-messages=true ! fakesink sync=false",
            True,
        )
        pad.add_probe(Gst.PadProbeType.BUFFER, self._count)
        self._pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def _count(self, *_: Any) -> Any:
        self._packets += 1
        return Gst.PadProbeReturn.OK

    def _on_message(self, _: Any, message: Any) -> None:
        if message.type == Gst.MessageType.ERROR:
            emit("error", text=message.parse_error()[0].message)
        if message.type == Gst.MessageType.STATE_CHANGED and message.src == self._pipeline:
            if message.parse_state_changed()[1] == Gst.State.PLAYING:
                self._offer()
            return
        structure = message.get_structure()
        if structure is not None and structure.get_name() == "level":
            (loudness, *_) = structure.get_value("rms")  # dB of full scale
            self._energy += 10 ** (loudness / 10) * _LEVEL_SECONDS

    def obey(self, command: dict[str, Any]) -> bool:
        match command["command"]:
            case "answer":
                _, sdp = GstSdp.SDPMessage.new_from_text(command["sdp"])
                answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
                self._peer.emit("set-remote-description", answer, Gst.Promise.new())
            case "send":
                self._channels[command["channel"]].emit("send-string", command["text"])
            case "stats":
                emit("stats", packets=self._packets, energy=self._energy)
                self._energy = 0.0
            case name:
                emit("unsupported", text=f"webrtcbin 1.22 has no {name}")
        return False  # GLib: once

    def close(self) -> None:
        self._pipeline.set_state(Gst.State.NULL)
        emit("closed")


def main() -> None:
    """Run it until it is told to hang up."""
    Gst.init(None)
    client, loop = _Client(), GLib.MainLoop()

    def read() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command["command"] == "hangup":
                break
            GLib.idle_add(client.obey, command)
        GLib.idle_add(loop.quit)

    threading.Thread(target=read, daemon=True).start()
    loop.run()
    client.close()


if __name__ == "__main__":
    main()
