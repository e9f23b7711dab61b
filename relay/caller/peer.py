"""The peer connection of `icelane call`, with the counts that aiortc does not offer.

Private names of aiortc 1.16 and aioice 0.13 are touched here and nowhere else in this package;
tests/relay/caller/test_peer.py holds them.
"""

import asyncio
import contextlib
import re
import time

import aiortc.rtp
from aioice import Candidate
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import AnyRtcpPacket, RtcpReceiverInfo, RtcpRrPacket, RtcpSrPacket
from aiortc.stats import RTCRemoteInboundRtpStreamStats
from av import AudioFrame

from relay.caller.errors import CallError, Failure
from relay.caller.rtp import RtpCounter
from relay.wire.audiolevel import audio_level
from relay.wire.endpoint import Endpoint

_CLOSE_TIMEOUT = 3.0  # seconds
_STOP_TIMEOUT = 1.0  # seconds; a frame takes 0.02
# foundation, component, transport, priority, then the address (RFC 8839 section 5.1)
_CANDIDATE = re.compile(r"^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) ", re.ASCII | re.MULTILINE)


class Peer:
    """A peer connection with one audio track and one data channel, and its counts.

    Args:
        track: The audio to send.
        turn: A TURN server to use, and no other path.

    Attributes:
        connection: The peer connection.
        channel: The data channel.
        sent: The RTP packets handed to the network.
        received: The RTP packets taken from it, before SRTP drops those it has seen already.
        receiver_report: The last RTCP report block of the other side on our audio.
        ice_completed: When ICE had a nominated pair, by the monotonic clock; None before it.
        dtls_connected: When the DTLS handshake was complete, by the same.
    """

    def __init__(self, track: MediaStreamTrack, turn: RTCIceServer | None = None) -> None:
        self.connection = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[turn] if turn else [],
                iceTransportPolicy=(
                    RTCIceTransportPolicy.RELAY if turn else RTCIceTransportPolicy.ALL
                ),
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        self._track = track
        self._sender = self.connection.addTrack(track)
        self.channel = self.connection.createDataChannel("oai-events")
        self.sent = RtpCounter()
        self.received = RtpCounter()
        self.receiver_report: RtcpReceiverInfo | None = None
        self.ice_completed: float | None = None
        self.dtls_connected: float | None = None
        self._advertised: list[str] = []
        self._changed = asyncio.Event()
        self._ice.on("statechange", self._note_change)
        self._dtls.on("statechange", self._note_change)
        _tap(self._ice, self.sent, self.received)
        _allow_loopback(self._ice)
        self._tap_reports(self._sender)

    @property
    def _dtls(self) -> RTCDtlsTransport:
        """The one DTLS transport that everything is bundled on."""
        return self._sender.transport

    @property
    def _ice(self) -> RTCIceTransport:
        return self._dtls.transport

    @property
    def remote(self) -> Endpoint | None:
        """The remote transport address that ICE selected."""
        pair = self._ice._connection._nominated.get(1)  # noqa: SLF001  # no public way to it
        return None if pair is None else Endpoint.of(pair.remote_addr)

    @property
    def alive(self) -> bool:
        """Whether media can flow."""
        return self._dtls.state == "connected" and self._ice.state == "completed"

    @property
    def report_is_final(self) -> bool:
        """Whether the other side's last report covers the last packet that was sent."""
        report = self.receiver_report
        count = self.sent.streams.get(self._sender._ssrc)  # noqa: SLF001  # no public way to it
        return (
            report is not None
            and count is not None
            and report.highest_sequence & 0xFFFF == count.highest
        )

    async def create_offer(self) -> str:
        """Gather candidates and return the SDP offer."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def set_answer(self, sdp: str) -> None:
        """Apply the SDP answer, which starts ICE.

        Raises:
            CallError: The answer cannot be used.
        """
        # aioice forgets the candidates when it fails, which is when one wants to see them.
        self._advertised = [
            str(Endpoint(host, int(port))) for host, port in dict.fromkeys(_CANDIDATE.findall(sdp))
        ]
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        except Exception as error:  # noqa: BLE001  # aiortc's parser raises what its code meets
            raise CallError(
                Failure.SIGNALING_REFUSED, f"the SDP answer cannot be used: {error}"
            ) from None

    async def wait_connected(self, *, within: float) -> None:
        """Wait until media can flow.

        Args:
            within: Seconds after which to give up.

        Raises:
            CallError: ICE or DTLS failed, or took too long.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.alive and self._ice.state != "failed" and not self._dtls_ended:
                    self._changed.clear()
                    await self._changed.wait()
        if self.alive:
            return
        if self._ice.state != "completed":
            where = ", ".join(self._advertised) or "anywhere"
            raise CallError(Failure.ICE_FAILED, f"ICE failed: no answer from {where} over UDP")
        raise CallError(Failure.DTLS_FAILED, f"DTLS with {self.remote} failed")

    @property
    def _dtls_ended(self) -> bool:
        return self._dtls.state in {"failed", "closed"}

    async def wait_reported(self, *, within: float) -> None:
        """Wait until the other side's report covers the last packet, or `within` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.alive and not self.report_is_final:
                    self._changed.clear()
                    await self._changed.wait()

    async def round_trip(self) -> float | None:
        """The round-trip time by RTCP in seconds, smoothed; None before it was measured."""
        statistics = await self._sender.getStats()
        times = (
            each.roundTripTime
            for each in statistics.values()
            if isinstance(each, RTCRemoteInboundRtpStreamStats)
        )
        return next(times, None)

    async def stop_sending(self) -> None:
        """Send no more audio, and keep the connection.

        The frame that is under way is sent before it returns: a packet that left after the count
        was taken would look like one that was lost.
        """
        self._track.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self._sender._RTCRtpSender__rtp_exited.wait()  # type: ignore[attr-defined]  # noqa: SLF001  # no public way to it

    async def close(self) -> None:
        """Close the connection, within a time limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self.connection.close()

    def _note_change(self) -> None:
        if self.ice_completed is None and self._ice.state == "completed":
            self.ice_completed = time.monotonic()
        if self.dtls_connected is None and self._dtls.state == "connected":
            self.dtls_connected = time.monotonic()
        self._changed.set()

    def _tap_reports(self, sender: RTCRtpSender) -> None:
        """Keep the receiver reports, whose highest sequence number the statistics leave out."""
        handle = sender._handle_rtcp_packet  # noqa: SLF001  # where the transport delivers them

        async def keep(packet: AnyRtcpPacket) -> None:
            if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
                for report in packet.reports:
                    if report.ssrc == sender._ssrc:  # noqa: SLF001  # see report_is_final
                        self.receiver_report = report
                        self._changed.set()
            await handle(packet)

        sender._handle_rtcp_packet = keep  # type: ignore[method-assign]  # noqa: SLF001  # see above


