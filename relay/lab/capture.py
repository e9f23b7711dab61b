"""Capture of what passes an interface of a lab's host, without extra tools."""

import socket
import struct
import threading
from types import TracebackType
from typing import Self

from relay.lab.errors import LabError
from relay.lab.frame import Datagram, parse
from relay.lab.host import Host

_ETH_P_ALL = 0x0003  # linux/if_ether.h
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
_LARGEST_FRAME = 65536
_BUFFER_BYTES = 8 << 20
_LOOK_EVERY = 0.1  # seconds between two looks at whether to stop


class Capture:
    """Records every UDP datagram that enters or leaves through an interface, while entered.

    Args:
        host: The host to capture in.
        interface: Its interface.
    """

    def __init__(self, host: Host, interface: str) -> None:
        self.datagrams: list[Datagram] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)
        with host.inside():
            # Without a protocol, so that it hears nothing before it is bound to one interface.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._socket.bind((interface, _ETH_P_ALL))
        self._socket.settimeout(_LOOK_EVERY)

    def __enter__(self) -> Self:
        """Start recording."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop recording.

        Raises:
            LabError: Frames came faster than they could be recorded.
        """
        self._stop.set()
        self._thread.join()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._socket.close()
        _, dropped = struct.unpack("=II", statistics)  # struct tpacket_stats
        if dropped and error is None:
            raise LabError(f"The capture missed {dropped} frames; the machine is too busy.")

    def _record(self) -> None:
        while not self._stop.is_set():
            try:
                frame = self._socket.recv(_LARGEST_FRAME)
            except TimeoutError:
                continue
            datagram = parse(frame)
            if datagram is not None:
                self.datagrams.append(datagram)
