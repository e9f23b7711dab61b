"""What came out of a playout."""

from dataclasses import dataclass

from tests.bench.loss.material import Pcm


@dataclass(frozen=True, slots=True)
class Played:
    """What a playout made of the packets.

    Attributes:
        pcm: Its samples from the moment when the first packet was sent, 24 kHz.
        concealed: Share of them that was made up.
        microseconds: Of processor time for each 20 ms, decoding included; None when not measured.
    """

    pcm: Pcm
    concealed: float
    microseconds: float | None = None
