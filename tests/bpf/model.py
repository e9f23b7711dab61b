"""The program a second time, in Python: what is to become of a frame, and what it is then.

It is written from docs/verdicts.md and the RFCs to be read, not to be fast, and shares no code with
the program. Addresses are raw bytes here, 4 or 16 of them. STUN and routes are read by relay.wire,
which is itself the second reader of those.

One's complement sums are numbers modulo 0xffff, so the sum of some bytes is the remainder of one
large number (RFC 1071, section 2). What a right checksum covers sums up to nothing; with a wrong
one, it sums up to how wrong it is, and a packet that is forwarded has to keep this sum.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.core.flowtuple import FlowTuple
from relay.wire.demux import Kind, classify
from relay.wire.errors import StunError
from relay.wire.keys import KeyRing
from relay.wire.route import Target, decode
from relay.wire.stun import BINDING, MessageClass, header, server_ufrag
from tests.bpf.packet import UDP, Address, Packet, Stop, Wrapped, read_ip4, read_ip6
from tests.relay.wire.verdict import (
    NO_ROUTE,
    ROUTED,
    announcement_verdict,
    request_verdict,
    verdict,
)

TO_TRANSCEIVER, TO_CLIENT = "to_transceiver", "to_client"
DROPPED = {
    "group_mac",
    "zero_length",
    "zero_checksum",
    "zero_port",
    "ttl_expired",
    "wrong_side",
    "not_webrtc",
    "stun_malformed",
    "stun_not_request",
    "stun_no_route",
    "stun_unknown_key",
    "stun_forged",
}
# What passes at a limited rate, and what it is called beyond that.
LIMITED = {
    "stun_routed": "stun_ufrag_limited",
    "stun_other_route": "stun_ufrag_limited",
    "stun_remote": "stun_remote_limited",
    "edge_announced": "stun_ufrag_limited",
    "stun_answer": "stun_answer_limited",
    "unknown_client": "unknown_client_limited",
    "unknown_transceiver": "unknown_transceiver_limited",
}


@dataclass(frozen=True)
class Entry:
    """One direction of a flow: what its packets are rewritten to."""

    flow: FlowTuple
    direction: str
    source: Address
    destination: Address


@dataclass(frozen=True)
class Way:
    """The way to a host: where it leads, or why nowhere.

    Attributes:
        reason: Why the FIB sends nothing there; None if it does.
        mtu: Of the interface.
        interface: Where it leaves, in the program's eyes.
        vlan: The tag that it leaves with; 0 for none.
        ethernet: Destination and source MAC address.
    """

    reason: str | None = None
    mtu: int = 1500
    interface: str = ""
    vlan: int = 0
    ethernet: bytes = b""


@dataclass(frozen=True)
class Expected:
    """What is to become of a frame.

    Attributes:
        verdict: drop, pass, tx or redirect.
        frame: What leaves the program.
        reason: What it is counted under.
        entry: Whose packet it is, when it is forwarded.
        payload_length: Bytes that the flow counts for it.
    """

    verdict: str
    frame: bytes
    reason: str
    entry: Entry | None = None
    payload_length: int = 0


@dataclass
class Model:
    """What the program knows, and what it makes of a frame.

    Attributes:
        keys: The keys of routes.
        cluster: The one whose keys the program has.
        vips: The public addresses.
        upstreams: The internal ones with their ports.
        vlans: The VLANs above each interface.
        macs: The MAC address of each interface.
        transceivers_behind: The interfaces that packets of transceivers may come in through.
        ways: The way to each host that is the end of a flow.
        policy_tos: Packets marked so find a hole instead of a way.
        unlimited: Whether what is limited passes: all of it, or nothing.
        entries: The flows, by what comes of them.
        expected: The clients, with their VIPs, whose flows other relays have.
    """

    keys: KeyRing
    cluster: int
    vips: frozenset[Address]
    upstreams: Mapping[bytes, range]
    vlans: Mapping[str, frozenset[int]]
    macs: Mapping[str, bytes]
    transceivers_behind: frozenset[str]
    ways: Mapping[bytes, Way]
    policy_tos: int
    unlimited: bool = True
    entries: dict[tuple[Address, Address], Entry] = field(default_factory=dict)
    expected: set[tuple[Address, Address]] = field(default_factory=set)

    def expect(self, flow: FlowTuple) -> None:
        """Another relay has this flow, whose client may come."""
        self.expected.add((Address.of(flow.client), Address.of(flow.vip)))

    def install(self, flow: FlowTuple) -> None:
        """Take a flow in, both directions."""
        client, vip, upstream, transceiver = (
            Address.of(end) for end in (flow.client, flow.vip, flow.upstream, flow.transceiver)
        )
        self.entries[client, vip] = Entry(flow, TO_TRANSCEIVER, upstream, transceiver)
        self.entries[transceiver, upstream] = Entry(flow, TO_CLIENT, vip, client)

    def run(self, frame: bytes, interface: str) -> Expected:
        """What is to become of a frame that comes in through an interface."""
        try:
            packet = self._read(frame, interface)
            entry = self.entries.get((packet.source, packet.destination))
            self._require_ours(packet, entry, frame[:6], interface)
            way = self._find_way(packet, entry)
            assert entry is not None
        except Stop as stop:
            return self._stopped(frame, stop)
        sent = _ethernet(way, entry.destination) + _rewritten(packet, entry) + packet.padding
        return Expected(
            "tx" if way.interface == interface else "redirect",
            sent,
            f"forwarded_{entry.direction}",
            entry,
            len(packet.payload),
        )

    def _stopped(self, frame: bytes, stop: Stop) -> Expected:
        reason = str(stop)
        if not self.unlimited and reason in LIMITED:
            return Expected("drop", frame, LIMITED[reason])
        if not self.unlimited and isinstance(stop, Wrapped):
            ours = stop.destination is not None and self._direction(stop.destination)
            if ours or stop.unreadable:
                return Expected("drop", frame, f"{reason}_limited")
        return Expected("drop" if reason in DROPPED else "pass", frame, reason)

    def _read(self, frame: bytes, interface: str) -> Packet:
        protocol, rest = int.from_bytes(frame[12:14], "big"), frame[14:]
        vlan = None
        if protocol == 0x8100:
            if len(rest) < 4:
                raise Stop("malformed")
            vlan = int.from_bytes(rest[:2], "big") & 0xFFF
            protocol, rest = int.from_bytes(rest[2:4], "big"), rest[4:]
        if protocol in (0x8100, 0x88A8):
            raise Stop("vlan_stacked")
        if protocol not in (0x0800, 0x86DD):
            raise Stop("not_ip")
        packet = read_ip4(rest) if protocol == 0x0800 else read_ip6(rest)
        if vlan and vlan not in self.vlans[interface]:
            raise Stop("vlan_unknown")
        return packet

    def _require_ours(
        self, packet: Packet, entry: Entry | None, mac: bytes, interface: str
    ) -> None:
        """Stop all but what is to be forwarded, as far as that needs no look at the way out."""
        direction = entry.direction if entry else self._direction(packet.destination)
        if direction is None:
            raise Stop("not_ours")
        if mac[0] & 1:
            raise Stop("group_mac")
        if mac != self.macs[interface]:
            raise Stop("other_host")
        if direction == TO_CLIENT and interface not in self.transceivers_behind:
            raise Stop("wrong_side")
        _require_complete(packet)
        if entry is not None:
            if direction == TO_TRANSCEIVER and _is_request(packet.payload):
                self._require_its_route(packet.payload, entry.flow)
            if _is_control(packet.payload):
                if direction == TO_CLIENT:
                    raise Stop("control")
                raise Stop(announcement_verdict(packet.payload, self.keys, self.cluster))
        elif direction == TO_TRANSCEIVER:
            reason = verdict(packet.payload, self.keys, self.cluster)
            is_expected = (packet.source, packet.destination) in self.expected
            raise Stop("dormant_client" if reason == "unknown_client" and is_expected else reason)
        else:
            raise Stop(_unknown_transceiver(packet.payload))

    def _direction(self, destination: Address) -> str | None:
        if destination in self.vips:
            return TO_TRANSCEIVER
        return TO_CLIENT if destination.port in self.upstreams.get(destination.host, ()) else None

    def _require_its_route(self, payload: bytes, flow: FlowTuple) -> None:
        """Stop a Binding request whose route is another than the flow's."""
        found = request_verdict(payload, self.keys, self.cluster)
        if found == NO_ROUTE or _target(payload) == decode(flow.route).target:
            return
        raise Stop("stun_other_route" if found == ROUTED else found)

    def _find_way(self, packet: Packet, entry: Entry | None) -> Way:
        assert entry is not None
        to_ip6 = len(entry.destination.host) == 16
        if len(packet.ip_header) > (40 if packet.is_ip6 else 20):
            raise Stop("ip_options")
        if to_ip6 and packet.checksum == 0:
            raise Stop("needs_checksum")
        if to_ip6 and not packet.is_ip6 and ones_sum(packet.ip_header) != 0:
            raise Stop("malformed")  # the new header has nothing to tell by that this one was wrong
        way = self.ways[entry.destination.host]
        # A rule without a mask of its own compares the old three TOS bits in IPv4 (ip-rule(8)).
        if packet.tos & (0xFC if to_ip6 else 0x1C) == self.policy_tos or way.reason == "no_route":
            raise Stop("no_route")
        if way.reason == "no_neighbour":
            raise Stop("no_neighbour")
        if (40 if to_ip6 else 20) + packet.ip_length > way.mtu:
            raise Stop("too_big")
        if way.reason:
            raise Stop(way.reason)
        return way


