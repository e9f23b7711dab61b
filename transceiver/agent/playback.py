"""How loud the agent is at its client's just now, as far as it can know; pure.

Sound leaves faster than it is played. A client's own sound comes as fast as time goes, so it is the
clock: while 20 ms are heard, 20 ms are played.
"""

from collections import deque

from transceiver.agent.speech.levels import level_of

FRAME = 960  # bytes: 20 ms of PCM16 at 24 kHz
MAX_FRAMES = 30_000  # ten minutes


class Playback:
    """The levels of what the client has still to play, in frames of 20 ms."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=MAX_FRAMES)

    def add(self, sound: bytes) -> None:
        """Sound goes out; what is less than a frame counts as one."""
        for start in range(0, len(sound), FRAME):
            self._levels.append(level_of(sound[start : start + FRAME]))

    def next_level(self) -> float:
        """The level of the next frame, 0 to 1; 0 where nothing is played."""
        return self._levels.popleft() if self._levels else 0.0

    def clear(self) -> None:
        """The client plays no more of it."""
        self._levels.clear()
