"""An audio buffer without delay, in place of aiortc's.

aiortc's jitter buffer holds 80 ms back, goes silent for about 280 ms after one lost packet, and
keeps those 280 ms as delay for the rest of the call. A server that answers a voice needs no
playout buffer: whoever plays the audio has one. So each packet goes to the decoder as it comes;
one that comes after its successor is dropped, as a packet that was lost.
"""

from typing import Protocol

from aiortc.jitterbuffer import JitterFrame

_MODULUS = 1 << 16
_RESTART = 100  # packets; a sender this far behind has restarted its numbers


class MediaPacket(Protocol):
    """The part of an RTP packet that matters here; `_data` is the codec's payload."""

    sequence_number: int
    timestamp: int
    _data: bytes


class PassThroughBuffer:
    """Stands for aiortc's JitterBuffer, for codecs whose every packet is a frame."""

    def __init__(self) -> None:
        self._newest: int | None = None

    def add(self, packet: MediaPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet: whether to ask for a key frame, and the frame to decode, if any."""
        if self._newest is not None:
            behind = (self._newest - packet.sequence_number) % _MODULUS
            if behind < _RESTART:
                return False, None
        self._newest = packet.sequence_number
        return False, JitterFrame(data=packet._data, timestamp=packet.timestamp)  # noqa: SLF001  # aiortc puts it there