def _require_complete(packet: Packet) -> None:
    """Stop what nobody may forward, or could answer."""
    if packet.udp[4:6] == bytes(2):
        raise Stop("zero_length")
    if packet.is_ip6 and packet.checksum == 0:
        raise Stop("zero_checksum")
    if packet.source.port == 0:
        raise Stop("zero_port")
    if packet.ttl <= 1:
        raise Stop("ttl_expired")


def _is_request(payload: bytes) -> bool:
    try:
        head = header(payload)
    except StunError:
        return False
    return (head.message_class, head.method) == (MessageClass.REQUEST, BINDING)


def _is_control(payload: bytes) -> bool:
    """Whether a datagram is of no protocol that RFC 7983 knows."""
    known = (range(4), range(16, 80), range(128, 192))
    return bool(payload) and not any(payload[0] in each for each in known)


def _target(request: bytes) -> Target:
    """Where a request's route leads, be it signed or not."""
    return decode(b64decode(server_ufrag(request))).target


def _unknown_transceiver(payload: bytes) -> str:
    match classify(payload):
        case Kind.STUN:
            try:
                header(payload)
            except StunError:
                return "stun_malformed"
            return "stun_answer"
        case Kind.DTLS | Kind.RTP:
            return "unknown_transceiver"
        case Kind.OTHER:
            return "not_webrtc"


