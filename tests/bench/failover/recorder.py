"""Every packet of media as it leaves and arrives, with the kernel's time."""

import struct
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Self

from relay.netns.host import Host
from tests.lab.capture import FrameCapture
from tests.lab.fleet.network import ACCESS, CLIENT, RELAYS, TRANSCEIVER

# Without options: EtherType, protocol, ports, and what SRTP leaves readable of RTP.
_HEADERS = struct.Struct("!12xH9xB10xHH4xBBH4xI")
_IPV4, _UDP = 0x0800, 17
_RTCP = range(192, 224)  # RFC 5761, section 4


class Arrival(NamedTuple):
    """A packet that has arrived.

    Attributes:
        at: When, in seconds since 1970.
        number: Its sequence number.
        relay: The name of the relay that it came through; "" at the client.
    """

    at: float
    number: int
    relay: str


class Seen(NamedTuple):
    """A packet of RTP on a wire; see `Arrival`."""

    source_port: int
    destination_port: int
    number: int
    ssrc: int


def read(frame: bytes) -> Seen | None:
    """The packet of RTP in a frame of IPv4 without options; None for anything else."""
    if len(frame) < _HEADERS.size:
        return None
    kind, protocol, source, destination, first, second, number, ssrc = _HEADERS.unpack_from(frame)
    if kind != _IPV4 or protocol != _UDP or first >> 6 != 2 or second in _RTCP:
        return None
    return Seen(source, destination, number, ssrc)


@dataclass(slots=True)
class Flow:
    """The packets of one client.

    Attributes:
        to_transceiver: Those that have arrived there.
        to_client: Those that have arrived at it.
    """

    to_transceiver: list[Arrival] = field(default_factory=list)
    to_client: list[Arrival] = field(default_factory=list)


class Recorder:
    """Records, while entered.

    Args:
        hosts: The hosts of the network.
    """

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._ssrc: dict[int, int] = {}  # by the client's port
        self._at_transceiver: defaultdict[int, list[Arrival]] = defaultdict(list)  # by SSRC
        self._at_client: defaultdict[int, list[Arrival]] = defaultdict(list)  # by port
        client, transceiver = hosts[CLIENT], hosts[TRANSCEIVER]
        self._captures = [
            FrameCapture(client, ACCESS, self._client),
            *(
                FrameCapture(transceiver, relay.inside, partial(self._transceiver, relay.name))
                for relay in RELAYS
            ),
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start."""
        with ExitStack() as stack:
            for capture in self._captures:
                stack.enter_context(capture)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop.

        Raises:
            LabError: The machine was too busy to record all packets.
        """
        self._stack.close()

    def silent(self, since: float) -> bool:
        """Whether some flow has not been heard since then, in either direction."""
        lists = [
            (self._at_transceiver.get(ssrc), self._at_client.get(port))
            for port, ssrc in list(self._ssrc.items())
        ]
        return any(not (way and way[-1].at >= since) for both in lists for way in both)

    def take(self) -> dict[int, Flow]:
        """What has arrived since it was last asked, by the client's port."""
        at_transceiver, self._at_transceiver = self._at_transceiver, defaultdict(list)
        at_client, self._at_client = self._at_client, defaultdict(list)
        return {
            port: Flow(at_transceiver.get(ssrc, []), at_client.get(port, []))
            for port, ssrc in list(self._ssrc.items())
        }

    def _client(self, frame: bytes, at: float, outgoing: bool) -> None:
        seen = read(frame)
        if seen is None:
            return
        if outgoing:
            self._ssrc[seen.source_port] = seen.ssrc
        else:
            self._at_client[seen.destination_port].append(Arrival(at, seen.number, ""))

    def _transceiver(self, relay: str, frame: bytes, at: float, outgoing: bool) -> None:
        if not outgoing and (seen := read(frame)) is not None:
            self._at_transceiver[seen.ssrc].append(Arrival(at, seen.number, relay))
