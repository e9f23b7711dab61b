"""What waits to be sent to a service: events in order, and sound that gets old; free of IO."""

from collections import deque

#: Events that sound waits in, 5 s: of more, the oldest is left out.
MAX_SOUNDS = 250
MAX_EVENTS = 1024
MAX_SIZE = 16 << 20  # characters of all that waits


class Uplink:
    """A queue to a service that may be slow, or away for a while.

    Attributes:
        left_out: Events of sound that were left out.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._waiting: deque[tuple[str, bool]] = deque()
        self._sounds = 0
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add_sound(self, text: str) -> None:
        """Add an event of sound, perhaps in place of the oldest one."""
        if self._sounds >= MAX_SOUNDS:
            oldest = next(index for index, (_, sound) in enumerate(self._waiting) if sound)
            self._size -= len(self._waiting[oldest][0])
            del self._waiting[oldest]
            self.left_out += 1
        else:
            self._sounds += 1
        self._add(text, sound=True)

    def add(self, text: str) -> bool:
        """Add another event; False where there is no room."""
        others = len(self._waiting) - self._sounds
        if others >= MAX_EVENTS or (others and self._size + len(text) > MAX_SIZE):
            return False
        self._add(text, sound=False)
        return True

    def _add(self, text: str, *, sound: bool) -> None:
        self._waiting.append((text, sound))
        self._size += len(text)

    def pop(self) -> str:
        """Take the next one."""
        text, sound = self._waiting.popleft()
        self._sounds -= sound
        self._size -= len(text)
        return text
