"""What the client's host hears of its calls: packets that left, packets that came, and pauses."""

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from relay.lab.errors import LabError
from relay.lab.host import Host

_ETH_P_ALL = 0x0003  # linux/if_ether.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35  # asm-generic/socket.h
_BUFFER_BYTES = 8 << 20
_LARGEST_FRAME = 2048
_LOOK_EVERY = 0.1  # seconds between two looks at whether to stop
_TIMESPEC = struct.Struct("=qq")
_NOTES_SIZE = socket.CMSG_SPACE(_TIMESPEC.size)
_PORTS = struct.Struct("!HH")
_IPV4_WITHOUT_OPTIONS = b"\x08\x00\x45"  # the EtherType, then version and length of the header
_UDP, _RTP = 14 + 20, 14 + 20 + 8  # where these headers begin
_PROTOCOL_UDP = 17
_CHANNEL_DATA, _CHANNEL_HEADER = 0b01, 4  # the first two bits, and bytes (RFC 8656, section 12.4)
_RTCP_TYPES = range(192, 224)  # RFC 5761, section 4


@dataclass(slots=True)
class Heard:
    """A call, in a stretch of time.

    Attributes:
        sent: RTP packets that left.
        returned: RTP packets that came.
        pause: The longest time without one that came, in seconds.
        last: When the last one came, or the stretch began, in seconds.
    """

    last: float
    sent: int = 0
    returned: int = 0
    pause: float = 0.0

    def take(self, now: float, *, outgoing: bool) -> None:
        """Count a packet."""
        if outgoing:
            self.sent += 1
            return
        self.returned += 1
        self.rest(now)

    def rest(self, now: float) -> None:
        """Notice that it has been silent until now."""
        self.pause = max(self.pause, now - self.last)
        self.last = now


@dataclass(slots=True)
class Ear:
    """All calls of a host, told apart by the client's port. Pure.

    Attributes:
        begun: When it began to listen, in seconds.
        calls: What it has heard, by port.
    """

    begun: float
    calls: dict[int, Heard] = field(default_factory=dict)

    def take(self, frame: bytes, now: float, *, outgoing: bool) -> None:
        """Take a frame; what is no RTP over UDP over IPv4, maybe in a channel, is left out.

        Args:
            frame: The frame, from its Ethernet header on.
            now: When it passed, in seconds.
            outgoing: Whether it left the host.
        """
        if len(frame) <= _RTP + _CHANNEL_HEADER + 1 or frame[12:15] != _IPV4_WITHOUT_OPTIONS:
            return
        rtp = _RTP + (_CHANNEL_HEADER if frame[_RTP] >> 6 == _CHANNEL_DATA else 0)
        if frame[23] != _PROTOCOL_UDP or frame[rtp] >> 6 != 2 or frame[rtp + 1] in _RTCP_TYPES:
            return
        source, destination = _PORTS.unpack_from(frame, _UDP)
        port = source if outgoing else destination
        call = self.calls.get(port)
        if call is None:
            call = self.calls[port] = Heard(self.begun)
        call.take(now, outgoing=outgoing)

    def stop(self, now: float) -> None:
        """End the stretch of time."""
        for call in self.calls.values():
            call.rest(now)


class Listening:
    """Listens at an interface, from entering to leaving.

    Args:
        host: The host.
        interface: Its interface.

    Attributes:
        ear: What was heard; complete once it has ended.
    """

    def __init__(self, host: Host, interface: str) -> None:
        self._host = host
        self._interface = interface
        self._stop = threading.Event()
        self.ear: Ear

    def __enter__(self) -> Self:
        """Begin to listen."""
        with self._host.inside():
            # Without a protocol, so that it hears nothing before it is bound to one interface.
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            tap.settimeout(_LOOK_EVERY)
            self.ear = Ear(time.time())
            tap.bind((self._interface, _ETH_P_ALL))
        self._tap = tap
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more.

        Raises:
            LabError: Packets came faster than they could be counted.
        """
        self._stop.set()
        self._thread.join()
        self.ear.stop(time.time())
        statistics = self._tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._tap.close()
        _, dropped = struct.unpack("=II", statistics)  # struct tpacket_stats
        if dropped and error is None:
            raise LabError(f"{dropped} packets came too fast to be counted.")

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                frame, notes, _, address = self._tap.recvmsg(_LARGEST_FRAME, _NOTES_SIZE)
            except TimeoutError:
                continue
            seconds, nanoseconds = _TIMESPEC.unpack(notes[0][2])
            now = seconds + nanoseconds / 1e9
            self.ear.take(frame, now, outgoing=address[2] == socket.PACKET_OUTGOING)
