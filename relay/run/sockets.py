"""Opens the sockets of an agent, as its configuration and its dataplane want them."""

import asyncio
import logging
import os
import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from relay.core.flow import Flow
from relay.dataplane.interface import Dataplane
from relay.dataplane.kernel.socketfilter import FilterPrograms
from relay.errors import BindError
from relay.forwarding.connections import ClientConnections
from relay.forwarding.ends import Ends
from relay.forwarding.fastpath import FastPath
from relay.forwarding.flowcache import FlowCache
from relay.forwarding.outbox import Outbox
from relay.forwarding.steered import SteeredSocket, SteeredUpstreams, open_udp_socket
from relay.forwarding.unsteered import UnsteeredUpstreams
from relay.forwarding.upstreams import PerFlowSockets, Upstreams
from relay.forwarding.vips import VipSockets
from relay.run.config import RelayConfig
from relay.run.filters import Filters
from relay.run.receiver import Receiver
from relay.run.takeover.handed import HandedSockets
from relay.run.workers.worker import Worker
from relay.wire.transport import Transport

if TYPE_CHECKING:
    from socket import socket

    from relay.forwarding.connection import Midway
    from relay.run.helper.client import Helper

AGAIN_AFTER = 1.0  # seconds until flows without sockets are tried again
_RESERVE = 64  # files that moving flows leave to others, or a quarter of few
_AT_ONCE = 64  # flows whose sockets are opened before datagrams get their turn

_log = logging.getLogger(__name__)


class AgentSockets:
    """The sockets of an agent. They are closed at the end of its stack.

    Args:
        config: The agent's settings.
        worker: What it works on, whose sockets it takes.
        dataplane: Steers upstream ports to one socket, if it can.
        counters: Where the sockets count.
        receiver: Told of what is received.
        helper: Opens what this process may not.
    """

    def __init__(
        self,
        config: RelayConfig,
        worker: Worker,
        dataplane: Dataplane,
        counters: Counter[str],
        *,
        receiver: Receiver,
        helper: "Helper | None" = None,
    ) -> None:
        self._config = config
        self._worker = worker
        self._dataplane = dataplane
        self._counters = counters
        self._receiver = receiver
        self._helper = helper
        self._loop = asyncio.get_running_loop()
        self._filters: Filters | None = None
        self._ends: Ends
        self._per_flow: PerFlowSockets
        self._steered: Upstreams | None = None
        self._steered_udp: dict[int, socket] = {}
        self._vips: VipSockets
        self._connections: ClientConnections
        self._moving: asyncio.TimerHandle | None = None

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
        for udp in vips.sockets.values():
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
        self._vips, self._connections = vips, connections
        self._ends = Ends(vips, connections, upstreams)
        closing.callback(self._stop_moving)
        return self._ends

    def handed(self) -> HandedSockets:
        """What an agent in its place needs from the beginning."""
        return HandedSockets(
            {vip: [udp] for vip, udp in self._vips.sockets.items()},
            self._connections.listeners,
            steered=self._steered_udp,
        )

    def connections(self) -> "Iterator[tuple[socket, Midway]]":
        """The connections of clients; see `ClientConnections.all`."""
        return self._connections.all()

    def upstream(self, flow: Flow) -> "socket | None":
        """The socket of its own that a flow has; None where it has none."""
        return self._per_flow.opened(flow)

    def adopt_connection(self, tcp: "socket", midway: "Midway") -> None:
        """See `ClientConnections.adopt`."""
        self._connections.adopt(tcp, midway)

    def adopt(self, flow: Flow, udp: "socket | None") -> None:
        """Go on with a flow and its socket.

        Raises:
            OSError: There is no memory for it.
        """
        if udp is None:
            with suppress(BindError):  # as the agent before has none, either
                self._ends.open(flow)
            return
        self._per_flow.adopt(flow, udp)
        if flow.is_connection:
            self._connections.attach(flow)

    async def unsteer(self, flows: Iterable[Flow]) -> int:
        """Give flows sockets of their own, and the number of those that could get none so far.

        What is steered to one socket for all is taken there as well, for as long as it is. Some
        files are left to others, such as what comes from a helper. Who has got no socket is told
        of, and tried again and again: what the transceiver sends is lost until then.
        """
        if self._steered is None:
            return 0
        upstreams = UnsteeredUpstreams(self._steered, self._per_flow)
        upstreams.listen()
        self._ends.replace_upstreams(upstreams)  # new flows have theirs at once
        left = []
        for number, flow in enumerate(list(flows)):
            if not flow.is_connection and not self._move(flow, upstreams):
                left.append(flow)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # datagrams come first
        if left:
            _log.error(
                "flows that have no socket of their own: %d. What their transceivers send is lost "
                "until they have one: there are too few files (ulimit -n, LimitNOFILE), or another "
                "process has their upstream ports",
                len(left),
            )
        self._move_later(left, upstreams)
        return len(left)

    def _move(self, flow: Flow, upstreams: UnsteeredUpstreams) -> bool:
        """Whether a flow has a socket of its own now, or needs none."""
        return not self._is_without(flow) or (_has_files() and upstreams.move(flow))

    def _is_without(self, flow: Flow) -> bool:
        found = self._steered.find(flow.addresses.upstream) if self._steered is not None else None
        return found is flow and not self._per_flow.has(flow)

    def _move_later(self, left: list[Flow], upstreams: UnsteeredUpstreams) -> None:
        """Try those again that have no socket, the first ones now and all in turn."""
        self._stop_moving()
        if not left:
            return
        now, later = left[:_AT_ONCE], left[_AT_ONCE:]
        left = later + [flow for flow in now if not self._move(flow, upstreams)]
        self._moving = self._loop.call_later(AGAIN_AFTER, self._move_later, left, upstreams)

    def _stop_moving(self) -> None:
        if self._moving is not None:
            self._moving.cancel()

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
            load=self._helper.filter_programs if self._helper else FilterPrograms,
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
        self._per_flow = per_flow
        if not self._dataplane.steers:
            return {Transport.UDP: per_flow, Transport.TCP: per_flow}
        # Their upstream ports are none of those that are steered: the kernel's program, which knows
        # nothing of connections, would let only a small share of their packets through to here.
        self._steered = self._open_steered(fast.outbox, filters, closing)
        return {Transport.UDP: self._steered, Transport.TCP: per_flow}

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
                unopened=self._receiver.at_upstream,
                udp=self._worker.steered.get(family),
                open_raw=self._helper.open_udp_socket if self._helper else open_udp_socket,
            )
            self._steered_udp[family] = steered.udp
            closing.callback(steered.shutdown)
            filters.attach(steered.udp, to_transceivers=True)
            self._dataplane.steer(steered.udp)
            sockets[family] = steered
        # With one family, as most have, nobody has to choose.
        return steered if len(sockets) == 1 else SteeredUpstreams(sockets)


def _has_files() -> bool:
    """Whether this process may open more files than those that are left to others."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        free = os.eventfd(0)  # the lowest number that is free: all below are open
    except OSError:
        return False
    os.close(free)
    return limit == resource.RLIM_INFINITY or free < limit - min(_RESERVE, limit // 4)
