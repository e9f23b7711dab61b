"""What a line does to the frames on it: delay, seeded loss, a NAT that forgets. Pure."""

import heapq
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from tests.lab.line.translation import Translation, is_udp


@dataclass(frozen=True, slots=True)
class Settings:
    """How a line is.

    Attributes:
        delay: Seconds that a frame takes, in each direction.
        loss: The share of UDP datagrams that get lost in each direction, 0 to 1. Others never do:
            signaling over TCP is not what is tested.
        seed: Decides which ones.
        rebindings: How often the NAT has forgotten what it knew. With 0 there is no NAT.
    """

    delay: float = 0.0
    loss: float = 0.0
    seed: int = 0
    rebindings: int = 0

    def dump(self) -> dict[str, Any]:
        """The settings as plain data, of which ``Settings(**data)`` makes them again."""
        return asdict(self)


class Impairment:
    """Frames on their way through a line.

    Args:
        settings: How the line is at first.
    """

    def __init__(self, settings: Settings) -> None:
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._translation = Translation()
        self._settings = settings
        self._chance = Random(settings.seed)

    def change(self, settings: Settings) -> None:
        """From now on the line is like this; what is under way arrives as it would have."""
        if settings.rebindings != self._settings.rebindings:
            self._translation.forget()
        if (settings.loss, settings.seed) != (self._settings.loss, self._settings.seed):
            self._chance = Random(settings.seed)
        self._settings = settings

    def enter(self, frame: bytes, way: int, now: float) -> None:
        """A frame enters.

        Args:
            frame: From its Ethernet header on.
            way: An even number for what comes from the client, an odd one for what goes there.
            now: Monotonic seconds.
        """
        if self._settings.loss and is_udp(frame) and self._chance.random() < self._settings.loss:
            return
        translated = self._translation.apply(frame, outwards=way % 2 == 0)
        if translated is None:
            return
        self._count += 1  # frames that are due at the same time leave in the order they came in
        due = now + self._settings.delay
        heapq.heappush(self._under_way, (due, self._count, way, translated))

    def leaving(self, now: float) -> list[tuple[int, bytes]]:
        """The frames that are due, each after the way it came."""
        due = []
        while self._under_way and self._under_way[0][0] <= now:
            _, _, way, frame = heapq.heappop(self._under_way)
            due.append((way, frame))
        return due

    def wait(self, now: float) -> float | None:
        """Seconds until the next frame is due; None when there is none."""
        return max(0.0, self._under_way[0][0] - now) if self._under_way else None
