"""What is kept at hand of confirmed flows, so that their datagrams need not ask the session table.

The table decides; this is a copy of what it decided for those datagrams of which there are many:
all of a transceiver's, and all of a client's but STUN. What passes is counted as the table does.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from relay.core.flow import Flow


@dataclass(slots=True, eq=False)
class Lane:
    """Both directions of a confirmed flow.

    Attributes:
        flow: The flow.
        vip: The socket of its VIP.
        name: Its client's address, as the kernel has it.
        upstream: The socket connected to its transceiver.
    """

    flow: Flow
    vip: int
    name: bytes
    upstream: int


class Lanes:
    """The lanes of a session table's confirmed flows.

    Args:
        counters: The table's.

    Attributes:
        version: Changes whenever a lane opens or closes.
    """

    def __init__(self, counters: Counter[str]) -> None:
        self.version = 0
        self._counters = counters
        self._of_clients: defaultdict[int, dict[bytes, Lane]] = defaultdict(dict)  # by VIP socket
        self._of_sockets: dict[int, Lane] = {}

    def of_clients(self, vip: int) -> Mapping[bytes, Lane]:
        """The lanes of a VIP's socket by their clients' addresses."""
        return self._of_clients[vip]

    @property
    def of_sockets(self) -> Mapping[int, Lane]:
        """All lanes by their upstream sockets."""
        return self._of_sockets

    def open(self, lane: Lane) -> None:
        """A flow's datagrams need not ask from now on; its client's lane before is replaced."""
        self._of_clients[lane.vip][lane.name] = lane
        self._of_sockets[lane.upstream] = lane
        self.version += 1

    def close(self, upstream: int) -> None:
        """A flow's datagrams ask again, because its socket closes; one without a lane is fine."""
        lane = self._of_sockets.pop(upstream, None)
        if lane is None:
            return
        of_clients = self._of_clients[lane.vip]
        if of_clients.get(lane.name) is lane:
            del of_clients[lane.name]
        self.version += 1

    def passed_inward(self, lanes: Sequence[Lane], sizes: Iterable[int], now: float) -> None:
        """Count datagrams that went to transceivers, at `now` in monotonic seconds."""
        self._counters["received_from_clients"] += len(lanes)
        self._counters["forwarded_to_transceivers"] += len(lanes)
        for lane, size in zip(lanes, sizes, strict=True):
            flow = lane.flow
            flow.packets_to_transceiver += 1
            flow.bytes_to_transceiver += size
            flow.last_from_client = now

    def passed_outward(self, lanes: Sequence[Lane], sizes: Iterable[int], now: float) -> None:
        """Count datagrams that went to clients, at `now` in monotonic seconds."""
        self._counters["received_from_transceivers"] += len(lanes)
        self._counters["forwarded_to_clients"] += len(lanes)
        for lane, size in zip(lanes, sizes, strict=True):
            flow = lane.flow
            flow.packets_to_client += 1
            flow.bytes_to_client += size
            flow.last_from_transceiver = now
