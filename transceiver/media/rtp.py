"""RTP packets (RFC 3550, section 5.1) with header extensions (RFC 8285), free of IO.

```
 0                   1                   2                   3
|V=2|P|X|  CC   |M|     PT      |       sequence number         |
|                           timestamp                           |
|           synchronization source (SSRC) identifier            |
|            contributing sources (CSRC), CC of them            |
|  profile: form of extensions  |       length in words         |  if X
|                      header extensions                        |
|                            payload                            |
|                            padding            |     length    |  if P
```

All numbers are big-endian. A packet is taken apart once; its extensions only when somebody asks,
because most are never looked at.
"""

import struct
from collections.abc import Mapping

from transceiver.media.errors import RtpError

HEADER_SIZE = 12
MAX_CSRCS = 15
#: Packets by which one may come late, 20 s of voice: SRTP refuses what is older, so no one counts
#: or plays it.
WINDOW = 1024

_ONE_BYTE = 0xBEDE  # RFC 8285, section 4.2
_TWO_BYTE = 0x1000  # RFC 8285, section 4.3; the lowest four bits are "appbits"
_APPBITS = 0x000F
_STOP = 15  # as an id of the one-byte form: nothing behind it counts
_header = struct.Struct("!BBHII")
_words = struct.Struct("!HH")


class Packet:
    """An RTP packet.

    Attributes:
        payload_type: 0 to 127.
        sequence: 16 bits.
        timestamp: 32 bits, in units of the codec's clock.
        ssrc: 32 bits.
        payload: What the codec made, without padding; may be empty.
        marker: For audio, the first packet after silence (RFC 3551, section 4.1).
        csrcs: Contributing sources, at most `MAX_CSRCS`.
        padding: Bytes of padding at the end, its length byte included; 0 to 255.
        profile: The 16 bits that name the form of the header extensions; 0 without extensions.
        block: The header extensions as they are on the wire, whole words, without their header.
    """

    __slots__ = (
        "_elements",
        "block",
        "csrcs",
        "marker",
        "padding",
        "payload",
        "payload_type",
        "profile",
        "sequence",
        "ssrc",
        "timestamp",
    )

    def __init__(
        self,
        payload_type: int,
        sequence: int,
        timestamp: int,
        ssrc: int,
        payload: bytes = b"",
        *,
        marker: bool = False,
        csrcs: tuple[int, ...] = (),
        padding: int = 0,
        profile: int = 0,
        block: bytes = b"",
    ) -> None:
        self.payload_type = payload_type
        self.sequence = sequence
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.payload = payload
        self.marker = marker
        self.csrcs = csrcs
        self.padding = padding
        self.profile = profile
        self.block = block
        self._elements: dict[int, bytes] | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packet) and self.serialise() == other.serialise()

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        return (
            f"Packet(pt={self.payload_type}, seq={self.sequence}, ts={self.timestamp}, "
            f"ssrc={self.ssrc:#010x}, {len(self.payload)} bytes)"
        )

    @property
    def extensions(self) -> Mapping[int, bytes]:
        """The elements of the header extension by their ids.

        An element that runs over the end of the block, and what would stand behind it, is not
        there: it is no reason to lose the audio. Of two with the same id the last one counts.
        """
        if self._elements is None:
            self._elements = _read_elements(self.profile, self.block)
        return self._elements

    @property
    def appbits(self) -> int:
        """The four bits of the two-byte form that are the application's; 0 in other forms."""
        return self.profile & _APPBITS if self.profile & ~_APPBITS == _TWO_BYTE else 0

    def serialise(self) -> bytes:
        """The packet as bytes for the wire."""
        first = 0x80 | len(self.csrcs)
        parts = [b""]
        if self.csrcs:
            parts.append(struct.pack(f"!{len(self.csrcs)}I", *self.csrcs))
        if self.profile or self.block:
            first |= 0x10
            parts += (_words.pack(self.profile, len(self.block) >> 2), self.block)
        parts.append(self.payload)
        if self.padding:
            first |= 0x20
            parts.append(bytes(self.padding - 1) + bytes((self.padding,)))
        second = self.payload_type | (0x80 if self.marker else 0)
        parts[0] = _header.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        return b"".join(parts)


