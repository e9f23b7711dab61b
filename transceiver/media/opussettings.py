"""How Opus is to be encoded: what the client asks for, within what is good for speech."""

from collections.abc import Mapping
from dataclasses import dataclass

MIN_BITRATE, MAX_BITRATE = (
    12_000,
    64_000,
)  # bits a second: poor but clear, and all that helps speech
_DEFAULT_BITRATE = 32_000  # full quality for one voice in CELT, still with headroom for FEC
_FULL_BAND = 20_000  # Hz


@dataclass(frozen=True, slots=True)
class OpusSettings:
    """How to encode.

    Attributes:
        bitrate: Bits a second.
        complexity: 0 (cheapest) to 10.
        fec: Whether each packet carries its predecessor too, in less quality. It needs the SILK
            part of Opus, which costs about three times of CELT alone.
        loss: Percent of packets that the other end is expected to lose.
        dtx: Whether silence is not sent.
        cbr: Whether all packets have the same size.
        bandwidth: Highest audio frequency that is of use to the other end, in Hz.
    """

    bitrate: int = _DEFAULT_BITRATE
    complexity: int = 0
    fec: bool = False
    loss: int = 0
    dtx: bool = False
    cbr: bool = False
    bandwidth: int = _FULL_BAND

    @classmethod
    def wanted(cls, parameters: Mapping[str, str]) -> "OpusSettings":
        """What a client's a=fmtp says about how it wants to receive (RFC 7587, section 6.1).

        Forward error correction is not here: it is for when packets get lost. Values that are no
        numbers count as not given.
        """
        bitrate = _number(parameters, "maxaveragebitrate", _DEFAULT_BITRATE)
        return cls(
            bitrate=max(MIN_BITRATE, min(MAX_BITRATE, bitrate)),
            dtx=parameters.get("usedtx") == "1",
            cbr=parameters.get("cbr") == "1",
            bandwidth=_number(parameters, "maxplaybackrate", 2 * _FULL_BAND) // 2,
        )


def takes_fec(parameters: Mapping[str, str]) -> bool:
    """Whether a client can make use of forward error correction in Opus."""
    return parameters.get("useinbandfec") == "1"


def _number(parameters: Mapping[str, str], name: str, otherwise: int) -> int:
    text = parameters.get(name, "")
    # At most seven digits: int() of a text of thousands is slow, and then refuses.
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else otherwise
