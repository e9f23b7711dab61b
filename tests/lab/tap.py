"""What passes an interface of a host, without extra tools."""

import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from relay.netns.host import Host
from tests.lab.errors import LabError

_ETH_P_ALL = 0x0003  # linux/if_ether.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
# asm-generic/socket.h; the socket module does not name them.
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_LARGEST_FRAME = 65536
_BUFFER_BYTES = 8 << 20
_LOOK_EVERY = 0.1  # seconds between two looks at whether to stop
_TIMESPEC = struct.Struct("=qq")
_NOTES_SIZE = socket.CMSG_SPACE(_TIMESPEC.size)

Take = Callable[[bytes, float, bool], None]


class Tap:
    """Hands over every frame that enters or leaves through an interface, from entering to leaving.

    Args:
        host: The host.
        interface: Its interface.
        take: Called in a thread with a frame from its Ethernet header on, the time at which it
            passed in seconds since 1970, and whether it left the host.
    """

    def __init__(self, host: Host, interface: str, take: Take) -> None:
        self._host = host
        self._interface = interface
        self._take = take
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Begin."""
        with self._host.inside():
            # Without a protocol, so that it hears nothing before it is bound to one interface.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            self._socket.settimeout(_LOOK_EVERY)
            self._socket.bind((self._interface, _ETH_P_ALL))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End.

        Raises:
            LabError: Frames came faster than they could be taken.
        """
        self._stop.set()
        self._thread.join()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._socket.close()
        _, missed = struct.unpack("=II", statistics)  # struct tpacket_stats
        if missed and error is None:
            raise LabError(f"{missed} frames came too fast to be taken; the machine is too busy.")

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                frame, notes, _, address = self._socket.recvmsg(_LARGEST_FRAME, _NOTES_SIZE)
            except TimeoutError:
                continue
            seconds, nanoseconds = _TIMESPEC.unpack(notes[0][2])
            outgoing = address[2] == socket.PACKET_OUTGOING
            self._take(frame, seconds + nanoseconds / 1e9, outgoing)
