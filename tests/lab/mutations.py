"""What a client with valid keys can send that no client should: seeded, and kept as bytes.

An `Item` is what is put into a client's call, encrypted with its keys. Numbers that only the call
knows are filled in when it is sent: an RTP packet with SSRC 0 becomes the next one of the client's
own stream, and an SSRC of 0 in front of RTCP becomes the client's.
"""

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import pylibsrtp

from relay.wire.stun import MAGIC_COOKIE, Attribute
from tests.lab.thinclient import ThinClient
from tests.lab.thinsctp import BINARY, DCEP, STRING, WHOLE, chunk, open_channel, packet

OTHER = 0xDEADBEEF  # an SSRC that is not the client's
_OWN = b"\0\0\0\0"


class Item(NamedTuple):
    """Something to be sent in a call.

    Attributes:
        kind: ``rtp``, ``rtcp``, ``check`` (more attributes of a valid check), ``stun`` and ``dtls``
            (a datagram as it is), ``sctp`` (a packet), ``chunks`` (of a valid packet), ``data``
            (stream, protocol and flags in front of a message).
        content: The bytes.
    """

    kind: str
    content: bytes

    def dump(self) -> str:
        """A line of a corpus."""
        return json.dumps({"kind": self.kind, "hex": self.content.hex()})

    @classmethod
    def load(cls, line: str) -> "Item":
        """Read a line of a corpus."""
        read = json.loads(line)
        return cls(read["kind"], bytes.fromhex(read["hex"]))


def send(item: Item, client: ThinClient) -> bool:
    """Send an item in a client's call; False where libsrtp refuses to encrypt it."""
    content = item.content
    try:
        match item.kind:
            case "rtp":
                client.send_rtp(_filled_in(content, client))
            case "rtcp":
                own = client.ssrc.to_bytes(4, "big")
                is_own = content[4:8] == _OWN
                client.send_rtcp(content[:4] + own + content[8:] if is_own else content)
            case "check":
                client.send(client.binding(*_attributes(content)))
            case "sctp":
                client.send_data(content or bytes(1))  # there are no empty records
            case "chunks":
                client.sctp.send_chunks(content)
            case "data":
                stream, protocol, flags = struct.unpack_from("!HIB", content)
                client.sctp.send_data(stream, protocol, content[7:], flags)
            case _:
                client.send(content)
    except (pylibsrtp.Error, ValueError):  # the latter where it is longer than a datagram may be
        return False
    return True


def _filled_in(content: bytes, client: ThinClient) -> bytes:
    if content[8:12] != _OWN:
        return content
    head = client.sequence.to_bytes(2, "big") + client.timestamp.to_bytes(4, "big")
    client.sequence = client.sequence + 1 & 0xFFFF
    client.timestamp = client.timestamp + 960 & 0xFFFFFFFF
    return content[:2] + head + client.ssrc.to_bytes(4, "big") + content[12:]


