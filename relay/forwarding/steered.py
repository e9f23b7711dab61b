"""One socket for all upstream addresses, where the kernel forwards.

There may be far more flows than files that a process may open, and little of their traffic
reaches the agent. So a BPF program hands what comes to any upstream port to one socket, and a raw
socket sends from any.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from relay.core.flow import Flow
from relay.errors import BindError
from relay.forwarding.mmsg import (
    BatchReceiver,
    PacketBuffers,
    from_sockaddr,
    tell_destinations,
    to_sockaddr,
)
from relay.forwarding.outbox import Outbox
from relay.forwarding.udp import bind_udp, count_failure, receive_nothing
from relay.forwarding.upstreams import Received
from relay.linux import ignore_path_mtu
from relay.wire.checksum import internet_checksum
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

# What is read before others on the event loop get their turn.
BATCH = 64

_UDP_HEADER_SIZE = 8
_PROTOCOL = socket.IPPROTO_UDP.to_bytes(2, "big")


def open_udp_socket(family: int, host: str) -> socket.socket:
    """A raw socket that sends UDP from any port of an address, and hears nothing.

    Raises:
        BindError: This process may not, or the address is not on this host.
    """
    try:
        return _bound_raw_socket(family, host)
    except OSError as error:
        raise BindError(f"no raw socket at {host}: {error.strerror}") from error


def _bound_raw_socket(family: int, host: str) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP)
    try:
        # A raw socket is given a copy of all UDP that the host receives; this one refuses it.
        receive_nothing(raw)
        ignore_path_mtu(raw, family)
        raw.bind((host, 0))
    except OSError:
        raw.close()
        raise
    return raw


class SteeredSocket:
    """One socket for all upstream addresses of a family; the steering program must run.

    Args:
        hosts: The upstream addresses.
        ports: The upstream ports at each.
        loop: It watches the socket.
        counters: Where datagrams that could not be received, or are nobody's, are counted.
        outbox: Sends.
        received: Gets what a transceiver sends.
        unopened: Finds the flow at an upstream address, packed, that is not open here: one that
            the kernel forwards need not be.
        udp: The socket, where another process has opened it.
        open_raw: Opens a socket as `open_udp_socket` does, where this process may not.

    Raises:
        BindError: An address is not on this host, or this process may not open raw sockets.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        ports: range,
        loop: asyncio.AbstractEventLoop,
        counters: Counter[str],
        *,
        outbox: Outbox,
        received: Received,
        unopened: Callable[[bytes], Flow | None] = lambda _: None,
        udp: socket.socket | None = None,
        open_raw: Callable[[int, str], socket.socket] = open_udp_socket,
    ) -> None:
        self._loop = loop
        self._unopened = unopened
        self._counters = counters
        self._outbox = outbox
        self._received = received
        self._ports = ports
        # By upstream address, packed but for the port. A place for each port of each takes less
        # than a dictionary.
        self._flows: dict[bytes, list[Flow | None]] = {
            Endpoint(host, 0).packed[:-2]: [None] * len(ports) for host in hosts
        }
        self._raw: dict[bytes, socket.socket] = {}
        # The program steers to it what comes to any of the addresses, whichever it is bound to.
        self.udp = udp or bind_udp(Endpoint(hosts[0], 0))
        self._family = self.udp.family
        try:
            for host, packed in zip(hosts, self._flows, strict=True):
                self._raw[packed] = open_raw(self._family, host)
        except BindError:
            self.udp.close()
            raise
        tell_destinations(self.udp)
        self._buffers = PacketBuffers(BATCH)
        self._receiver = BatchReceiver(self._buffers, self._family)

    def listen(self) -> None:
        """See `Upstreams.listen`."""
        self._loop.add_reader(self.udp, self._read)

    def open(self, flow: Flow) -> bool:
        """Always true: the steering program comes before other processes' sockets."""
        self._put(flow.addresses.packed_upstream, flow)
        return True

    def confirm(self, flow: Flow) -> None:
        """Nothing: the kernel forwards it."""

    def close(self, flow: Flow) -> None:
        """See `Upstreams.close`."""
        upstream = flow.addresses.packed_upstream
        if self._opened(upstream) is flow:
            self._put(upstream, None)

    def find(self, upstream: Endpoint) -> Flow | None:
        """See `Upstreams.find`."""
        return self._find(upstream.packed)

    def send(self, flow: Flow, data: bytes, tos: int) -> None:
        """See `Upstreams.send`."""
        source, destination = flow.addresses.packed_upstream, flow.addresses.packed_transceiver
        raw = self._raw[source[:-2]].fileno()
        packet = udp_packet(source, destination, data)
        self._outbox.send_to(raw, self._family, _host_sockaddr(destination), packet, tos)

    def shutdown(self) -> None:
        """See `Upstreams.shutdown`."""
        self._outbox.flush()
        self._loop.remove_reader(self.udp)
        self.udp.close()
        for raw in self._raw.values():
            raw.close()

    def _read(self) -> None:
        with self._outbox:
            self._read_batch()

    def _read_batch(self) -> None:
        receiver = self._receiver
        try:
            count = receiver.receive(self.udp.fileno())
        except OSError as error:
            count_failure(self._counters, error.errno)
            return
        places = zip(receiver.destinations(count), receiver.sources(count), strict=True)
        what = zip(receiver.sizes(count), receiver.tos(count), places, strict=True)
        for slot, (size, tos, place) in enumerate(what):
            flow = self._flow_between(*place)
            if flow is None:
                self._counters["unknown_upstream"] += 1
            else:
                self._received(flow, self._buffers.copy(slot, size), tos)

    def _flow_between(self, destination: bytes, source: bytes) -> Flow | None:
        """The flow of an upstream address and a transceiver, each as `to_sockaddr` writes it."""
        try:
            flow = self._find(from_sockaddr(destination))
        except EndpointError:  # link-local, which no upstream address is
            return None
        return flow if flow and source == _sockaddr(flow.addresses.packed_transceiver) else None

    def _find(self, upstream: bytes) -> Flow | None:
        flow = self._opened(upstream)
        if flow is None and (flow := self._unopened(upstream)) is not None:
            self._put(upstream, flow)
        return flow

    def _opened(self, upstream: bytes) -> Flow | None:
        flows, port = self._flows.get(upstream[:-2]), int.from_bytes(upstream[-2:], "big")
        if flows is None or port not in self._ports:
            return None
        return flows[port - self._ports.start]

    def _put(self, upstream: bytes, flow: Flow | None) -> None:
        port = int.from_bytes(upstream[-2:], "big")
        self._flows[upstream[:-2]][port - self._ports.start] = flow


