"""A network that loses packets and delays them unevenly, the same each time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transceiver.media.rtp import Packet

FRAME = 0.02  # seconds of a packet
_LONGEST = 2.5  # times the mean: no packet is held up for longer


class Arrival(NamedTuple):
    """A packet and when it comes, in seconds from the first one's sending."""

    time: float
    packet: Packet


@dataclass(frozen=True, slots=True)
class Network:
    """What a network does to packets.

    Attributes:
        loss: Share of packets that are lost.
        burst: How many are lost in a row.
        jitter: Mean of the delay that packets meet, in seconds; its deviation is half of that, so
            that packets overtake each other.
        episode: Seconds from and to which another jitter rules.
        jitter_then: That jitter.
    """

    loss: float = 0.0
    burst: int = 1
    jitter: float = 0.0
    episode: tuple[float, float] = (0.0, 0.0)
    jitter_then: float = 0.0

    @property
    def name(self) -> str:
        """Its figures in words."""
        parts = [f"{100 * self.loss:.0f} %"]
        if self.burst > 1:
            parts.append(f"by {self.burst}")
        parts.append(f"{1_000 * self.jitter:.0f} ms")
        if self.jitter_then:
            start, end = self.episode
            parts.append(f"({1_000 * self.jitter_then:.0f} ms for {end - start:.0f} s)")
        return " ".join(parts)

    def carry(self, packets: Sequence[Packet], seed: int) -> list[Arrival]:
        """Which of the packets, sent one each 20 ms, come when; in the order of arrival."""
        chance = random.Random(seed)
        arrivals = []
        lost = 0
        for index, packet in enumerate(packets):
            sent = FRAME * index
            delay = self._delay(sent, chance)
            if not lost and chance.random() < self.loss / self._mean_run:
                lost = self.burst
            if lost:
                lost -= 1
                continue
            arrivals.append(Arrival(sent + delay, packet))
        return sorted(arrivals, key=lambda each: each.time)

    @property
    def _mean_run(self) -> float:
        """Packets between two beginnings of loss are so many times fewer than lost ones."""
        return self.burst - self.loss * (self.burst - 1)

    def _delay(self, sent: float, chance: random.Random) -> float:
        start, end = self.episode
        mean = self.jitter_then if start <= sent < end else self.jitter
        return min(_LONGEST * mean, max(0.0, chance.gauss(mean, mean / 2)))
