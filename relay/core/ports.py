"""Upstream addresses: one for each flow, chosen so that a rebuilt flow gets the one it had."""

from collections import deque
from collections.abc import Sequence

from relay.wire import siphash
from relay.wire.endpoint import Endpoint

# RFC 6056 leaves the choice open; NAT practice keeps a freed port out of use for as long as a
# packet of its old flow may still come: the shortest idle time that RFC 4787 REQ-5 allows.
QUARANTINE = 120.0  # seconds

_FREE, _TAKEN, _RESTING = range(3)


class PortPool:
    """The upstream ports of one address.

    A flow wants a port that is derived from a keyed hash of it (RFC 4787 REQ-11: deterministic),
    and gets the next free one. A released port rests in quarantine: reused too early, a late packet
    of the old flow would reach the new one.

    Args:
        ports: The range to choose from.
        quarantine: For how long a released port rests, in seconds.
    """

    def __init__(self, ports: range, quarantine: float = QUARANTINE) -> None:
        self.ports = ports
        self._quarantine = quarantine
        # A byte for each port of the range: it takes little memory, and is searched at once.
        self._states = bytearray(len(ports))
        self._count = 0
        self._until: dict[int, float] = {}  # of those that rest, by index
        self._waking: deque[tuple[float, int]] = deque()  # the same, soonest first, and former ones

    def __len__(self) -> int:
        """How many ports are taken."""
        return self._count

    def take(self, wanted: int, now: float) -> int | None:
        """Take the port with this number, modulo the size of the range, or the next free one.

        None when there is none.
        """
        self._wake(now)
        start = wanted % len(self.ports)
        index = self._states.find(_FREE, start)
        if index < 0:
            index = self._states.find(_FREE, 0, start)
        if index < 0:
            return None
        self._take(index)
        return self.ports[index]

    def claim(self, port: int) -> bool:
        """Take this very port, resting or not; False when it is taken or out of range."""
        if port not in self.ports or self._states[self.ports.index(port)] == _TAKEN:
            return False
        index = self.ports.index(port)
        self._until.pop(index, None)
        self._take(index)
        return True

    def release(self, port: int, now: float) -> None:
        """Give a port back, into quarantine."""
        index = self.ports.index(port)
        if self._states[index] == _TAKEN:
            self._states[index] = _RESTING
            self._count -= 1
            self._until[index] = until = now + self._quarantine
            self._waking.append((until, index))

    def _take(self, index: int) -> None:
        self._states[index] = _TAKEN
        self._count += 1

    def _wake(self, now: float) -> None:
        # All rest equally long, so they wake in the order in which they came.
        while self._waking and self._waking[0][0] <= now:
            until, index = self._waking.popleft()
            if self._until.get(index) == until:  # or it was claimed meanwhile
                del self._until[index]
                self._states[index] = _FREE


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
        # By address, packed but for the port.
        self._pools = {Endpoint(host, 0).packed[:-2]: PortPool(ports, quarantine) for host in hosts}
        self._hosts = tuple(self._pools)
        self._key = key

    def take(self, flow: bytes, now: float) -> bytes | None:
        """Take the address of a flow, or the next free one; None when there is none.

        Args:
            flow: What tells it from all others: client, VIP and transceiver.
            now: Monotonic seconds.

        Returns:
            As `Endpoint.packed`.
        """
        # The host by one part of the number, and the port by the other: they are independent.
        port, start = divmod(siphash.tag_number(self._key, flow), len(self._hosts))
        for step in range(len(self._hosts)):
            host = self._hosts[(start + step) % len(self._hosts)]
            taken = self._pools[host].take(port, now)
            if taken is not None:
                return host + taken.to_bytes(2, "big")
        return None

    def claim(self, upstream: bytes) -> bool:
        """Take this very address, resting or not; False when it is taken or none of these."""
        pool = self._pools.get(upstream[:-2])
        return pool is not None and pool.claim(_port(upstream))

    def release(self, upstream: bytes, now: float) -> None:
        """Give an address back, into quarantine."""
        self._pools[upstream[:-2]].release(_port(upstream), now)


def _port(packed: bytes) -> int:
    return int.from_bytes(packed[-2:], "big")
