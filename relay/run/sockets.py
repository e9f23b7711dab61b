"""Opens the sockets of an agent, as its configuration and its dataplane want them."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from relay.core.flow import Flow
from relay.core.flowtuple import Source
from relay.dataplane.interface import Dataplane
from relay.forwarding.connections import ClientConnections
from relay.forwarding.ends import Ends
from relay.forwarding.fastpath import FastPath
from relay.forwarding.flowcache import FlowCache
from relay.forwarding.outbox import Outbox
from relay.forwarding.steered import SteeredSocket, SteeredUpstreams
from relay.forwarding.upstreams import PerFlowSockets, Upstreams
from relay.forwarding.vips import VipSockets
from relay.run.config import RelayConfig
from relay.run.filters import Filters
from relay.run.workers.worker import Worker
from relay.wire.transport import Transport


class Receiver(Protocol):
    """Who is told of what the sockets receive: the agent."""

    def from_client(self, data: bytes, source: Source) -> None:
        """A client has sent a datagram."""

    def from_transceiver(self, flow: Flow, data: bytes) -> None:
        """The transceiver of a flow has sent a datagram."""

    def disconnected(self, flow: Flow) -> None:
        """The connection of a flow's client has ended."""


class AgentSockets:
    """The sockets of an agent. They are closed at the end of its stack.

    Args:
        config: The agent's settings.
        worker: What it works on, whose sockets it takes.
        dataplane: Steers upstream ports to one socket, if it can.
        counters: Where the sockets count.
        receiver: Told of what is received.
    """

    def __init__(
        self,
        config: RelayConfig,
        worker: Worker,
        dataplane: Dataplane,
        counters: Counter[str],
        *,
        receiver: Receiver,
    ) -> None:
        self._config = config
        self._worker = worker
        self._dataplane = dataplane
        self._counters = counters
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._filters: Filters | None = None

    def open(self, closing: ExitStack) -> Ends:
        """Bind everything; what comes waits until `Ends.listen`.

        Raises:
            BindError: An address cannot be had.
        """
        fast = FastPath(FlowCache(self._counters), self._counters)
        closing.callback(fast.close)
        vips = VipSockets(self._loop, self._counters, fast, self._receiver.from_client)
        closing.callback(vips.shutdown)
        for vip in self._config.vips:
            vips.open(vip, self._worker.sockets.get(vip))
        filters = self._open_filters(closing)
        for udp in vips.sockets:
            filters.attach(udp, to_transceivers=False)
        upstreams = self._open_upstreams(fast, vips, filters, closing)
        connections = ClientConnections(
            self._loop,
            self._counters,
            self._receiver.from_client,
            self._receiver.disconnected,
            limits=self._config.connection_limits,
        )
        closing.callback(connections.shutdown)
        for address in self._config.tcp:
            connections.open(address, self._worker.listeners.get(address))
        return Ends(vips, connections, upstreams)

    def dropped(self) -> dict[str, int]:
        """What the kernel has dropped before these sockets had it, in datagrams by reason."""
        return self._filters.dropped() if self._filters else {}

    def _open_filters(self, closing: ExitStack) -> Filters:
        self._filters = Filters(
            self._config.interfaces,
            {vip.host for vip in self._config.vips},
            self._config.upstreams,
            # The loader says so as well, and the first worker for all.
            told=self._dataplane.steers or self._worker.shard.index > 0,
        )
        closing.callback(self._filters.close)
        return self._filters

    def _open_upstreams(
        self, fast: FastPath, vips: VipSockets, filters: Filters, closing: ExitStack
    ) -> Mapping[Transport, Upstreams]:
        per_flow = PerFlowSockets(
            self._loop,
            fast,
            vips.fileno,
            self._receiver.from_transceiver,
            prepare=partial(filters.attach, to_transceivers=True),
        )
        closing.callback(per_flow.shutdown)
        if not self._dataplane.steers:
            return {Transport.UDP: per_flow, Transport.TCP: per_flow}
        # Their upstream ports are none of those that are steered: the kernel's program, which knows
        # nothing of connections, would let only a small share of their packets through to here.
        steered = self._open_steered(fast.outbox, filters, closing)
        return {Transport.UDP: steered, Transport.TCP: per_flow}

    def _open_steered(self, outbox: Outbox, filters: Filters, closing: ExitStack) -> Upstreams:
        sockets = {}
        for family, hosts in self._config.upstreams_by_family.items():
            steered = SteeredSocket(
                hosts,
                self._config.ports,
                self._loop,
                self._counters,
                outbox=outbox,
                received=self._receiver.from_transceiver,
            )
            closing.callback(steered.shutdown)
            filters.attach(steered.udp, to_transceivers=True)
            self._dataplane.steer(steered.udp)
            sockets[family] = steered
        # With one family, as most have, nobody has to choose.
        return steered if len(sockets) == 1 else SteeredUpstreams(sockets)
