"""The program of a line: ``python -m tests.lab.line.forwarder SOCKET NEAR:FAR [NEAR:FAR ...]``.

It passes frames between pairs of interfaces of its namespace. Settings come as JSON datagrams to
a Unix socket; each is answered with ``ok`` once it holds.
"""

import json
import selectors
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.lab.line.impairment import Impairment, Settings

_ETH_P_ALL = 0x0003  # linux/if_ether.h
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23  # linux/socket.h, linux/if_packet.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_BUFFER_BYTES = 8 << 20
_MAX_FRAME_BYTES = 65536
_BATCH = 64  # frames of one interface, before the others have their turn


def _interface(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    made.setblocking(False)
    made.bind((name, _ETH_P_ALL))
    return made


class Forwarder:
    """Runs a line until it is killed.

    Args:
        control: Where settings come in.
        pairs: The interfaces; that towards the client comes first.
    """

    def __init__(self, control: Path, pairs: list[tuple[str, str]]) -> None:
        self._impairment = Impairment(Settings())
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        control.unlink(missing_ok=True)
        self._control.bind(str(control))
        # What comes in at number n goes out at its neighbour, n ^ 1; even ones face the client.
        self._interfaces = [_interface(name) for pair in pairs for name in pair]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._control, selectors.EVENT_READ, None)
        for number, each in enumerate(self._interfaces):
            self._selector.register(each, selectors.EVENT_READ, number)

    def run(self) -> None:
        """Forward for ever."""
        while True:
            ready = self._selector.select(self._impairment.wait(time.monotonic()))
            for key, _ in ready:
                if key.data is None:
                    self._set()
                else:
                    self._take(key.data)
            for way, frame in self._impairment.leaving(time.monotonic()):
                with suppress(OSError):  # a full queue or a link that is down loses frames
                    self._interfaces[way ^ 1].send(frame)

    def _take(self, number: int) -> None:
        with suppress(BlockingIOError):
            for _ in range(_BATCH):
                frame = self._interfaces[number].recv(_MAX_FRAME_BYTES)
                self._impairment.enter(frame, number, time.monotonic())

    def _set(self) -> None:
        text, sender = self._control.recvfrom(_MAX_FRAME_BYTES)
        self._impairment.change(Settings(**json.loads(text)))
        self._control.sendto(b"ok", sender)


def main() -> None:
    """Run it; prints ``ready`` once frames pass."""
    control, *pairs = sys.argv[1:]
    split = [pair.split(":") for pair in pairs]
    forwarder = Forwarder(Path(control), [(near, far) for near, far in split])
    print("ready", flush=True)  # noqa: T201  # what whoever starts it waits for
    forwarder.run()


if __name__ == "__main__":
    main()