def ones_sum(data: bytes) -> int:
    """The one's complement sum of 16-bit words, modulo 0xffff."""
    return int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF


def _ethernet(way: Way, destination: Address) -> bytes:
    protocol = b"\x86\xdd" if len(destination.host) == 16 else b"\x08\x00"
    tag = b"\x81\x00" + way.vlan.to_bytes(2, "big") if way.vlan else b""
    return way.ethernet + tag + protocol


def _rewritten(packet: Packet, entry: Entry) -> bytes:
    """IP header and datagram as they leave."""
    to_ip6 = len(entry.destination.host) == 16
    if packet.is_ip6 == to_ip6:
        ip = _changed_ip6(packet, entry) if to_ip6 else _changed_ip4(packet, entry)
    else:
        ip = _new_ip6(packet, entry) if to_ip6 else _new_ip4(packet, entry)
    return ip + _changed_udp(packet, entry)


def _changed_ip4(packet: Packet, entry: Entry) -> bytes:
    old = packet.ip_header
    new = old[:8] + bytes([old[8] - 1]) + old[9:12]
    new += entry.source.host + entry.destination.host
    return new[:10] + _equally_wrong(old, new, 10).to_bytes(2, "big") + new[12:]


def _equally_wrong(old: bytes, new: bytes, at: int) -> int:
    """The checksum at an offset of `new` that is as wrong as that of `old` is, or as right."""
    return (ones_sum(old) - ones_sum(new[:at] + bytes(2) + new[at + 2 :])) % 0xFFFF


def _changed_ip6(packet: Packet, entry: Entry) -> bytes:
    old = packet.ip_header
    return old[:7] + bytes([old[7] - 1]) + entry.source.host + entry.destination.host


def _new_ip4(packet: Packet, entry: Entry) -> bytes:
    """RFC 7915, section 5.1: no identification, do not fragment."""
    size = 20 + packet.ip_length
    new = bytes([0x45, packet.tos]) + size.to_bytes(2, "big") + b"\0\0\x40\0"
    new += bytes([packet.ttl - 1, UDP, 0, 0]) + entry.source.host + entry.destination.host
    return new[:10] + (-ones_sum(new) % 0xFFFF).to_bytes(2, "big") + new[12:]


def _new_ip6(packet: Packet, entry: Entry) -> bytes:
    """RFC 7915, section 4.1: flow label 0."""
    word = 6 << 28 | packet.tos << 20
    new = word.to_bytes(4, "big") + packet.ip_length.to_bytes(2, "big")
    return new + bytes([UDP, packet.ttl - 1]) + entry.source.host + entry.destination.host


def _changed_udp(packet: Packet, entry: Entry) -> bytes:
    old = packet.udp
    ports = entry.source.port.to_bytes(2, "big") + entry.destination.port.to_bytes(2, "big")
    new = ports + old[4:]
    if packet.checksum == 0:
        return new
    # The rest of the pseudo-header, length and protocol, counts the same before and after.
    before = packet.source.host + packet.destination.host + old
    hosts = entry.source.host + entry.destination.host
    checksum = _equally_wrong(before, hosts + new, len(hosts) + 6)
    return new[:6] + (checksum or 0xFFFF).to_bytes(2, "big") + new[8:]
