"""As much of SCTP (RFC 9260) as a test of data channels needs, with every byte in its hands.

The client's side of one association over DTLS (RFC 8261): it begins, sends DATA and acknowledges
what comes. It sends nothing again and controls no congestion: use it where nothing is lost.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator
from random import Random

import google_crc32c

LIMIT = 10.0  # seconds
DCEP, STRING, BINARY = 50, 51, 53  # payload protocols (RFC 8831, section 8)
WHOLE = 3  # flags of a message in one chunk

DATA, INIT, INIT_ACK, SACK, ABORT, COOKIE_ECHO, COOKIE_ACK = 0, 1, 2, 3, 6, 10, 11
_COOKIE = 7  # parameter
_PORTS = struct.pack("!HH", 5000, 5000)


def chunk(kind: int, flags: int, value: bytes, length: int | None = None) -> bytes:
    """A chunk; its length field may lie."""
    size = 4 + len(value) if length is None else length
    return struct.pack("!BBH", kind, flags, size & 0xFFFF) + value + bytes(-len(value) % 4)


def packet(tag: int, chunks: bytes) -> bytes:
    """An SCTP packet with its checksum."""
    head = _PORTS + tag.to_bytes(4, "big")
    checksum = int(google_crc32c.value(head + bytes(4) + chunks))
    return head + checksum.to_bytes(4, "little") + chunks


def parse(received: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The chunks of a packet: type, flags, value."""
    at = 12
    while at + 4 <= len(received):
        kind, flags, length = struct.unpack_from("!BBH", received, at)
        if length < 4:
            return
        yield kind, flags, received[at + 4 : at + length]
        at += length + -length % 4


def open_channel(label: bytes, kind: int = 0, protocol: bytes = b"") -> bytes:
    """DATA_CHANNEL_OPEN (RFC 8832, section 5.1)."""
    head = struct.pack("!BBHIHH", 3, kind, 0, 0, len(label), len(protocol))
    return head + label + protocol


class ThinSctp:
    """The client's side of an association.

    Args:
        send: Sends an SCTP packet.
        random: The source of tags.

    Attributes:
        messages: What has come on streams, as stream, protocol and bytes.
        aborted: Whether the server has ended the association.
        tag: The server's tag, which packets for it carry.
        tsn: Of the next chunk of data.
    """

    def __init__(self, send: Callable[[bytes], None], random: Random) -> None:
        self.messages: list[tuple[int, int, bytes]] = []
        self.aborted = False
        self.tag = 0
        self._own_tag = random.randrange(1, 1 << 32)
        self.tsn = random.getrandbits(32)
        self._send = send
        self._up = asyncio.Event()
        self._sequences: dict[int, int] = {}
        self._fragments: dict[int, bytes] = {}

    async def associate(self) -> None:
        """Set the association up."""
        init = struct.pack("!IIHHI", self._own_tag, 1 << 20, 1024, 1024, self.tsn)
        self._send(packet(0, chunk(INIT, 0, init)))
        async with asyncio.timeout(LIMIT):
            await self._up.wait()

    def say(self, stream: int, protocol: int, message: bytes) -> None:
        """Send a message in one chunk."""
        self.send_data(stream, protocol, message, WHOLE)

    def send_data(self, stream: int, protocol: int, message: bytes, flags: int) -> None:
        """Send a chunk of data as it is."""
        sequence = self._sequences.get(stream, 0)
        self._sequences[stream] = sequence + 1 & 0xFFFF
        head = struct.pack("!IHHI", self.tsn, stream, sequence, protocol)
        self.tsn = self.tsn + 1 & 0xFFFFFFFF
        self.send_chunks(chunk(DATA, flags, head + message))

    def send_chunks(self, chunks: bytes) -> None:
        """Send chunks as they are, in a valid packet."""
        self._send(packet(self.tag, chunks))

    def receive(self, received: bytes) -> None:
        """Take an SCTP packet."""
        for kind, flags, value in parse(received):
            match kind:
                case 2:  # INIT_ACK
                    self.tag = int.from_bytes(value[:4], "big")
                    self.send_chunks(chunk(COOKIE_ECHO, 0, _cookie(value[16:])))
                case 11:  # COOKIE_ACK
                    self._up.set()
                case 0:  # DATA
                    self._take_data(flags, value)
                case 4:  # HEARTBEAT
                    self.send_chunks(chunk(5, 0, value))
                case 6:  # ABORT
                    self.aborted = True

    def _take_data(self, flags: int, value: bytes) -> None:
        tsn, stream, _, protocol = struct.unpack_from("!IHHI", value)
        whole = (b"" if flags & 2 else self._fragments.pop(stream, b"")) + value[12:]
        if flags & 1:
            self.messages.append((stream, protocol, whole))
        else:
            self._fragments[stream] = whole
        self.send_chunks(chunk(SACK, 0, struct.pack("!IIHH", tsn, 1 << 20, 0, 0)))


def _cookie(parameters: bytes) -> bytes:
    at = 0
    while at + 4 <= len(parameters):
        kind, length = struct.unpack_from("!HH", parameters, at)
        if kind == _COOKIE:
            return parameters[at + 4 : at + length]
        at += max(4, length + -length % 4)
    return b""