def parse(data: bytes) -> Packet:
    """Take a packet apart.

    Raises:
        RtpError: When the bytes are no RTP packet of version 2, or a length in it runs over the
            end. No other exception, whatever the bytes are.
    """
    size = len(data)
    if size < HEADER_SIZE:
        raise RtpError(f"an RTP packet has at least {HEADER_SIZE} bytes, this one {size}")
    first, second, sequence, timestamp, ssrc = _header.unpack_from(data)
    if first >> 6 != 2:
        raise RtpError(f"the version of RTP is 2, not {first >> 6}")
    packet = Packet(second & 0x7F, sequence, timestamp, ssrc, marker=second >= 0x80)
    start = HEADER_SIZE
    if first & 0x3F:  # padding, extension or contributing sources
        start, size = _read_rest(packet, first, data)
    packet.payload = data[start:size]
    return packet


def _read_rest(packet: Packet, first: int, data: bytes) -> tuple[int, int]:
    """Read what only some packets have; returns where the payload begins and ends."""
    size = len(data)
    count = first & 0x0F
    start = HEADER_SIZE + 4 * count
    if start > size:
        raise RtpError(f"{count} contributing sources do not fit into {size} bytes")
    if count:
        packet.csrcs = struct.unpack_from(f"!{count}I", data, HEADER_SIZE)
    if first & 0x10:
        if start + 4 > size:
            raise RtpError("the header extension has no header")
        packet.profile, words = _words.unpack_from(data, start)
        end = start + 4 + 4 * words
        if end > size:
            raise RtpError(f"a header extension of {words} words does not fit into {size} bytes")
        packet.block = data[start + 4 : end]
        start = end
    if first & 0x20:
        packet.padding = data[-1]
        if packet.padding == 0 or start + packet.padding > size:
            raise RtpError(f"{packet.padding} bytes of padding are not possible here")
        size -= packet.padding
    return start, size


def _read_elements(profile: int, block: bytes) -> dict[int, bytes]:
    """The elements of a block; empty for a form that RFC 8285 does not know."""
    one_byte = profile == _ONE_BYTE
    if not one_byte and profile & ~_APPBITS != _TWO_BYTE:
        return {}
    found: dict[int, bytes] = {}
    size = len(block)
    at = 0
    while at < size:
        first = block[at]
        if first == 0:  # a byte of padding
            at += 1
            continue
        if one_byte:
            number, length = first >> 4, (first & 0x0F) + 1
            at += 1
            if number in (0, _STOP):  # both end the list: RFC 8285, section 4.2
                break
        else:
            if at + 2 > size:
                break
            number, length = first, block[at + 1]
            at += 2
        if at + length > size:
            break
        found[number] = block[at : at + length]
        at += length
    return found


def pack_extensions(elements: Mapping[int, bytes], appbits: int = 0) -> tuple[int, bytes]:
    """Write header extensions.

    Args:
        elements: Up to 255 bytes each, by ids from 1 to 255.
        appbits: Four bits for the two-byte form; anything but 0 asks for that form.

    Returns:
        The profile and the block of a `Packet`: in the one-byte form when all elements fit
        there, otherwise in the two-byte form. Nothing for no elements.
    """
    if not elements:
        return 0, b""
    block = bytearray()
    if not appbits and all(
        number < _STOP and 0 < len(value) <= 16 for number, value in elements.items()
    ):
        profile = _ONE_BYTE
        for number, value in elements.items():
            block.append(number << 4 | len(value) - 1)
            block += value
    else:
        profile = _TWO_BYTE | appbits
        for number, value in elements.items():
            block += bytes((number, len(value)))
            block += value
    block += bytes(-len(block) % 4)
    return profile, bytes(block)
