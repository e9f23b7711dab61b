"""Upstream addresses: one for each flow, chosen so that a rebuilt flow gets the one it had."""

from collections.abc import Sequence

from relay.wire import siphash
from relay.wire.endpoint import Endpoint

# RFC 6056 leaves the choice open; NAT practice keeps a freed port out of use for as long as a
# packet of its old flow may still come: the shortest idle time that RFC 4787 REQ-5 allows.
QUARANTINE = 120.0  # seconds


class PortPool:
    """The upstream ports of one address.

    A port is derived from a keyed hash of the flow (RFC 4787 REQ-11: deterministic), probing
    upwards when it is taken. A released port rests in quarantine: reused too early, a late packet
    of the old flow would reach the new one.

    Args:
        ports: The range to choose from.
        key: 16 bytes; it keeps clients from choosing ports that collide.
        quarantine: For how long a released port rests, in seconds.
    """

    def __init__(self, ports: range, key: bytes, quarantine: float = QUARANTINE) -> None:
        self.ports = ports
        self._key = key
        self._quarantine = quarantine
        # A byte for each port of the range: a set of numbers would take fifty times as much.
        self._is_taken = bytearray(len(ports))
        self._count = 0
        self._resting: dict[int, float] = {}  # port -> when it is free again, soonest first

    def __len__(self) -> int:
        """How many ports are taken."""
        return self._count

    def take(
        self, client: Endpoint, vip: Endpoint, transceiver: Endpoint, now: float
    ) -> int | None:
        """Take the port of a flow, or the next free one; None when there is none."""
        self._wake(now)
        size = len(self.ports)
        if self._count + len(self._resting) >= size:
            return None
        flow = client.packed + vip.packed + transceiver.packed
        start = siphash.tag_number(self._key, flow) % size
        for step in range(size):
            index = (start + step) % size
            if not self._is_taken[index] and self.ports[index] not in self._resting:
                self._take(index)
                return self.ports[index]
        return None

    def claim(self, port: int) -> bool:
        """Take this very port, resting or not; False when it is taken or out of range."""
        if port not in self.ports or self._is_taken[self.ports.index(port)]:
            return False
        self._resting.pop(port, None)
        self._take(self.ports.index(port))
        return True

    def release(self, port: int, now: float) -> None:
        """Give a port back, into quarantine."""
        index = self.ports.index(port)
        if self._is_taken[index]:
            self._is_taken[index] = 0
            self._count -= 1
            self._resting[port] = now + self._quarantine

    def _take(self, index: int) -> None:
        self._is_taken[index] = 1
        self._count += 1

    def _wake(self, now: float) -> None:
        # All rest equally long, so they wake in the order in which they came.
        while self._resting:
            port, until = next(iter(self._resting.items()))
            if until > now:
                return
            del self._resting[port]


class UpstreamPool:
    """The upstream addresses of one family: some hosts, each with the same range of ports.

    One host has room for as many flows as there are ports, fewer than 65,536; more flows need
    more hosts.

    Args:
        hosts: The relay's internal addresses.
        ports: The range to choose from at each.
        key: 16 bytes; it keeps clients from choosing addresses that collide.
        quarantine: For how long a released port rests, in seconds.
    """

    def __init__(
        self, hosts: Sequence[str], ports: range, key: bytes, quarantine: float = QUARANTINE
    ) -> None:
        self._hosts = tuple(hosts)
        self._pools = {host: PortPool(ports, key, quarantine) for host in hosts}
        self._key = key

    def take(
        self, client: Endpoint, vip: Endpoint, transceiver: Endpoint, now: float
    ) -> Endpoint | None:
        """Take the address of a flow, or the next free one; None when there is none."""
        # Another hash than that of the port: the two must not depend on each other.
        start = siphash.tag_number(self._key, b"host" + client.packed + vip.packed)
        for step in range(len(self._hosts)):
            host = self._hosts[(start + step) % len(self._hosts)]
            port = self._pools[host].take(client, vip, transceiver, now)
            if port is not None:
                return Endpoint(host, port)
        return None

    def claim(self, upstream: Endpoint) -> bool:
        """Take this very address, resting or not; False when it is taken or none of these."""
        pool = self._pools.get(upstream.host)
        return pool is not None and pool.claim(upstream.port)

    def release(self, upstream: Endpoint, now: float) -> None:
        """Give an address back, into quarantine."""
        self._pools[upstream.host].release(upstream.port, now)
