"""libopus by ctypes: finding it, and the signatures of what is used of it.

Found once per process: the system's library, or else the one that PyAV's wheel carries for itself
(aiortc depends on PyAV). The system's comes first because the distribution mends it.
"""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int16, c_int32, c_ubyte, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from transceiver.media.errors import MissingCodecError

SYSTEM = "libopus.so.0"
MAX_FRAMES = 48  # in a packet: 120 ms in frames of 2.5 ms (RFC 6716, section 3.2.5)

# Requests of opus_encoder_ctl, from opus_defines.h.
SET_BITRATE = 4002
SET_MAX_BANDWIDTH = 4004
SET_VBR = 4006
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS = 4014
SET_DTX = 4016
SET_SIGNAL = 4024

APPLICATION_VOIP = 2048
SIGNAL_VOICE = 3001
SIGNAL_MUSIC = 3002
BANDWIDTH_NARROW = 1101  # 4 kHz; the wider ones follow by one: 6, 8, 12, 20 kHz
BANDWIDTH_FULL = 1105

_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "opus_get_version_string": (c_char_p, []),
    "opus_strerror": (c_char_p, [c_int]),
    "opus_packet_parse": (
        c_int,
        [
            *(c_char_p, c_int32, c_void_p),
            *(POINTER(POINTER(c_ubyte)), POINTER(c_int16), c_void_p),
        ],
    ),
    "opus_decoder_get_size": (c_int, [c_int]),
    "opus_decoder_init": (c_int, [c_void_p, c_int32, c_int]),
    "opus_decode": (c_int, [c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int]),
    "opus_encoder_get_size": (c_int, [c_int]),
    "opus_encoder_init": (c_int, [c_void_p, c_int32, c_int, c_int]),
    "opus_encode": (c_int32, [c_void_p, c_char_p, c_int, c_void_p, c_int32]),
}


@cache
def library() -> ctypes.CDLL:
    """The library, ready to be called.

    Raises:
        MissingCodecError: When there is none.
    """
    problems = []
    for name in candidates():
        try:
            found = ctypes.CDLL(name)
            _declare(found)
        except (OSError, AttributeError) as error:  # not there, broken, or something else
            problems.append(str(error))
        else:
            return found
    raise MissingCodecError(
        "libopus is missing: install it (Debian: apt install libopus0) or a wheel of PyAV, "
        f"which carries it (pip install av): {'; '.join(problems)}"
    )


def candidates() -> list[str]:
    """Names and paths to try, in this order."""
    spec = find_spec("av")
    if spec is None or spec.origin is None:
        return [SYSTEM]
    bundled = Path(spec.origin).parent.parent / "av.libs"
    return [SYSTEM, *map(str, sorted(bundled.glob("libopus*.so*")))]


def _declare(found: ctypes.CDLL) -> None:
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, name)
        function.restype = result
        function.argtypes = arguments
    # It takes any number of arguments: the request, and a number by value or by pointer.
    found.opus_encoder_ctl.restype = c_int


def explain(code: int) -> str:
    """What libopus says about an error's number."""
    text: bytes = library().opus_strerror(code)
    return text.decode("ascii", "replace")
