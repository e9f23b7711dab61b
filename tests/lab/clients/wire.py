"""What clients send and get on the wire, told apart by the user names in their checks."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from relay.netns.host import Host
from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from relay.wire.errors import StunError
from relay.wire.stun import Attribute, Message, MessageClass
from tests.lab.capture import FrameCapture
from tests.lab.config import VIP
from tests.lab.frame import Datagram, parse


class _Names(NamedTuple):
    """The two parts of a check's USERNAME."""

    server: str
    client: str


class Wire(FrameCapture):
    """Watches an interface while entered. All times are seconds since 1970.

    Args:
        host: The clients' host, or another on their way.
        interface: Its interface.
        server: Where the clients send to.
    """

    def __init__(self, host: Host, interface: str, server: Endpoint = VIP) -> None:
        self._server = server
        self._checks: dict[Endpoint, dict[_Names, float]] = defaultdict(dict)
        self._asked: dict[bytes, _Names] = {}
        self._answered: dict[tuple[Endpoint, _Names], float] = {}
        self._heard: dict[Endpoint, list[float]] = defaultdict(list)
        self._spoken: dict[Endpoint, list[float]] = defaultdict(list)
        super().__init__(host, interface, self._keep)

    def asking(self, ufrags: Iterable[str], since: float = 0.0) -> set[Endpoint]:
        """The transport addresses that sent checks with these user names of the server's."""
        wanted = set(ufrags)
        return {
            address
            for address, names in self._checks.copy().items()
            if any(each.server in wanted and at >= since for each, at in names.copy().items())
        }

    def answered(self, ufrags: Iterable[str]) -> set[Endpoint]:
        """Those whose checks were answered."""
        wanted = set(ufrags)
        return {address for address, names in self._answered.copy() if names.server in wanted}

    def first_answer(self, *, server: Iterable[str], client: Iterable[str]) -> float | None:
        """When the first check with user names of these was answered."""
        servers, clients = set(server), set(client)
        times = [
            at
            for (_, names), at in self._answered.copy().items()
            if names.server in servers and names.client in clients
        ]
        return min(times, default=None)

    def arrivals(self, ufrags: Sequence[str]) -> list[float]:
        """When RTP packets came to the client that checks with these user names, in order."""
        return sorted(at for address in self.asking(ufrags) for at in tuple(self._heard[address]))

    def departures(self, ufrags: Sequence[str]) -> list[float]:
        """When it sent RTP packets, in order."""
        return sorted(at for address in self.asking(ufrags) for at in tuple(self._spoken[address]))

    def _keep(self, frame: bytes, at: float, _outgoing: bool) -> None:
        datagram = parse(frame)
        if datagram is None or self._server not in (datagram.source, datagram.destination):
            return
        if datagram.rtp is not None:
            if datagram.source == self._server:
                self._heard[datagram.destination].append(at)
            else:
                self._spoken[datagram.source].append(at)
        elif classify(datagram.payload) is Kind.STUN:
            self._keep_check(datagram, at)

    def _keep_check(self, datagram: Datagram, at: float) -> None:
        try:
            message = Message.parse(datagram.payload)
        except StunError:
            return
        username = message.get(Attribute.USERNAME)
        if message.message_class is MessageClass.REQUEST and username is not None:
            server, _, client = username.decode("ascii", "replace").partition(":")
            names = _Names(server, client)
            self._checks[datagram.source][names] = at
            self._asked[message.transaction_id] = names
        elif message.message_class is MessageClass.SUCCESS:
            names = self._asked.get(message.transaction_id, _Names("", ""))
            self._answered.setdefault((datagram.destination, names), at)


def longest_silence(arrivals: Sequence[float], since: float, until: float) -> float:
    """The longest time without a packet, in seconds, of which some lies in an interval.

    A silence counts from the last packet before the interval; one that lasts is cut at its end.
    """
    if not arrivals:
        return until - since
    start = max(0, bisect_left(arrivals, since) - 1)
    inside = [at for at in arrivals[start:] if at <= until]
    marks = [*(inside or [since]), until]
    return max(later - earlier for earlier, later in pairwise(marks))
