"""Every kind of packet in the tables of docs/verdicts.md by its name there: how one is made."""

import secrets
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scapy.layers.inet import IP, UDP, IPOption_NOP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass

UNKNOWN_SLOT = 77
UNKNOWN_VLAN = 77


@dataclass
class Talk:
    """Who sends what to whom.

    Attributes:
        keys: The cluster's keys.
        target: Who the flow's route leads to.
        other: Another transceiver.
        macs: Source and destination of frames.
        source: The sender.
        destination: The relay's side.
    """

    keys: KeyRing
    target: Target
    other: Target
    macs: tuple[str, str]
    source: Endpoint
    destination: Endpoint

    def ufrag(self, target: Target | None = None, *, lifetime: float = 3600.0) -> str:
        """A new ufrag, of the flow's transceiver unless another is named."""
        long_ago = 86400.0 if lifetime < 0 else 0.0  # then it has expired
        now, nonce = time.time() - long_ago, secrets.token_bytes(4)
        return mint(
            target or self.target, self.keys, now=now, lifetime=abs(lifetime), nonce=nonce
        ).ufrag

    def retired(self, target: Target) -> str:
        """A ufrag that is signed with a key which the relay has not got."""
        keys = KeyRing({5: bytes(32)}, signing_slot=5)
        return mint(target, keys, now=time.time(), lifetime=60, nonce=secrets.token_bytes(4)).ufrag


def message(kind: MessageClass, *attributes: tuple[int, bytes], method: int = BINDING) -> bytes:
    """A STUN message with a transaction of its own."""
    return Message(kind, method, secrets.token_bytes(12), attributes).serialize(b"password")


def request(ufrag: str) -> bytes:
    """A Binding request."""
    return message(MessageClass.REQUEST, (Attribute.USERNAME, f"{ufrag}:peer".encode()))


def forged(ufrag: str) -> str:
    """The ufrag with another tag."""
    return ufrag[:-1] + ("A" if ufrag[-1] != "A" else "B")


def behind_integrity(ufrag: str) -> bytes:
    """A Binding request whose USERNAME comes too late to count."""
    first = (Attribute.MESSAGE_INTEGRITY, bytes(20))
    return message(MessageClass.REQUEST, first, (Attribute.USERNAME, f"{ufrag}:peer".encode()))


def over_the_end(ufrag: str) -> bytes:
    """A Binding request whose USERNAME is longer than the message."""
    data = bytearray(request(ufrag))
    data[22:24] = struct.pack("!H", 1000)
    return bytes(data)


def other_cookie(data: bytes) -> bytes:
    """The message with another magic cookie."""
    return data[:4] + bytes(4) + data[8:]


def wrong_length(data: bytes) -> bytes:
    """The message with a length field that is 4 too small."""
    return data[:2] + struct.pack("!H", len(data) - 24) + data[4:]


def unlike(first: int, size: int = 40) -> bytes:
    """Bytes that begin so, and like no others'."""
    return bytes([first]) + secrets.token_bytes(size)


