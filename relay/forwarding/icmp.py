"""Raw sockets that receive ICMP errors about relayed packets, and forward them to the sender.

Only a process with CAP_NET_RAW may have them. A forged error cannot do harm: it is translated only
when the packet that it quotes is one of a confirmed flow, both addresses and ports; it never ends
a flow (RFC 4787 REQ-12); and there is a limit on how many are read and how many are sent.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable

from relay.core.flowtuple import FlowTuple
from relay.core.throttle import TokenBucket
from relay.forwarding.udp import MAX_DATAGRAM, count_failure
from relay.linux import ignore_path_mtu
from relay.wire.endpoint import Endpoint
from relay.wire.errors import IcmpError
from relay.wire.icmp import (
    V4_UNREACHABLE,
    V6_TOO_BIG,
    V6_UNREACHABLE,
    Report,
    parse_icmp4,
    parse_icmp6,
    translate,
)

# From linux/icmp.h, linux/icmpv6.h; the socket module lacks them.
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1

# What is read: a flood of forged errors may not keep the agent from its other work.
READ_RATE, READ_BURST = 1000.0, 200.0  # errors a second, errors at once
# What is sent: a host sends few errors, too (RFC 1812, section 4.3.2.8; RFC 4443, section 2.4).
SEND_RATE, SEND_BURST = 100.0, 50.0
PAUSE = 0.1  # seconds for which nothing is read when that was too much

Find = Callable[[Endpoint, Endpoint], FlowTuple | None]


def open_icmp_socket(host: str) -> socket.socket:
    """A raw socket at an address that hears "unreachable" and "too big" only.

    Raises:
        OSError: This process may not, or the address is not on this host.
    """
    v6 = ":" in host
    family = socket.AF_INET6 if v6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    try:
        if v6:
            unheard = _all_but(V6_UNREACHABLE, V6_TOO_BIG)
            raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, unheard + bytes([0xFF]) * 28)
        else:
            raw.setsockopt(_SOL_RAW, _ICMP_FILTER, _all_but(V4_UNREACHABLE))
        ignore_path_mtu(raw, family)
        raw.bind((host, 0))
    except OSError:
        raw.close()
        raise
    return raw


class IcmpSockets:
    """A raw socket at each of the relay's addresses.

    Args:
        loop: It watches the sockets.
        counters: Where errors are counted by what became of them.
        find: Finds the confirmed flow that the relay sends packets of from the first address to
            the second.
        open_socket: Opens a socket as `open_icmp_socket` does, where this process may not.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        counters: Counter[str],
        find: Find,
        open_socket: Callable[[str], socket.socket] = open_icmp_socket,
    ) -> None:
        self._loop = loop
        self._counters = counters
        self._find = find
        self._open_socket = open_socket
        self._sockets: dict[str, socket.socket] = {}
        self._reads = TokenBucket(READ_RATE, READ_BURST)
        self._sends = TokenBucket(SEND_RATE, SEND_BURST)

    def open(self, hosts: Iterable[str]) -> None:
        """Listen at addresses of this host.

        Raises:
            PermissionError: This process may not have raw sockets.
            OSError: An address is not on this host.
        """
        for host in hosts:
            raw = self._open_socket(host)
            self._sockets[host] = raw
            self._loop.add_reader(raw, self._read, host, raw)

    def shutdown(self) -> None:
        """Close all sockets."""
        for raw in self._sockets.values():
            self._loop.remove_reader(raw)
            raw.close()
        self._sockets.clear()

    def _read(self, host: str, raw: socket.socket) -> None:
        while self._reads.take(self._loop.time()):
            try:
                data = raw.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                count_failure(self._counters, error.errno)
                return
            self._received(host, raw.family, data)
        self._counters["icmp_paused"] += 1
        self._loop.remove_reader(raw)
        self._loop.call_later(PAUSE, self._resume, host, raw)

    def _resume(self, host: str, raw: socket.socket) -> None:
        if raw.fileno() >= 0:
            self._loop.add_reader(raw, self._read, host, raw)

    def _received(self, host: str, family: int, data: bytes) -> None:
        self._counters["icmp_received"] += 1
        try:
            report = parse_icmp6(data) if family == socket.AF_INET6 else _parse_packet4(data)
        except IcmpError:
            self._counters["icmp_malformed"] += 1
            return
        # An error is sent to the source of the packet that it is about.
        quote = report.quote
        flow = self._find(quote.source, quote.destination) if quote.source.host == host else None
        if flow is None:
            self._counters["icmp_unknown_flow"] += 1
        elif self._sends.take(self._loop.time()):
            self._forward(flow, report)
        else:
            self._counters["icmp_limited"] += 1

    def _forward(self, flow: FlowTuple, report: Report) -> None:
        """Translate an error for the side of the flow that sent the packet."""
        sender, relay = (
            (flow.transceiver, flow.upstream)
            if report.quote.source == flow.vip
            else (flow.client, flow.vip)
        )
        try:
            message = translate(report, sender, relay)
        except IcmpError:
            self._counters["icmp_untranslatable"] += 1
            return
        try:
            self._sockets[relay.host].sendto(message, (sender.host, 0))
        except OSError as error:
            count_failure(self._counters, error.errno)
            return
        self._counters["icmp_translated"] += 1


def _all_but(*heard: int) -> bytes:
    """A filter's first word: a bit for each of the first 32 types that is not heard."""
    return struct.pack("=I", ~sum(1 << kind for kind in heard) & 0xFFFF_FFFF)


def _parse_packet4(packet: bytes) -> Report:
    """Read an IPv4 packet that a raw socket gave, whose header the kernel has verified."""
    return parse_icmp4(packet[(packet[0] & 0x0F) * 4 :])
