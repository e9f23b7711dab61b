"""One socket for all upstream addresses, where the kernel forwards.

There may be far more flows than files that a process may open, and little of their traffic
reaches the agent. So a BPF program hands what comes to any upstream port to one socket, and a raw
socket sends from any.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Mapping, Sequence

from relay.core.flow import Flow
from relay.errors import BindError
from relay.forwarding.udp import (
    MAX_DATAGRAM,
    allow_fragmentation,
    attach_filter,
    bind_udp,
    count_failure,
)
from relay.forwarding.upstreams import Received
from relay.wire.checksum import internet_checksum
from relay.wire.endpoint import Endpoint

# What is read before others on the event loop get their turn.
BATCH = 64

# From the kernel's UAPI headers; the socket module lacks them.
SO_ATTACH_FILTER = 26
IP_RECVORIGDSTADDR = 20
IPV6_RECVORIGDSTADDR = 74
_RETURN_NOTHING = struct.pack("@HBBI", 0x06, 0, 0, 0)  # struct sock_filter: BPF_RET | BPF_K, 0
_UDP_HEADER = struct.Struct("!HHHH")


class SteeredSocket:
    """One socket for all upstream addresses of a family; the steering program must run.

    Args:
        hosts: The upstream addresses.
        ports: The upstream ports at each.
        loop: It watches the socket.
        counters: Where datagrams that could not be sent, or are nobody's, are counted.
        received: Gets what a transceiver sends.

    Raises:
        BindError: An address is not on this host, or this process may not open raw sockets.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        ports: range,
        loop: asyncio.AbstractEventLoop,
        counters: Counter[str],
        received: Received,
    ) -> None:
        self._loop = loop
        self._counters = counters
        self._received = received
        self._ports = ports
        # By upstream address: a place for each port of each takes less than a dictionary.
        self._flows: dict[str, list[Flow | None]] = {host: [None] * len(ports) for host in hosts}
        self._raw: dict[str, socket.socket] = {}
        # The program steers to it what comes to any of the addresses, whichever it is bound to.
        self.udp = bind_udp(Endpoint(hosts[0], 0))
        try:
            for host in hosts:
                self._raw[host] = _raw_socket(self.udp.family, host)
        except BindError:
            self.udp.close()
            raise
        if self.udp.family == socket.AF_INET:
            self.udp.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
        else:
            self.udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1)
        loop.add_reader(self.udp, self._read)

    def open(self, flow: Flow) -> bool:
        """Always true: the steering program comes before other processes' sockets."""
        self._put(flow.addresses.upstream, flow)
        return True

    def confirm(self, flow: Flow) -> None:
        """Nothing: the kernel forwards it."""

    def close(self, flow: Flow) -> None:
        """See `Upstreams.close`."""
        upstream = flow.addresses.upstream
        if self.find(upstream) is flow:
            self._put(upstream, None)

    def find(self, upstream: Endpoint) -> Flow | None:
        """See `Upstreams.find`."""
        if upstream.host not in self._flows or upstream.port not in self._ports:
            return None
        return self._flows[upstream.host][self._ports.index(upstream.port)]

    def send(self, flow: Flow, data: bytes) -> None:
        """See `Upstreams.send`."""
        source, destination = flow.addresses.upstream, flow.addresses.transceiver
        packet = udp_packet(source, destination, data)
        try:
            # A raw socket takes no port: that is in the packet.
            self._raw[source.host].sendto(packet, (destination.host, 0))
        except OSError as error:
            count_failure(self._counters, error.errno)

    def shutdown(self) -> None:
        """See `Upstreams.shutdown`."""
        self._loop.remove_reader(self.udp)
        self.udp.close()
        for raw in self._raw.values():
            raw.close()

    def _read(self) -> None:
        for _ in range(BATCH):
            try:
                data, control, _, source = self.udp.recvmsg(MAX_DATAGRAM, 64)
            except BlockingIOError:
                return
            except OSError as error:
                count_failure(self._counters, error.errno)
                return
            flow = self.find(_original_destination(control))
            if flow is None or flow.addresses.transceiver != Endpoint.of(source):
                self._counters["unknown_upstream"] += 1
                continue
            self._received(flow, data)

    def _put(self, upstream: Endpoint, flow: Flow | None) -> None:
        self._flows[upstream.host][self._ports.index(upstream.port)] = flow


class SteeredUpstreams:
    """One steered socket for each address family.

    Args:
        sockets: The sockets, by address family.
    """

    def __init__(self, sockets: Mapping[int, SteeredSocket]) -> None:
        self._sockets = sockets

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

    def send(self, flow: Flow, data: bytes) -> None:
        """See `Upstreams.send`."""
        self._of(flow).send(flow, data)

    def shutdown(self) -> None:
        """See `Upstreams.shutdown`."""
        for each in self._sockets.values():
            each.shutdown()

    def _of(self, flow: Flow) -> SteeredSocket:
        return self._sockets[flow.addresses.transceiver.family]


def udp_packet(source: Endpoint, destination: Endpoint, data: bytes) -> bytes:
    """A UDP header (RFC 768) and its payload, with the checksum."""
    v6 = source.family == socket.AF_INET6
    addresses = slice(0, 16) if v6 else slice(12, 16)
    length = _UDP_HEADER.size + len(data)
    pseudo_header = (
        source.packed[addresses]
        + destination.packed[addresses]
        # The same sum for both families: the order of words and zeros do not count.
        + struct.pack("!HH", socket.IPPROTO_UDP, length)
    )
    header = _UDP_HEADER.pack(source.port, destination.port, length, 0)
    checksum = internet_checksum(pseudo_header + header + data)
    # A computed zero is sent as all ones: zero says that there is none.
    return _UDP_HEADER.pack(source.port, destination.port, length, checksum or 0xFFFF) + data


def _raw_socket(family: int, host: str) -> socket.socket:
    try:
        return _bound_raw_socket(family, host)
    except OSError as error:
        raise BindError(f"no raw socket at {host}: {error.strerror}") from error


def _bound_raw_socket(family: int, host: str) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_UDP)
    try:
        # A raw socket is given a copy of all UDP that the host receives; this one refuses it.
        attach_filter(raw, SO_ATTACH_FILTER, _RETURN_NOTHING)
        allow_fragmentation(raw)
        raw.bind((host, 0))
    except OSError:
        raw.close()
        raise
    return raw


def _original_destination(control: list[tuple[int, int, bytes]]) -> Endpoint:
    """Where a datagram was sent to, from its struct sockaddr_in or sockaddr_in6."""
    for level, kind, value in control:
        port = int.from_bytes(value[2:4], "big")
        if (level, kind) == (socket.IPPROTO_IP, IP_RECVORIGDSTADDR):
            return Endpoint(socket.inet_ntop(socket.AF_INET, value[4:8]), port)
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR):
            return Endpoint(socket.inet_ntop(socket.AF_INET6, value[8:24]), port)
    return Endpoint("", 0)
