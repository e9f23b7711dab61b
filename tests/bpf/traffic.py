"""Random flow tables, and random frames that have something to do with them, from one seed."""

import os
import random
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from relay.core.flowtuple import FlowTuple
from relay.wire.endpoint import Endpoint
from relay.wire.route import Route, Target, mint
from relay.wire.stun import Attribute, Message, MessageClass
from tests.bpf.model import ones_sum
from tests.bpf.packet import EXTENSIONS, UDP, Address
from tests.relay.wire.verdict import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bpf.conftest import Bench

SEED = int(os.environ.get("ICELANE_FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))

FLOWS = 24
TOS = [0] * 6 + [0x01, 0x02, 0x03, 0x10, 0x13, 0x30, 0xB8, 0xB9, 0xBB, 0xFF]
TTL = [0, 1, 2, 3, 255] + [64] * 12
NOT_UDP = [1, 2, 6, 17, 47, 50, 58, 132]


class Came(NamedTuple):
    """A frame, and the interface that it comes in through."""

    frame: bytes
    interface: str


class Traffic:
    """Everything random about a run.

    Args:
        chance: The only source of randomness.
        bench: Whose addresses are used.
    """

    def __init__(self, chance: random.Random, bench: "Bench") -> None:
        self._chance = chance
        self._bench = bench
        self._flows: list[FlowTuple] = []
        b = bench
        self._clients = {
            4: [
                b.client,
                b.client,
                b.public_transceiver,
                b.vlan_client,
                b.small_mtu,
                b.without_neighbour,
                b.blackholed,
                b.elsewhere,
            ],
            6: [b.client6, b.client6, b.small_mtu6, b.without_neighbour6, b.blackholed6],
        }
        self._transceivers = {
            4: [
                b.transceiver,
                b.transceiver,
                b.public_transceiver,
                b.vlan_transceiver,
                b.elsewhere,
                b.small_mtu,
            ],
            6: [b.transceiver6, b.transceiver6, b.small_mtu6],
        }
        self._vips = {4: [b.vip, b.vip, b.shared_vip], 6: [b.vip6, b.vip6, b.shared_vip6]}
        self._upstreams = {4: b.upstream, 6: b.upstream6}

    def flows(self) -> list[FlowTuple]:
        """A new table of flows, which the frames that come next are made for."""
        chance = self._chance
        # A tuple belongs to one flow at a time: the agent removes the old one of a client that goes
        # elsewhere. So no two flows share a port, neither the client's nor the relay's.
        upstream_ports = chance.sample(range(20_000, 30_000), FLOWS)
        client_ports = chance.sample(range(1, 1 << 16), FLOWS)
        self._flows = []
        for client_port, upstream_port in zip(client_ports, upstream_ports, strict=True):
            outer, inner = chance.choice([4, 4, 6]), chance.choice([4, 4, 6])
            client = chance.choice(self._clients[outer])
            self._flows.append(
                FlowTuple(
                    Endpoint(client.host, client_port),
                    chance.choice(self._vips[outer]),
                    Endpoint(self._upstreams[inner].host, upstream_port),
                    chance.choice(self._transceivers[inner]),
                    self._route().raw,
                )
            )
        return self._flows

    def frame(self) -> Came:
        """Some frame."""
        chance = self._chance
        flow = chance.choice(self._flows)
        outside = chance.random() < 0.6
        outer, inner = (flow.client, flow.vip), (flow.transceiver, flow.upstream)
        ends = outer if outside else inner
        leaving = _ones_sum_of(inner if outside else outer)
        # With this checksum it is forwarded with one of 0, which must be written as 0xffff.
        becomes_zero = (leaving - _ones_sum_of(ends)) % 0xFFFF
        source, destination = self._strayed(*map(Address.of, ends))
        payload = self._payload(flow)
        packet = self._ip(
            source, destination, self._udp(source, destination, payload, becomes_zero)
        )
        interface = "public" if outside else "internal"
        if chance.random() < 0.1:
            interface = chance.choice(["public", "internal"])
        frame = self._ethernet(packet, interface, ip6=len(source.host) == 16)
        if chance.random() < 0.15:
            frame = self._damaged(frame, 14, 12)  # a test run needs the Ethernet header
        return Came(frame, interface)

    def _strayed(self, source: Address, destination: Address) -> tuple[Address, Address]:
        """Mostly the same addresses, else such as are next to them."""
        chance = self._chance
        match chance.randrange(20):
            case 0:
                return self._next_to(source), destination
            case 1:
                return source, self._next_to(destination)
            case 2:
                return destination, source
        return source, destination

    def _next_to(self, address: Address) -> Address:
        chance = self._chance
        if chance.random() < 0.1:
            return Address(address.host, 0)
        if chance.random() < 0.6:
            return Address(address.host, address.port ^ 1 << chance.randrange(16))
        return Address(self._flipped(address.host), address.port)

    def _route(self) -> Route:
        chance = self._chance
        bench = self._bench
        target = Target(
            chance.choice([1, 1, 1, 2, ELSEWHERE]), chance.randrange(1 << 24), chance.randrange(256)
        )
        return mint(target, bench.keys, now=1.8e9, lifetime=3600, nonce=chance.randbytes(4))

    def _payload(self, flow: FlowTuple) -> bytes:
        chance = self._chance
        kinds: list[Callable[[], bytes]] = [
            lambda: b"\x80" + chance.randbytes(chance.randrange(0, 200)),
            lambda: chance.choice([b"\x16", b"\x90", b"\xbf", b"\x3f"]) + chance.randbytes(50),
            lambda: chance.randbytes(chance.randrange(0, 40)),
            self._of_some_mtu,
            lambda: self._stun(flow),
            lambda: self._stun(flow),
            lambda: self._damaged(self._stun(flow), 0, 0),
            self._announcement,
            lambda: self._flipped(self._announcement()),
        ]
        return chance.choice(kinds)()

    def _announcement(self) -> bytes:
        """What an edge says; of it, the program reads the route alone."""
        size = self._chance.choice([66, 66, 66, 65])
        return b"\x0c\x10" + self._chance.randbytes(size) + self._route().raw + bytes(8)

    def _of_some_mtu(self) -> bytes:
        """A payload that just fits, or just does not, with either family's headers."""
        chance = self._chance
        mtu = chance.choice([self._bench.mtu, 1500])
        return b"\x80" + bytes(mtu - chance.choice([28, 48]) + chance.randrange(-2, 3) - 1)

    def _stun(self, flow: FlowTuple) -> bytes:
        chance = self._chance
        own = flow.route
        raw = chance.choice([own, own, self._route().raw, self._flipped(own), self._flipped(own)])
        ufrag = b64encode(raw)
        names = [ufrag + b":abcd"] * 6 + [ufrag, ufrag[:-1] + b":abcd", ufrag + b"A:x", b"a:b", b""]
        attributes: list[tuple[int, bytes]]
        attributes = [(Attribute.USERNAME, chance.choice(names)), (Attribute.PRIORITY, bytes(4))]
        attributes += [
            (
                chance.choice([Attribute.SOFTWARE, Attribute.MESSAGE_INTEGRITY, 0x001C, 0x0006]),
                value,
            )
            for value in (b"abcde", bytes(20), b"")[: chance.randrange(4)]
        ]
        if chance.random() < 0.4:
            chance.shuffle(attributes)
        kind = chance.choice([MessageClass.REQUEST] * 5 + list(MessageClass))
        method = chance.choice([1] * 9 + [3])
        return Message(kind, method, chance.randbytes(12), tuple(attributes)).serialize()

    def _udp(
        self, source: Address, destination: Address, payload: bytes, odd_checksum: int
    ) -> bytes:
        """A datagram whose checksum is right, missing or wrong."""
        chance = self._chance
        length = 8 + len(payload)
        if chance.random() < 0.03:
            length = chance.choice([0, max(0, length + chance.randrange(-12, 4))])
        head = source.port.to_bytes(2, "big") + destination.port.to_bytes(2, "big")
        head += length.to_bytes(2, "big")
        pseudo = source.host + destination.host + bytes([0, UDP]) + head[4:6]
        right = -ones_sum(pseudo + head + bytes(2) + payload) % 0xFFFF or 0xFFFF
        wrong = [0, 0xFFFF, 1, right ^ 1 << chance.randrange(16), odd_checksum]
        checksum = chance.choice([right] * 8 + wrong)
        return head + checksum.to_bytes(2, "big") + payload

    def _ip(self, source: Address, destination: Address, datagram: bytes) -> bytes:
        ip6 = len(source.host) == 16
        return (self._ip6 if ip6 else self._ip4)(source.host, destination.host, datagram)

    def _ip4(self, source: bytes, destination: bytes, datagram: bytes) -> bytes:
        chance = self._chance
        options = bytes(4 * chance.randrange(1, 11)) if chance.random() < 0.04 else b""
        protocol = UDP if chance.random() < 0.97 else chance.choice(NOT_UDP)
        flags = chance.choice([0, 0x4000] * 12 + [0x2000, 0x8000, chance.randrange(1 << 16)])
        length = 20 + len(options) + len(datagram)
        if chance.random() < 0.02:
            length = max(0, length + chance.randrange(-30, 8))
        header = bytes([0x45 + len(options) // 4, chance.choice(TOS)]) + length.to_bytes(2, "big")
        header += chance.randbytes(2) + flags.to_bytes(2, "big")
        header += bytes([chance.choice(TTL), protocol, 0, 0]) + source + destination + options
        right = -ones_sum(header) % 0xFFFF
        checksum = chance.choice([right] * 12 + [0, 0xFFFF, right ^ 1 << chance.randrange(16)])
        return header[:10] + checksum.to_bytes(2, "big") + header[12:] + datagram

    def _ip6(self, source: bytes, destination: bytes, datagram: bytes) -> bytes:
        chance = self._chance
        following, extension = UDP, b""
        if chance.random() < 0.05:
            following, extension = self._extensions()
        elif chance.random() < 0.03:
            following = chance.choice(NOT_UDP)
        length = len(extension) + len(datagram)
        if chance.random() < 0.02:
            length = max(0, length + chance.randrange(-30, 8))
        word = 6 << 28 | chance.choice(TOS) << 20 | chance.choice([0, chance.randrange(1 << 20)])
        header = word.to_bytes(4, "big") + length.to_bytes(2, "big")
        header += bytes([following, chance.choice(TTL)]) + source + destination
        return header + extension + datagram

    def _extensions(self) -> tuple[int, bytes]:
        """Extension headers, and the kind of the first of them."""
        chance = self._chance
        kind, headers = UDP, b""
        for _ in range(chance.choice([1, 1, 1, 2, 3, 6, 7])):
            before, size = chance.choice(sorted(EXTENSIONS)), chance.choice([0, 0, 1, 2])
            room = {44: 0, 51: 4}.get(before, 8) * size
            rest = chance.choice([bytes(6), chance.randbytes(6)]) + bytes(room)
            headers = bytes([kind, size]) + rest + headers
            kind = before
        return kind, headers

    def _ethernet(self, packet: bytes, interface: str, *, ip6: bool) -> bytes:
        chance = self._chance
        own = self._bench.vlans[interface]
        protocol = b"\x86\xdd" if ip6 else b"\x08\x00"
        if chance.random() < 0.01:
            protocol = chance.choice(
                [b"\x08\x06", b"\x88\xcc", b"\x88\xa8", b"\x86\xdd", b"\x08\0"]
            )
        tags = b""
        if chance.random() < 0.2:
            number = chance.choice([own] * 6 + [0, 4095, 5, 6])
            tags = b"\x81\0" + (number | chance.choice([0, 0xA000, 0x1000])).to_bytes(2, "big")
        if chance.random() < 0.02:
            tags = chance.choice([b"\x81\0", b"\x88\xa8"]) + own.to_bytes(2, "big") + tags
        padding = chance.randbytes(chance.randrange(1, 40)) if chance.random() < 0.1 else b""
        return self._macs(interface) + tags + protocol + packet + padding

    def _macs(self, interface: str) -> bytes:
        """Destination and source: mostly to us, else next to it, or random."""
        chance = self._chance
        own = self._bench.macs[interface]
        others = [self._flipped(own), chance.randbytes(6), b"\xff" * 6]
        to = chance.choice([own] * 15 + others)
        return to + chance.randbytes(6)

    def _damaged(self, data: bytes, shortest: int, first: int) -> bytes:
        """The bytes cut off, but not below a size, or with a few bits flipped early on."""
        chance = self._chance
        if chance.random() < 0.4:
            return data[: chance.randrange(shortest, len(data))]
        for _ in range(chance.randrange(1, 4)):
            data = data[:first] + self._flipped(data[first:80]) + data[80:]
        return data

    def _flipped(self, data: bytes) -> bytes:
        """The same bytes with one bit flipped."""
        bit = self._chance.randrange(8 * len(data))
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)


def _ones_sum_of(ends: tuple[Endpoint, Endpoint]) -> int:
    return sum(ones_sum(address.host) + address.port for address in map(Address.of, ends))