@dataclass(frozen=True)
class Kind:
    """A kind of packet.

    Attributes:
        payload: Makes what the datagram carries.
        version: The IP version.
        ip: Fields of its IP header.
        udp: Fields of its UDP header.
        ethernet: Fields of its Ethernet header.
        vlan: Its tag.
        options: Whether there is an extension header with options.
        fragments: In how many parts it comes.
        from_client_side: Whether it comes in where clients do, whoever is said to send it.
    """

    payload: Callable[[Talk], bytes]
    version: int = 4
    ip: Mapping[str, Any] = field(default_factory=dict)
    udp: Mapping[str, Any] = field(default_factory=dict)
    ethernet: Mapping[str, Any] = field(default_factory=dict)
    vlan: int | None = None
    options: bool = False
    fragments: int = 1
    from_client_side: bool = False

    def frames(self, talk: Talk, payload: bytes) -> list[bytes]:
        """The frames that carry a payload."""
        ends: dict[str, Any] = {"src": talk.source.host, "dst": talk.destination.host}
        ports = {"sport": talk.source.port, "dport": talk.destination.port}
        ether = Ether(**{"src": talk.macs[0], "dst": talk.macs[1], **self.ethernet})
        if self.vlan is not None:
            ether /= Dot1Q(vlan=self.vlan, prio=5)
        ip = (IPv6 if self.version == 6 else IP)(**ends | dict(self.ip))
        if self.options:
            ip /= IPv6ExtHdrDestOpt()
        packet = ip / UDP(**ports | dict(self.udp)) / Raw(payload)
        if self.fragments == 1:
            return [bytes(ether / packet)]
        parts = fragment(packet, fragsize=len(payload) // 2 & ~7)  # type: ignore[no-untyped-call]
        return [bytes(ether / each) for each in parts]


def variants(payload: Callable[[Talk], bytes]) -> dict[str, Kind]:
    """The kinds that tell by their headers."""
    return {
        "IPv6": Kind(payload, version=6),
        "IPv4 options": Kind(payload, ip={"options": [IPOption_NOP()] * 4}),
        "IPv6 destination options": Kind(payload, version=6, options=True),
        "two fragments": Kind(lambda talk: padded(payload(talk)), fragments=2),
        "TTL 2": Kind(payload, ip={"ttl": 2}),
        "TTL 1": Kind(payload, ip={"ttl": 1}),
        "hop limit 1": Kind(payload, version=6, ip={"hlim": 1}),
        "IPv4 without UDP checksum": Kind(payload, udp={"chksum": 0}),
        "IPv6 without UDP checksum": Kind(payload, version=6, udp={"chksum": 0}),
        "wrong UDP checksum": Kind(payload, udp={"chksum": 0x1234}),
        "wrong IPv4 header checksum": Kind(payload, ip={"chksum": 0x1234}),
        "UDP length beyond the packet": Kind(payload, udp={"len": 1400}),
        "IPv6 with a UDP length of 0": Kind(payload, version=6, udp={"len": 0}),
        "to another MAC address": Kind(payload, ethernet={"dst": "02:12:34:56:78:9a"}),
        "to the broadcast MAC address": Kind(payload, ethernet={"dst": "ff:ff:ff:ff:ff:ff"}),
        "to a multicast MAC address": Kind(payload, ethernet={"dst": "01:00:5e:00:00:01"}),
        "priority tag (VLAN 0)": Kind(payload, vlan=0),
        "VLAN that the host has not got": Kind(payload, vlan=UNKNOWN_VLAN),
        "source port 0": Kind(payload, udp={"sport": 0}),
    }


def padded(data: bytes) -> bytes:
    """A STUN message with an attribute more, so that it can be cut in two."""
    more = struct.pack("!HH", Attribute.SOFTWARE, 400) + bytes(400)
    return data[:2] + struct.pack("!H", len(data) - 20 + len(more)) + data[4:] + more


def indication(_: Talk) -> bytes:
    """A Binding indication."""
    return message(MessageClass.INDICATION)


def _from(host: str) -> Kind:
    """A Binding request from an address that no client has."""
    return Kind(lambda talk: request(talk.ufrag()), version=6, ip={"src": host})


BOTH_WAYS = {
    "DTLS": Kind(lambda _: unlike(22)),
    "RTP": Kind(lambda _: unlike(0x80)),
    "ZRTP": Kind(lambda _: unlike(0x10)),
    "TURN channel data": Kind(lambda _: unlike(0x40)),
    "empty datagram": Kind(lambda _: b""),
    "first byte 4 to 15": Kind(lambda _: unlike(0x0C)),
    "first byte 80 to 127": Kind(lambda _: unlike(0x50)),
    "first byte 192 to 255": Kind(lambda _: unlike(0xC0)),
    "Binding indication": Kind(indication),
    "STUN, cut off": Kind(lambda talk: request(talk.ufrag())[:-1]),
    "STUN with another cookie": Kind(lambda talk: other_cookie(request(talk.ufrag()))),
    "STUN with a wrong length": Kind(lambda talk: wrong_length(request(talk.ufrag()))),
}
FROM_CLIENT = (
    BOTH_WAYS
    | variants(lambda talk: request(talk.ufrag()))
    | {
        "Binding request": Kind(lambda talk: request(talk.ufrag())),
        "... with an expired route": Kind(lambda talk: request(talk.ufrag(lifetime=-60))),
        "... with a wrong tag": Kind(lambda talk: request(forged(talk.ufrag()))),
        "... with a retired key": Kind(lambda talk: request(talk.retired(talk.target))),
        "... with a ufrag that is no route": Kind(lambda _: request("nobody")),
        "... without USERNAME": Kind(lambda _: message(MessageClass.REQUEST)),
        "... with USERNAME behind MESSAGE-INTEGRITY": Kind(
            lambda talk: behind_integrity(talk.ufrag())
        ),
        "... with USERNAME over the end": Kind(lambda talk: over_the_end(talk.ufrag())),
        "... to another transceiver": Kind(lambda talk: request(talk.ufrag(talk.other))),
        "... to another transceiver, with a wrong tag": Kind(
            lambda talk: request(forged(talk.ufrag(talk.other)))
        ),
        "... to another transceiver, with a retired key": Kind(
            lambda talk: request(talk.retired(talk.other))
        ),
        "... to a transceiver that is not registered": Kind(
            lambda talk: request(talk.ufrag(talk.other._replace(slot=UNKNOWN_SLOT)))
        ),
        "from an IPv6 address of the relay": _from("2001:db8:2::1"),
        "from the unspecified IPv6 address": _from("::"),
        "from an IPv4 address written as IPv6": _from("::ffff:127.0.0.1"),
        "Binding success": Kind(lambda _: message(MessageClass.SUCCESS)),
        "Allocate request": Kind(
            lambda talk: message(
                MessageClass.REQUEST,
                (Attribute.USERNAME, f"{talk.ufrag()}:peer".encode()),
                method=3,
            )
        ),
    }
)
FROM_TRANSCEIVER = (
    BOTH_WAYS
    | variants(indication)
    | {
        "Binding success that nobody asked for": Kind(lambda _: message(MessageClass.SUCCESS)),
        "Binding request": Kind(lambda _: request("any")),
        "from another port than the flow's transceiver": Kind(indication, udp={"sport": 4999}),
        "from the clients' side": Kind(indication, from_client_side=True),
    }
)