def _attributes(content: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at + 4 <= len(content):
        kind, length = struct.unpack_from("!HH", content, at)
        found.append((kind, content[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def _some(random: Random, most: int) -> bytes:
    return random.randbytes(random.choice((0, 1, 2, 3, 4, 7, 8, random.randrange(most + 1))))


def rtp(random: Random) -> Item:
    """RTP: header extensions of any form, padding, sources, payload types and payloads."""
    csrcs, extension, padding = b"", b"", b""
    first = 0x80
    if random.random() < 0.3:
        count = random.randrange(1, 16)
        first |= count
        csrcs = random.randbytes(4 * count)
    if random.random() < 0.5:
        first |= 0x10
        profile = random.choice((0xBEDE, 0xBEDE, 0x1000, 0x100F, 0, random.getrandbits(16)))
        block = _block(random)
        extension = struct.pack("!HH", profile, len(block) // 4) + block
    payload = random.choice((b"", b"\xff", b"\xfc\xff\xfe", _some(random, 1100)))
    if random.random() < 0.4:
        first |= 0x20
        size = random.choice((0, 1, 4, 255, len(payload), len(payload) + 1, 16))
        padding = bytes(max(0, min(size, 255) - 1)) + bytes((size & 0xFF,))
    kind = random.choice((111, 111, 0, 8, 13, 101, 126, 63, 96, random.getrandbits(6)))
    marker = random.choice((0, 0x80))
    own = random.random() < 0.8
    ssrc = 0 if own else random.choice((OTHER, random.getrandbits(32) | 1))
    head = struct.pack(
        "!BBHII", first, kind | marker, random.getrandbits(16), random.getrandbits(32), ssrc
    )
    return Item("rtp", head + csrcs + extension + payload + padding)


def _block(random: Random) -> bytes:
    """A header extension, well-formed or not; whole words."""
    made = b""
    for _ in range(random.randrange(5)):
        identifier, size = random.randrange(16), random.randrange(16)
        form = random.choice(("one", "two", "zeros", "junk"))
        if form == "one":
            made += bytes((identifier << 4 | size,)) + random.randbytes(size + 1)
        elif form == "two":
            made += bytes((random.randrange(256), size)) + random.randbytes(size)
        else:
            made += bytes(size) if form == "zeros" else random.randbytes(size)
    made = made[: random.randrange(len(made) + 1)] if random.random() < 0.3 else made
    return made + bytes(-len(made) % 4)


def rtcp(random: Random) -> Item:
    """RTCP: counts that run over, feedback of all kinds, unknown types, goodbyes."""
    parts = [_report(random) for _ in range(random.choice((1, 1, 2, 3, 8)))]
    content = b"".join(parts)[:1200]
    return Item("rtcp", content + bytes(max(0, 8 - len(content))))


def _report(random: Random) -> bytes:
    kind = random.choice(
        (200, 201, 202, 203, 203, 204, 205, 206, 206, 207, random.randrange(192, 224))
    )
    count = random.choice((0, 1, 2, 15, 31, random.randrange(32)))
    sender = random.choice((_OWN, _OWN, OTHER.to_bytes(4, "big")))
    body = sender + random.choice(
        (
            b"",
            random.randbytes(4 * random.randrange(40)),
            random.randbytes(4) + b"REMB" + bytes((random.randrange(256),)) + _some(random, 40),
            bytes((1, 255)) + b"cname",  # an item that runs over
            bytes((random.randrange(9), random.randrange(256))) + _some(random, 60),
            random.randbytes(8)
            + struct.pack("!HH", random.getrandbits(16), 0xFFFF)
            + _some(random, 80),
        )
    )
    body += bytes(-len(body) % 4)
    words = random.choice((len(body) // 4, len(body) // 4, 0, 1, 0xFFFF, random.getrandbits(16)))
    padding = random.choice((0, 0, 0x20))
    return struct.pack("!BBH", 0x80 | padding | count, kind, words) + body


def stun(random: Random) -> Item:
    """STUN: valid checks with odd attributes, and messages that are not valid."""
    if random.random() < 0.6:
        made = b""
        for _ in range(random.randrange(1, 6)):
            value = _some(random, 200)
            kind = random.choice((*Attribute, 0x7FFF, 0xFFFF, 0xC070, random.getrandbits(16)))
            made += struct.pack("!HH", kind, len(value)) + value
        return Item("check", made)
    body = _some(random, 300)
    body += bytes(-len(body) % 4)
    length = random.choice((len(body), len(body), 0, 0xFFFC, random.getrandbits(16)))
    kind = random.choice((1, 0x101, 0x111, 0x11, 3, random.getrandbits(14)))
    head = struct.pack("!HHI", kind, length, random.choice((MAGIC_COOKIE, random.getrandbits(32))))
    return Item("stun", head + random.randbytes(12) + body)


def dtls(random: Random) -> Item:
    """DTLS: records that are not of this association, alerts among them, and junk."""
    content = random.choice((b"\x01\x00", b"\x02\x28", _some(random, 1000)))
    kind = random.choice((20, 21, 22, 23, 24, 25, 26, random.randrange(20, 64)))
    version = random.choice((0xFEFD, 0xFEFF, 0xFEFC, random.getrandbits(16)))
    length = random.choice((len(content), len(content), 0, 0xFFFF))
    head = struct.pack(
        "!BHHHIH", kind, version, random.choice((0, 1, 2)), 0, random.getrandbits(32), length
    )
    return Item("dtls", (head + content)[: random.choice((2000, 2000, 5, 12))])


def sctp(random: Random) -> Item:
    """SCTP: chunks of all types with lengths that lie, unfinished and odd data, junk."""
    if random.random() < 0.15:
        return Item(
            "sctp", random.choice((_some(random, 1000), packet(random.getrandbits(32), b"")))
        )
    if random.random() < 0.4:
        flags = random.choice((WHOLE, 0, 1, 2, 4, 7, 0xFF))
        head = struct.pack("!HIB", random.choice((0, 1, 2, 1023, 65535)), _protocol(random), flags)
        return Item("data", head + _some(random, 1000))
    # 6 and 7 to 9 end the association, which they may: such a test would then test nothing more.
    kind = random.choice((1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 64, 128, 130, 192, 193, 255))
    value = _some(random, 400)
    length = random.choice((None, None, None, 0, 3, 4, 0xFFFF, random.getrandbits(16)))
    return Item("chunks", chunk(kind, random.getrandbits(8), value, length))


def _protocol(random: Random) -> int:
    return random.choice((DCEP, STRING, BINARY, 52, 54, 56, 57, 0, random.getrandbits(32)))


def messages(random: Random) -> Item:
    """Data channels: DCEP that lies, texts that are none, events that nobody sends."""
    stream = random.choice((0, 0, 0, 1, 2, 3, 4, 1023, 65534, 65535))
    opening = open_channel(_some(random, 100), random.getrandbits(8), _some(random, 20))
    event = {
        "type": random.choice(EVENTS),
        "session": random.choice(ODD),
        "audio": random.choice(ODD),
    }
    protocol, message = random.choice(
        (
            (DCEP, opening),
            (DCEP, opening[: random.randrange(len(opening) + 1)]),
            (DCEP, struct.pack("!BBHIHH", 3, 0, 0, 0, 0xFFFF, 0xFFFF) + b"x"),
            (DCEP, b"\x02"),
            (DCEP, _some(random, 30)),
            (STRING, _some(random, 300)),
            (STRING, b"[" * 900),
            (STRING, json.dumps(event).encode()),
            (STRING, json.dumps(event).encode()),
            (
                STRING,
                b'{"type": "session.update", "session": {"'
                + random.randbytes(4).hex().encode()
                + b'": 1}}',
            ),
            (56, b"\0"),
            (57, b""),
            (BINARY, _some(random, 1000)),
            (_protocol(random), _some(random, 50)),
        )
    )
    return Item("data", struct.pack("!HIB", stream, protocol, WHOLE) + message)


ODD: Sequence[object] = (
    *(None, True, -1, 0, 1e308, 10**40, "", "\ud800", "x" * 500, [], {}, [[[[]]]]),
    *({"voice": []}, {"id": 5}, {"type": {}}, {"turn_detection": "x"}, {"modalities": {"a": 1}}),
)
EVENTS: Sequence[object] = (
    *("session.update", "input_audio_buffer.append", "input_audio_buffer.clear", ""),
    *("conversation.item.create", "conversation.item.truncate", "response.create"),
    *("response.cancel", "output_audio_buffer.clear", "nonsense", None, 5, [], {}),
)
KINDS: dict[str, Callable[[Random], Item]] = {
    each.__name__: each for each in (rtp, rtcp, stun, dtls, sctp, messages)
}
