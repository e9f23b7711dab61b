"""Upstream addresses: one for each flow, chosen so that a rebuilt flow gets the one it had."""

import heapq
from collections.abc import Iterator, Sequence

from relay.wire import siphash
from relay.wire.endpoint import Endpoint

# RFC 6056 leaves the choice open; NAT practice keeps a freed port out of use for as long as a
# packet of its old flow may still come: the shortest idle time that RFC 4787 REQ-5 allows.
QUARANTINE = 120.0  # seconds
# Of a flow that no transceiver has answered, nothing can come but a late answer to a check.
SHORT_REST = 5.0  # seconds

# A port is taken, too, by a flow that sleeps: that the agent has not met since it started.
_FREE, _TAKEN, _RESTING, _ASLEEP = range(4)
_IN_USE = _TAKEN, _ASLEEP
_LAID = bytes((_FREE, _ASLEEP))  # what becomes of a port that has no flow, and of one that has


class PortPool:
    """The upstream ports of one address.

    A flow wants a port that is derived from a keyed hash of it (RFC 4787 REQ-11: deterministic),
    and gets the next free one. A released port rests in quarantine: reused too early, a late packet
    of the old flow would reach the new one.

    Args:
        ports: The range to choose from.

    Attributes:
        asleep: How many ports are taken by flows that sleep.
    """

    def __init__(self, ports: range) -> None:
        self.ports = ports
        # A byte for each port of the range: it takes little memory, and is searched at once.
        self._states = bytearray(len(ports))
        self._count = 0
        self.asleep = 0
        self._until: dict[int, float] = {}  # of those that rest, by index
        self._waking: list[tuple[float, int]] = []  # a heap of the same, and of former ones

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
        if port not in self.ports or self._states[self.ports.index(port)] in _IN_USE:
            return False
        index = self.ports.index(port)
        self._until.pop(index, None)
        self._take(index)
        return True

    def put_to_sleep(self, lowest: int, taken: bytes) -> None:
        """Take many ports, of a pool that is all free, for flows that sleep.

        Args:
            lowest: A port.
            taken: For each port from there on, 1 if a flow has it, else 0. Those out of range are
                passed over.
        """
        start, end = max(lowest, self.ports[0]), min(lowest + len(taken) - 1, self.ports[-1]) + 1
        if start >= end:
            return
        laid = taken[start - lowest : end - lowest].translate(_LAID.ljust(256, b"\0"))
        first = self.ports.index(start)
        self._states[first : first + len(laid)] = laid
        self.asleep = self._states.count(_ASLEEP)
        self._count += laid.count(_ASLEEP)

    def sleeps(self, port: int) -> bool:
        """Whether the flow that has a port sleeps."""
        return port in self.ports and self._states[self.ports.index(port)] == _ASLEEP

    def wake(self, port: int) -> bool:
        """The flow that has a port sleeps no longer; False if it did not."""
        if not self.sleeps(port):
            return False
        self._states[self.ports.index(port)] = _TAKEN
        self.asleep -= 1
        return True

    def release(self, port: int, now: float, rest: float = QUARANTINE) -> None:
        """Give a port back, to be free when it has rested for so many seconds."""
        index = self.ports.index(port)
        if self._states[index] != _TAKEN:
            return
        self._count -= 1
        self._states[index] = _FREE
        if rest:
            self.let_rest(port, now + rest)

    def resting(self) -> Iterator[tuple[int, float]]:
        """The ports that rest, and until when, in monotonic seconds."""
        return ((self.ports[index], until) for index, until in self._until.items())

    def let_rest(self, port: int, until: float) -> None:
        """Let a free port rest until a moment; one that is not free, or out of range, is fine."""
        if port not in self.ports or self._states[self.ports.index(port)] != _FREE:
            return
        index = self.ports.index(port)
        self._states[index] = _RESTING
        self._until[index] = until
        heapq.heappush(self._waking, (until, index))

    def busy(self, now: float) -> float:
        """The share of ports that are taken or rest."""
        self._wake(now)
        return (self._count + len(self._until)) / len(self.ports)

    def _take(self, index: int) -> None:
        self._states[index] = _TAKEN
        self._count += 1

    def _wake(self, now: float) -> None:
        while self._waking and self._waking[0][0] <= now:
            until, index = heapq.heappop(self._waking)
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
    """

    def __init__(self, hosts: Sequence[str], ports: range, key: bytes) -> None:
        # By address, packed but for the port.
        self._pools = {Endpoint(host, 0).packed[:-2]: PortPool(ports) for host in hosts}
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

    def release(self, upstream: bytes, now: float, rest: float = QUARANTINE) -> None:
        """Give an address back, to be free when it has rested for so many seconds."""
        self._pools[upstream[:-2]].release(_port(upstream), now, rest)

    def resting(self) -> Iterator[tuple[bytes, float]]:
        """The addresses that rest, as `Endpoint.packed`, and until when, in monotonic seconds."""
        for host, pool in self._pools.items():
            for port, until in pool.resting():
                yield host + port.to_bytes(2, "big"), until

    def let_rest(self, upstream: bytes, until: float) -> None:
        """Let a free address rest until a moment; one that is none of these is fine."""
        if (pool := self._pools.get(upstream[:-2])) is not None:
            pool.let_rest(_port(upstream), until)

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return sum(len(pool.ports) for pool in self._pools.values())

    def put_to_sleep(self, address: bytes, lowest: int, taken: bytes) -> None:
        """Take many ports of a host for flows that sleep; another's are passed over.

        Args:
            address: The host, as `Endpoint.packed` but for the port.
            lowest: A port.
            taken: For each port from there on, 1 if a flow has it, else 0.
        """
        if (pool := self._pools.get(address)) is not None:
            pool.put_to_sleep(lowest, taken)

    @property
    def asleep(self) -> int:
        """How many addresses are taken by flows that sleep."""
        return sum(pool.asleep for pool in self._pools.values())

    def sleeps(self, upstream: bytes) -> bool:
        """Whether the flow that has an address sleeps."""
        pool = self._pools.get(upstream[:-2])
        return pool is not None and pool.sleeps(_port(upstream))

    def wake(self, upstream: bytes) -> bool:
        """The flow that has an address sleeps no longer; False if it did not."""
        pool = self._pools.get(upstream[:-2])
        return pool is not None and pool.wake(_port(upstream))

    def busy(self, now: float) -> float:
        """The share of addresses that are taken or rest."""
        return sum(pool.busy(now) for pool in self._pools.values()) / len(self._pools)


def _port(packed: bytes) -> int:
    return int.from_bytes(packed[-2:], "big")
