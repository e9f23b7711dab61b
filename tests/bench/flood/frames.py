"""What strangers send, as packets from the IPv4 header on. Pure, but for what is random."""

import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from relay.wire.checksum import internet_checksum
from relay.wire.endpoint import Endpoint
from tests.bench.compare.traffic import packets
from tests.bench.compare.traffic.checks import MARK_SIZE, binding_request

FRAME_SIZE = 192  # of flood.bpf.c: all frames are as long, with padding behind what is shorter
STRANGERS = "198.18.64.0"  # the first of the addresses that strangers have
RTP = bytes([0x80, 111, 0, 1]) + bytes(136)
DTLS = bytes([22, 254, 253]) + bytes(137)

_COPIES = 16  # frames of a kind that differ
_UFRAGS = 64  # that were seen, of `replayed, many`
_MORE_FRAGMENTS = 0x2000
_ICMP, _UNREACHABLE, _TOO_BIG = 1, 3, 4
_LONGEST = FRAME_SIZE - packets.ETHERNET_SIZE


@dataclass(frozen=True, slots=True)
class Site:
    """What strangers know.

    Attributes:
        vip: Where clients send to.
        ufrags: Makes valid ufrags, as they see them go by.
        pending: Addresses from which checks have come that nobody answers.
    """

    vip: Endpoint
    ufrags: Callable[[], str]
    pending: Sequence[Endpoint]


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet of a flood.

    Attributes:
        packet: It, from the IPv4 header on.
        strange: Whether each comes from an address of its own.
    """

    packet: bytes
    strange: bool = True

    @property
    def rest(self) -> int:
        """The sum of the header's words without its source and checksum (RFC 1071)."""
        words: tuple[int, ...] = struct.unpack("!10H", self.packet[:20])
        return sum(words) - words[5] - words[6] - words[7]


def forged(site: Site, random: Random) -> list[Sent]:
    """Checks with ufrags that nobody has signed."""
    return [_check(site, _forged(site.ufrags(), random)) for _ in range(_COPIES)]


def replayed(site: Site, _: Random) -> list[Sent]:
    """One check that was seen."""
    return [_check(site, site.ufrags())]


def replayed_many(site: Site, _: Random) -> list[Sent]:
    """Checks of many sessions that were seen."""
    return [_check(site, site.ufrags()) for _ in range(_UFRAGS)]


def junk(site: Site, random: Random) -> list[Sent]:
    """Random bytes, of random length."""
    sizes = [random.randint(0, _LONGEST - 28) for _ in range(_COPIES)]
    return [_sent(site, random.randbytes(size)) for size in sizes]


def media(site: Site, _: Random) -> list[Sent]:
    """RTP and DTLS of nobody."""
    return [_sent(site, RTP), _sent(site, DTLS)]


def pending_media(site: Site, _: Random) -> list[Sent]:
    """RTP and DTLS of those whose checks were not answered."""
    return [
        Sent(_unsummed(packets.packet(client, site.vip, payload)), strange=False)
        for client in site.pending
        for payload in (RTP, DTLS)
    ]


def icmp(site: Site, random: Random) -> list[Sent]:
    """Errors about packets that the relay may have sent."""
    found = []
    for _ in range(_COPIES):
        elsewhere = Endpoint(f"198.18.0.{random.randint(1, 20)}", random.randint(10_000, 59_999))
        quoted = packets.packet(site.vip, elsewhere, RTP)[:28]
        head = bytes([_UNREACHABLE, _TOO_BIG, 0, 0, 0, 0]) + (576).to_bytes(2, "big")
        error = head + quoted
        checksum = internet_checksum(error).to_bytes(2, "big")
        error = error[:2] + checksum + error[4:]
        found.append(Sent(_ip(site, _ICMP, error), strange=False))
    return found


def fragments(site: Site, random: Random) -> list[Sent]:
    """First fragments of datagrams whose other ones never come."""
    made = []
    for _ in range(_COPIES):
        whole = bytearray(_sent(site, random.randbytes(140)).packet[:-4])  # a multiple of 8 bytes
        whole[2:4] = len(whole).to_bytes(2, "big")
        whole[4:8] = random.randbytes(2) + _MORE_FRAGMENTS.to_bytes(2, "big")
        whole[10:12] = internet_checksum(bytes(whole[:10] + whole[12:20])).to_bytes(2, "big")
        made.append(Sent(bytes(whole)))
    return made


_EACH: Mapping[str, Callable[[Site, Random], list[Sent]]] = {
    "forged STUN": forged,
    "one replayed ufrag": replayed,
    "64 replayed ufrags": replayed_many,
    "junk": junk,
    "media of nobody": media,
    "media of pending flows": pending_media,
    "ICMP errors": icmp,
    "fragments": fragments,
}
ALL_KINDS = "all of these"
KINDS = (*_EACH, ALL_KINDS)


def make(kind: str, site: Site, random: Random) -> list[Sent]:
    """The frames of a kind."""
    if kind != ALL_KINDS:
        return _EACH[kind](site, random)
    return [each for made in _EACH.values() for each in made(site, random)[:_COPIES]]


def _check(site: Site, ufrag: str) -> Sent:
    mark = secrets.token_bytes(MARK_SIZE)
    return Sent(_unsummed(binding_request(_stranger(), site.vip, ufrag, mark, 0)))


def _forged(ufrag: str, random: Random) -> str:
    return ufrag[:20] + "".join(random.choices("ABCDEFGHabcdefgh01234567", k=8))


def _sent(site: Site, payload: bytes) -> Sent:
    return Sent(_unsummed(packets.packet(_stranger(), site.vip, payload)))


def _stranger() -> Endpoint:
    return Endpoint(STRANGERS, 1024)


def _unsummed(packet: bytes) -> bytes:
    """The same without a UDP checksum, so that the source can change."""
    return packet[:26] + bytes(2) + packet[28:]


def _ip(site: Site, protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, packets.TTL, protocol, 0)
    addresses = Endpoint(STRANGERS, 0).packed[12:16] + site.vip.packed[12:16]
    checksum = internet_checksum(head + addresses).to_bytes(2, "big")
    return head[:10] + checksum + addresses + payload