def _tap(ice: RTCIceTransport, sent: RtpCounter, received: RtpCounter) -> None:
    """Count packets where the DTLS transport hands them over."""
    receive, send = ice._recv, ice._send  # noqa: SLF001  # the seam that DTLS itself uses

    async def counting_receive() -> bytes:
        data = await receive()
        received.add(data, time.monotonic())
        return data

    async def counting_send(data: bytes) -> None:
        await send(data)
        sent.add(data, time.monotonic())

    ice._recv, ice._send = counting_receive, counting_send  # noqa: SLF001  # see above


def _allow_loopback(ice: RTCIceTransport) -> None:
    """Let a host without any network reach itself: aioice by itself never uses loopback."""
    connection = ice._connection  # noqa: SLF001  # there is no setting for it
    gather = connection.get_component_candidates

    async def gather_with_loopback(component: int, addresses: list[str]) -> list[Candidate]:
        return await gather(component, addresses or ["127.0.0.1"])

    # mypy takes neither a method that is replaced nor one without the optional time-out.
    connection.get_component_candidates = gather_with_loopback  # type: ignore[method-assign, assignment]


def _audio_level(frame: AudioFrame) -> int:
    return audio_level(memoryview(frame.planes[0]), frame.samples * frame.layout.nb_channels)


# aiortc's own takes a step of Python for each sample: most of what a client with audio does.
aiortc.rtp.compute_audio_level_dbov = _audio_level
