"""All TCP connections of clients: who may have one, and how long."""

import asyncio
import errno
import select
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from socket import SHUT_RDWR
from typing import TYPE_CHECKING

from relay.core.flow import Flow
from relay.core.flowtuple import Source, client_prefix
from relay.core.limits import ConnectionLimits
from relay.forwarding.connection import Connection, Midway
from relay.forwarding.tcp import affordable, bind_tcp
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError, FramingError
from relay.wire.transport import Transport

if TYPE_CHECKING:
    from socket import socket

# What is done before others on the event loop get their turn: a few milliseconds at most.
MAX_ACCEPTED = 16
MAX_FRAMES = 512
SWEEP_EVERY = 1.0  # seconds
# For how long nobody is accepted when there are no files or no memory for it.
PAUSE = 1.0  # seconds
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Received = Callable[[bytes, Source], None]


class ClientConnections:
    """The connections of a relay.

    A connection is there for its flow: it ends with the last one, and the flow with it. The first
    frame that opens none ends it.

    Args:
        loop: It watches the sockets.
        counters: Where what happens is counted.
        received: Gets each datagram of a client.
        ended: Told of each flow whose connection has ended.
        limits: Bounds and times.
        clock: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        counters: Counter[str],
        received: Received,
        ended: Callable[[Flow], None],
        *,
        limits: ConnectionLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._counters = counters
        self._received = received
        self._ended = ended
        self._limits = limits
        self._most = affordable(limits.connections)
        self._clock = clock
        self._listeners: dict[socket, Endpoint] = {}
        self._connections: dict[bytes, Connection] = {}  # by `Source`
        self._by_fd: dict[int, Connection] = {}
        self._new: dict[Connection, None] = {}  # without a flow so far, oldest first
        self._of_prefix: Counter[bytes] = Counter()
        # The event loop watches all of them as one: together they get one turn.
        self._ready = select.epoll()
        loop.add_reader(self._ready, self._serve)
        self._sweeping = loop.call_later(SWEEP_EVERY, self._sweep)

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def open(self, vip: Endpoint, listener: "socket | None" = None) -> None:
        """Bind an address, or take a socket that listens there; who connects waits until `listen`.

        Raises:
            BindError: The address is not on this host, or the port is taken.
        """
        self._listeners[listener or bind_tcp(vip)] = vip

    def listen(self) -> None:
        """Accept connections from now on."""
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    @property
    def listeners(self) -> "dict[Endpoint, socket]":
        """The sockets that listen, by their addresses."""
        return {vip: listener for listener, vip in self._listeners.items()}

    def all(self) -> "Iterator[tuple[socket, Midway]]":
        """The socket of each connection, and where it is."""
        return ((each.tcp, each.midway) for each in self._connections.values())

    def adopt(self, tcp: "socket", midway: Midway) -> None:
        """Go on with a connection that another process has accepted; its flows are to come.

        Raises:
            OSError: There is no memory for it.
            ValueError: What is said of it is malformed.
        """
        source = Source.of(bytes.fromhex(midway.source))
        connection = Connection(tcp, source, self._limits, midway.heard)
        connection.resume(midway)
        self._keep(connection)
        if connection.is_behind:
            self._ready.modify(tcp, select.EPOLLIN | select.EPOLLOUT)

    def attach(self, flow: Flow) -> None:
        """A client's datagram has opened a flow."""
        if connection := self._connections.get(flow.addresses.from_client):
            connection.flows.append(flow)
            self._new.pop(connection, None)

    def detach(self, flow: Flow) -> None:
        """A flow has ended, and so does its connection if it has no other; none is fine."""
        connection = self._connections.get(flow.addresses.from_client)
        if connection is None or flow not in connection.flows:
            return
        connection.flows.remove(flow)
        if not connection.flows:
            self._end(connection, "flow_ended")

    def send(self, flow: Flow, data: bytes) -> None:
        """Send a datagram to a flow's client; what a slow one does not take in time is dropped."""
        connection = self._connections.get(flow.addresses.from_client)
        if connection is None:
            return
        if not connection.send(data):
            self._counters["tcp_not_taken"] += 1
        elif connection.is_behind:
            self._ready.modify(connection.tcp, select.EPOLLIN | select.EPOLLOUT)

    def shutdown(self) -> None:
        """Close everything; the flows' owner knows."""
        self._sweeping.cancel()
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for connection in self._connections.values():
            connection.tcp.close()
        self._connections.clear()
        self._by_fd.clear()
        self._loop.remove_reader(self._ready)
        self._ready.close()

    # Connections come

    def _accept(self, listener: "socket") -> None:
        for _ in range(MAX_ACCEPTED):
            try:
                tcp, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._count_refusal(error)
                if error.errno in _EXHAUSTED:
                    self._pause(listener)
                    return
                continue
            tcp.setblocking(False)
            try:
                source = Source(Endpoint.of(address), self._listeners[listener], Transport.TCP)
            except EndpointError:  # a link-local source: its zone means nothing to other hosts
                self._counters["unsupported_source"] += 1
                tcp.close()
            else:
                self._admit(tcp, source)

    def _pause(self, listener: "socket") -> None:
        """Accept nobody for a while: the kernel would say the same again at once."""

        def resume() -> None:
            if listener in self._listeners:
                self._loop.add_reader(listener, self._accept, listener)

        self._loop.remove_reader(listener)
        self._loop.call_later(PAUSE, resume)

    def _admit(self, tcp: "socket", source: Source) -> None:
        if former := self._connections.get(source):
            # Its end has not been seen yet; the kernel gives an address to one at a time.
            self._end(former, "reset")
        if not self._make_room(client_prefix(source)):
            tcp.close()
            return
        connection = Connection(tcp, source, self._limits, self._clock())
        try:
            self._keep(connection)
        except OSError as error:
            self._count_refusal(error)
            tcp.close()
        else:
            self._counters["tcp_accepted"] += 1

    def _count_refusal(self, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, "unknown").lower()
        self._counters[f"tcp_accept_failed_{name}"] += 1

    def _keep(self, connection: Connection) -> None:
        self._ready.register(connection.tcp, select.EPOLLIN)  # first: there may be no memory
        self._connections[connection.source] = connection
        self._by_fd[connection.tcp.fileno()] = connection
        self._new[connection] = None
        self._of_prefix[client_prefix(connection.source)] += 1

    def _make_room(self, prefix: bytes) -> bool:
        """Whether there is room for one more, when the oldest without a flow has made way.

        So who connects and says nothing keeps nobody out for long.
        """
        waiting: Iterable[Connection]
        if self._of_prefix[prefix] >= self._limits.per_prefix:
            reason = "prefix_full"
            waiting = (each for each in self._new if client_prefix(each.source) == prefix)
        elif len(self._connections) >= self._most:
            reason, waiting = "full", iter(self._new)
        else:
            return True
        oldest = next(iter(waiting), None)
        if oldest is None:
            self._counters[f"tcp_{reason}"] += 1
            return False
        self._end(oldest, "displaced")
        return True

    # Connections are served

    def _serve(self) -> None:
        done = 0
        while done < MAX_FRAMES:
            # One at a time: the kernel puts it behind the others that are ready.
            ready = self._ready.poll(0, 1)
            if not ready:
                return
            fd, events = ready[0]
            connection = self._by_fd[fd]
            if events & select.EPOLLOUT:
                connection.flush()
                if not connection.is_behind:
                    self._ready.modify(fd, select.EPOLLIN)
            done += 1
            if events & ~select.EPOLLOUT:
                done += self._receive(connection)

    def _receive(self, connection: Connection) -> int:
        """Take what has come; returns the number of datagrams."""
        count = 0
        try:
            datagrams = connection.receive(self._clock())
        except EOFError:
            self._end(connection, "closed")
            return count
        except OSError:
            self._end(connection, "reset")
            return count
        try:
            for datagram in datagrams:
                count += 1
                self._received(datagram, connection.source)
                if not connection.flows:  # it opened none, or the last one has ended
                    self._end(connection, "refused")
                    break
        except FramingError:
            self._end(connection, "bad_frame")
        return count

    # Connections go

    def _sweep(self) -> None:
        # First, so that it goes on whatever comes next.
        self._sweeping = self._loop.call_later(SWEEP_EVERY, self._sweep)
        now = self._clock()
        for connection in list(self._connections.values()):
            if reason := connection.overdue(now):
                self._end(connection, reason)

    def _end(self, connection: Connection, reason: str) -> None:
        """Close a connection; one that has ended already is fine."""
        source = connection.source
        if self._connections.get(source) is not connection:
            return
        self._counters[f"tcp_{reason}"] += 1
        # By hand: closing does neither while another process has a copy, as one may that was to
        # take this one's place and did not.
        self._ready.unregister(connection.tcp)
        with suppress(OSError):  # the client has ended it already
            connection.tcp.shutdown(SHUT_RDWR)
        del self._connections[source], self._by_fd[connection.tcp.fileno()]
        self._new.pop(connection, None)
        self._of_prefix[client_prefix(source)] -= 1
        if not self._of_prefix[client_prefix(source)]:
            del self._of_prefix[client_prefix(source)]
        connection.tcp.close()
        flows, connection.flows = connection.flows, []
        for flow in flows:
            self._ended(flow)
