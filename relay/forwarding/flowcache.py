"""A cache of confirmed flows, so that their datagrams need not ask the session table.

The table decides; this is a copy of what it decided for those datagrams of which there are many:
a client's DTLS and RTP, and all of a transceiver's but what no protocol begins with. They are
counted as the table does.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.core.flow import Flow


@dataclass(slots=True, eq=False)
class CachedFlow:
    """Both directions of a confirmed flow.

    Attributes:
        flow: The flow.
        vip_fd: The socket of its VIP.
        client: Its client's address, as `relay.forwarding.mmsg.to_sockaddr` writes it.
        upstream_fd: The socket connected to its transceiver.
    """

    flow: Flow
    vip_fd: int
    client: bytes
    upstream_fd: int


class FlowCache:
    """The cached flows of a session table.

    Args:
        counters: The table's.

    Attributes:
        version: Changes whenever a flow comes or goes.
    """

    def __init__(self, counters: Counter[str]) -> None:
        self.version = 0
        self._counters = counters
        self._by_client: defaultdict[int, dict[bytes, CachedFlow]] = defaultdict(dict)
        self._by_upstream: dict[int, CachedFlow] = {}

    def by_client(self, vip_fd: int) -> Mapping[bytes, CachedFlow]:
        """The flows of a VIP's socket by their clients' addresses."""
        return self._by_client[vip_fd]

    @property
    def by_upstream(self) -> Mapping[int, CachedFlow]:
        """All flows by their upstream sockets."""
        return self._by_upstream

    def add(self, cached: CachedFlow) -> None:
        """Forward a flow's datagrams from now on; its client's flow before is replaced."""
        self._by_client[cached.vip_fd][cached.client] = cached
        self._by_upstream[cached.upstream_fd] = cached
        self.version += 1

    def remove(self, upstream_fd: int) -> None:
        """Forget the flow of a socket that is to be closed; one that is not cached is fine."""
        cached = self._by_upstream.pop(upstream_fd, None)
        if cached is None:
            return
        by_client = self._by_client[cached.vip_fd]
        if by_client.get(cached.client) is cached:
            del by_client[cached.client]
        self.version += 1

    def count_to_transceiver(
        self, flows: Sequence[CachedFlow], sizes: Sequence[int], now: float
    ) -> None:
        """Count datagrams that went to transceivers, at `now` in monotonic seconds."""
        self._counters["received_from_clients"] += len(flows)
        self._counters["forwarded_to_transceivers"] += len(flows)
        self._counters["bytes_to_transceivers"] += sum(sizes)
        for cached, size in zip(flows, sizes, strict=True):
            flow = cached.flow
            flow.packets_to_transceiver += 1
            flow.bytes_to_transceiver += size
            flow.last_from_client = now

    def count_to_client(
        self, flows: Sequence[CachedFlow], sizes: Sequence[int], now: float
    ) -> None:
        """Count datagrams that went to clients, at `now` in monotonic seconds."""
        self._counters["received_from_transceivers"] += len(flows)
        self._counters["forwarded_to_clients"] += len(flows)
        self._counters["bytes_to_clients"] += sum(sizes)
        for cached, size in zip(flows, sizes, strict=True):
            flow = cached.flow
            flow.packets_to_client += 1
            flow.bytes_to_client += size
            flow.last_from_transceiver = now