class SteeredUpstreams:
    """One steered socket for each address family.

    Args:
        sockets: The sockets, by address family.
    """

    def __init__(self, sockets: Mapping[int, SteeredSocket]) -> None:
        self._sockets = sockets

    def listen(self) -> None:
        """See `Upstreams.listen`."""
        for each in self._sockets.values():
            each.listen()

    def open(self, flow: Flow) -> bool:
        """See `Upstreams.open`."""
        return self._of(flow).open(flow)

    def confirm(self, flow: Flow) -> None:
        """See `Upstreams.confirm`."""
        self._of(flow).confirm(flow)

    def close(self, flow: Flow) -> None:
        """See `Upstreams.close`."""
        self._of(flow).close(flow)

    def find(self, upstream: Endpoint) -> Flow | None:
        """See `Upstreams.find`."""
        steered = self._sockets.get(upstream.family)
        return steered.find(upstream) if steered else None

    def send(self, flow: Flow, data: bytes, tos: int) -> None:
        """See `Upstreams.send`."""
        self._of(flow).send(flow, data, tos)

    def shutdown(self) -> None:
        """See `Upstreams.shutdown`."""
        for each in self._sockets.values():
            each.shutdown()

    def _of(self, flow: Flow) -> SteeredSocket:
        return self._sockets[flow.addresses.upstream_family]


# There are few transceivers.
_sockaddr = lru_cache(1024)(to_sockaddr)


@lru_cache(1024)
def _host_sockaddr(packed: bytes) -> bytes:
    """A transport address without its port: a raw socket takes none, and that is in the packet."""
    return to_sockaddr(packed[:-2] + bytes(2))


def udp_packet(source: bytes, destination: bytes, data: bytes) -> bytes:
    """A UDP header (RFC 768) and its payload, with the checksum, between packed addresses."""
    length = (_UDP_HEADER_SIZE + len(data)).to_bytes(2, "big")
    # The order of words does not count, nor do zeros, and what a packed IPv4 address begins with is
    # one's complement's other zero: so this is the sum of both families' pseudo-headers.
    summed = b"".join((source, destination, _PROTOCOL, length, length, data))
    # A computed zero is sent as all ones: zero says that there is none.
    checksum = (internet_checksum(summed) or 0xFFFF).to_bytes(2, "big")
    return b"".join((source[16:], destination[16:], length, checksum, data))
