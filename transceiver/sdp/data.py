"""What a section of data channels says: RFC 8841, what was written before it, and SNAP."""

import base64
import binascii

from transceiver.errors import OfferError
from transceiver.plan import DataPlan
from transceiver.sdp.syntax import Section, number, shown

DEFAULT_PORT = 5000  # what all clients write, and meant before they had to write one
DEFAULT_MAX_MESSAGE_SIZE = 65536  # bytes; RFC 8841, section 6.1
MAX_INIT = 1500  # bytes; Chromium's INIT chunk has 30

_PROTOCOLS = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"})
_CHANNEL = "webrtc-datachannel"
_INIT = b"\x01\x00"  # chunk type and flags (RFC 9260, section 3.3.2)
_INIT_HEADER = 20  # bytes before the parameters
_SMALLEST_WINDOW = 1500  # bytes; RFC 9260, section 3.3.2


def is_data(section: Section) -> bool:
    """Whether the section is one of data channels, in any spelling."""
    if section.kind != "application" or section.protocol.upper() not in _PROTOCOLS:
        return False
    return _names_channels(section) or is_legacy(section)


def is_legacy(section: Section) -> bool:
    """Whether it has the port in its m= line, and a=sctpmap for the rest (older than RFC 8841)."""
    if number(section.formats[0], 1, 65535) is None:
        return False
    maps = section.own.all("sctpmap")
    return not maps or any(_CHANNEL in value.lower().split() for value in maps)


def read_data(section: Section) -> DataPlan | None:
    """What the section says; its transport is 0 until somebody knows better.

    Returns:
        None when the client closes the association with it (a=sctp-port:0).

    Raises:
        OfferError: A value in it is broken.
    """
    port = _port(section)
    if port == 0:
        return None
    size = section.own.first("max-message-size")
    largest = DEFAULT_MAX_MESSAGE_SIZE if size is None else number(size, 0, 1 << 63)
    if largest is None:
        raise OfferError(f"a=max-message-size must be a number of bytes, not {shown(size or '')}")
    init = section.own.first("sctp-init")
    return DataPlan(
        mid=section.mid,
        transport=0,
        port=port,
        max_message_size=largest,
        sctp_init=None if init is None else read_init(init),
        section=section.index,
    )


def read_init(text: str) -> bytes:
    """The INIT chunk of an a=sctp-init: base64 of all of it, header included.

    Raises:
        OfferError: It is not base64, or no INIT chunk by RFC 9260, section 3.3.2.
    """
    try:
        chunk = base64.b64decode(text, validate=True) if text.isascii() else b""
    except binascii.Error:
        chunk = b""
    if not _INIT_HEADER <= len(chunk) <= MAX_INIT:
        raise OfferError(
            f"a=sctp-init must be base64 of a whole INIT chunk of {_INIT_HEADER} to {MAX_INIT} "
            f"bytes, not {shown(text)}"
        )
    problem = _init_problem(chunk)
    if problem:
        raise OfferError(f"a=sctp-init has no valid INIT chunk: {problem}")
    return chunk


def _init_problem(chunk: bytes) -> str | None:
    """What is wrong with a chunk of at least 20 bytes; all numbers are big endian."""
    length = int.from_bytes(chunk[2:4], "big")
    position = _INIT_HEADER
    while position + 4 <= length <= len(chunk):
        size = int.from_bytes(chunk[position + 2 : position + 4], "big")
        if size < 4 or position + size > length:
            break
        position += (size + 3) // 4 * 4
    problems = {
        "it has another type or flags than 1 and 0": chunk[:2] != _INIT,
        # The length leaves out padding after the last parameter (RFC 9260, section 3.2).
        f"its length says {length} of {len(chunk)} bytes": not (
            _INIT_HEADER <= length <= len(chunk) < length + 4
        ),
        "its initiate tag is 0": chunk[4:8] == bytes(4),
        f"its receiver window is below {_SMALLEST_WINDOW} bytes": (
            int.from_bytes(chunk[8:12], "big") < _SMALLEST_WINDOW
        ),
        "it has no streams": bytes(2) in (chunk[12:14], chunk[14:16]),
        f"its parameter at byte {position} is cut": position < length,
    }
    return next((problem for problem, there in problems.items() if there), None)


def _port(section: Section) -> int:
    written = section.own.first("sctp-port")
    if written is None:
        legacy = None if _names_channels(section) else number(section.formats[0], 1, 65535)
        return legacy or DEFAULT_PORT
    port = number(written, 0, 65535)
    if port is None:
        raise OfferError(f"a=sctp-port must be a number from 0 to 65535, not {shown(written)}")
    return port


def _names_channels(section: Section) -> bool:
    return any(each.lower() == _CHANNEL for each in section.formats)
