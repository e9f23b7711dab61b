"""Packet capture on an interface of a host, through a packet socket."""

import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from relay.netns.host import Host
from tests.lab.errors import LabError
from tests.lab.frame import Datagram, parse

_ETH_P_ALL = 0x0003  # linux/if_ether.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
# asm-generic/socket.h; the socket module does not name them.
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_MAX_FRAME_BYTES = 65536
_BUFFER_BYTES = 8 << 20
_POLL_SECONDS = 0.1  # between two checks of whether to stop
_TIMESPEC = struct.Struct("=qq")
_ANCILLARY_SIZE = socket.CMSG_SPACE(_TIMESPEC.size)

OnFrame = Callable[[bytes, float, bool], None]


class FrameCapture:
    """Captures every frame that enters or leaves through an interface, while entered.

    Args:
        host: The host.
        interface: Its interface.
        on_frame: Called in a thread with a frame from its Ethernet header on, the time at which
            it was captured in seconds since 1970, and whether it left the host.
    """

    def __init__(self, host: Host, interface: str, on_frame: OnFrame) -> None:
        self._host = host
        self._interface = interface
        self._on_frame = on_frame
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Start."""
        with self._host.inside():
            # Without a protocol, so that it gets nothing before it is bound to one interface.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.settimeout(_POLL_SECONDS)
            self._socket.bind((self._interface, _ETH_P_ALL))
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, _: object, error: object, *__: object) -> None:
        """Stop.

        Raises:
            LabError: The kernel dropped frames, because they came faster than they were read.
        """
        self._stop.set()
        self._thread.join()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._socket.close()
        _, dropped = struct.unpack("=II", statistics)  # struct tpacket_stats
        if dropped and error is None:
            raise LabError(
                f"The capture lost {dropped} frames: the machine is too busy. Try again."
            )

    def _receive(self) -> None:
        while not self._stop.is_set():
            try:
                frame, ancillary, _, address = self._socket.recvmsg(
                    _MAX_FRAME_BYTES, _ANCILLARY_SIZE
                )
            except TimeoutError:
                continue
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            outgoing = address[2] == socket.PACKET_OUTGOING
            self._on_frame(frame, seconds + nanoseconds / 1e9, outgoing)


class DatagramCapture(FrameCapture):
    """Keeps every UDP datagram that enters or leaves through an interface, while entered.

    Args:
        host: The host.
        interface: Its interface.

    Attributes:
        datagrams: What was captured so far, oldest first.
    """

    def __init__(self, host: Host, interface: str) -> None:
        self.datagrams: list[Datagram] = []
        super().__init__(host, interface, self._keep)

    def _keep(self, frame: bytes, _time: float, _outgoing: bool) -> None:
        datagram = parse(frame)
        if datagram is not None:
            self.datagrams.append(datagram)
