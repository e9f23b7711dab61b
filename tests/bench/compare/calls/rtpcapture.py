"""RTP statistics of calls, by a packet capture in the client's host: sent, received, pauses."""

import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from relay.netns.host import Host
from tests.lab.capture import FrameCapture

_PORTS = struct.Struct("!HH")
_IPV4_WITHOUT_OPTIONS = b"\x08\x00\x45"  # the EtherType, then version and length of the header
_UDP, _RTP = 14 + 20, 14 + 20 + 8  # where these headers begin
_PROTOCOL_UDP = 17
_CHANNEL_DATA, _CHANNEL_HEADER = 0b01, 4  # the first two bits, and bytes (RFC 8656, section 12.4)
_RTCP_TYPES = range(192, 224)  # RFC 5761, section 4


@dataclass(slots=True)
class RtpStats:
    """RTP of a call, in a stretch of time.

    Attributes:
        sent: RTP packets that left.
        received: RTP packets that came.
        pause: The longest time without one that came, in seconds.
        last: When the last one came, or the stretch began, in seconds.
    """

    last: float
    sent: int = 0
    received: int = 0
    pause: float = 0.0

    def add(self, now: float, *, outgoing: bool) -> None:
        """Count a packet."""
        if outgoing:
            self.sent += 1
            return
        self.received += 1
        self.add_pause(now)

    def add_pause(self, now: float) -> None:
        """Notice that it has been silent until now."""
        self.pause = max(self.pause, now - self.last)
        self.last = now


@dataclass(slots=True)
class RtpCapture:
    """All calls of a host, told apart by the client's port. Pure.

    Attributes:
        begun: When it began, in seconds.
        calls: The calls of which there were packets, by port.
    """

    begun: float
    calls: dict[int, RtpStats] = field(default_factory=dict)

    def take(self, frame: bytes, now: float, outgoing: bool) -> None:
        """Take a frame; what is no RTP over UDP over IPv4, maybe in a channel, is left out.

        Args:
            frame: The frame, from its Ethernet header on.
            now: When it passed, in seconds.
            outgoing: Whether it left the host.
        """
        if rtp_offset(frame) is None:
            return
        port = source_port(frame) if outgoing else destination_port(frame)
        call = self.calls.get(port)
        if call is None:
            call = self.calls[port] = RtpStats(self.begun)
        call.add(now, outgoing=outgoing)

    def stop(self, now: float) -> None:
        """End the stretch of time."""
        for call in self.calls.values():
            call.add_pause(now)


def rtp_offset(frame: bytes) -> int | None:
    """Where RTP begins in a frame; None if there is none over UDP over IPv4, maybe in a channel."""
    if len(frame) <= _RTP + _CHANNEL_HEADER + 1 or frame[12:15] != _IPV4_WITHOUT_OPTIONS:
        return None
    rtp = _RTP + (_CHANNEL_HEADER if frame[_RTP] >> 6 == _CHANNEL_DATA else 0)
    if frame[23] != _PROTOCOL_UDP or frame[rtp] >> 6 != 2 or frame[rtp + 1] in _RTCP_TYPES:
        return None
    return rtp


def source_port(frame: bytes) -> int:
    """The UDP port that a frame with RTP comes from."""
    port: int = _PORTS.unpack_from(frame, _UDP)[0]
    return port


def destination_port(frame: bytes) -> int:
    """The UDP port that a frame with RTP goes to."""
    port: int = _PORTS.unpack_from(frame, _UDP)[1]
    return port


@contextmanager
def captured(host: Host, interface: str) -> Iterator[RtpCapture]:
    """Capture at an interface of a host; the statistics are complete at the end.

    Raises:
        LabError: Packets came faster than they could be counted.
    """
    capture = RtpCapture(time.time())
    with FrameCapture(host, interface, capture.take):
        yield capture
    capture.stop(time.time())
