"""The upstream addresses of flows: taken, claimed and given back."""

from collections.abc import Iterator, Mapping

from relay.core.flow import Flow
from relay.core.flowtuple import FlowTuple, Source, family_of
from relay.core.ports import QUARANTINE, UpstreamPool
from relay.wire.transport import Transport

UpstreamPools = Mapping[tuple[Transport, int], UpstreamPool]


class UpstreamPorts:
    """The upstream addresses of one relay.

    Args:
        pools: They, by the client's transport and their own family.

    Attributes:
        asleep: How many flows sleep.
    """

    def __init__(self, pools: UpstreamPools) -> None:
        self._pools = pools
        self.asleep = 0

    def serve(self, transport: Transport, family: int) -> bool:
        """Whether there are any for clients of a transport, of an address family."""
        return (transport, family) in self._pools

    def claim(self, flow: Flow) -> bool:
        """Take the very address that a flow has; False when it is taken or none of these."""
        pool = self._pool(flow)
        return pool is not None and pool.claim(flow.addresses.packed_upstream)

    def take(self, source: Source, transceiver: bytes, now: float) -> bytes | None:
        """The address that a client's flow to a transceiver, packed, gets; None: there is none."""
        pool = self._pools.get((source.transport, family_of(transceiver)))
        return pool.take(source.ends + transceiver, now) if pool else None

    def move(self, flow: Flow, now: float) -> bool:
        """Give a flow another address than it has; False when there is none."""
        parts = flow.addresses
        upstream = self.take(Source.of(parts.from_client), parts.packed_transceiver, now)
        if upstream is not None:
            flow.addresses = parts.at(upstream)
        return upstream is not None

    def release(self, flow: Flow, now: float, rest: float = QUARANTINE) -> None:
        """Take a flow's address back, to be free when it has rested for so many seconds."""
        if pool := self._pool(flow):
            pool.release(flow.addresses.packed_upstream, now, rest)

    def resting(self) -> Iterator[tuple[bytes, float]]:
        """The addresses that rest, packed, and until when, in monotonic seconds."""
        return (each for pool in self._pools.values() for each in pool.resting())

    def let_rest(self, upstream: bytes, until: float) -> None:
        """Let a free address, packed, rest until a moment; one that is none of these is fine."""
        for pool in self._pools.values():
            pool.let_rest(upstream, until)

    def put_to_sleep(self, address: bytes, lowest: int, taken: bytes) -> None:
        """Take many addresses of UDP for flows that sleep; those that are none of these pass.

        Args:
            address: The host, as `Endpoint.packed` but for the port.
            lowest: A port.
            taken: For each port from there on, 1 if a flow has it, else 0.
        """
        for (transport, _), pool in self._pools.items():
            if transport is Transport.UDP:
                pool.put_to_sleep(address, lowest, taken)
        self.asleep = sum(pool.asleep for pool in self._pools.values())

    def sleeps(self, flow: FlowTuple) -> bool:
        """Whether a flow that the dataplane has sleeps."""
        pool = self._pools.get((Transport.UDP, flow.upstream_family))
        return pool is not None and pool.sleeps(flow.packed_upstream)

    def wake(self, flow: FlowTuple) -> bool:
        """A flow that the dataplane has sleeps no longer; False if it did not."""
        pool = self._pools.get((Transport.UDP, flow.upstream_family))
        if pool is None or not pool.wake(flow.packed_upstream):
            return False
        self.asleep -= 1
        return True

    def busy(self, now: float) -> float:
        """The share of addresses that are taken or rest, where the fewest are free."""
        return max((pool.busy(now) for pool in self._pools.values()), default=0.0)

    def count(self, now: float) -> tuple[int, int]:
        """How many addresses are taken or rest, and how many there are."""
        most = sum(pool.size for pool in self._pools.values())
        return round(sum(pool.size * pool.busy(now) for pool in self._pools.values())), most

    def _pool(self, flow: Flow) -> UpstreamPool | None:
        parts = flow.addresses
        return self._pools.get((parts.transport, parts.upstream_family))
