"""Sound of responses that waits to be played, and how much of each item was; free of IO.

Services send sound faster than it is played: a second of it in a tenth to a third of one.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from transceiver.bridge.events import Sound
from transceiver.media.codec import FRAME_BYTES

#: Bytes that may wait, about six minutes: a response of OpenAI's service has 4,096 tokens at most.
MAX_WAITING = 16 << 20
BYTES_OF_MS = 48  # 24 kHz, 16 bits
#: Frames that the start of a frame waits for its rest before it is played with silence behind it.
_PATIENCE = 5
_MAX_COUNTED = 64  # parts whose played bytes are remembered
_MAX_PARTS = 256  # that wait; a response has one, or a few

Key = tuple[str, int]  # item, content index


@dataclass(slots=True)
class _Part:
    """Sound of one content part.

    Attributes:
        response: Whose it is.
        key: Item and content index.
        waiting: What was not yet played.
        ended: Whether no more comes.
    """

    response: str
    key: Key
    waiting: bytearray = field(default_factory=bytearray)
    ended: bool = False

    @property
    def playable(self) -> int:
        """Bytes that can be played: whole samples."""
        return len(self.waiting) & ~1


class Cut(NamedTuple):
    """An item whose end is not heard.

    Attributes:
        response: The id of its response.
        item: Its id; empty where the service gave none.
        content: Index of the content part.
        heard: Milliseconds that were heard.
    """

    response: str
    item: str
    content: int
    heard: int


class Playout:
    """Gives a frame every 20 ms, as long as there is sound."""

    def __init__(self) -> None:
        self._parts: deque[_Part] = deque()
        self._played: dict[Key, int] = {}  # bytes
        self._held = 0
        self._waiting = 0  # bytes

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken now."""
        return self._waiting >= MAX_WAITING or len(self._parts) >= _MAX_PARTS

    def waits_for(self, response: str) -> bool:
        """Whether sound of a response is still to be played."""
        return any(part.response == response and part.playable for part in self._parts)

    def add(self, sound: Sound) -> None:
        """Take sound, to be played after what is there."""
        key = sound.item, sound.content
        last = self._parts[-1] if self._parts else None
        if last is None or (last.response, last.key) != (sound.response, key):
            if last is not None:
                last.ended = True
            last = _Part(sound.response, key)
            self._parts.append(last)
        last.ended = False
        last.waiting += sound.pcm
        self._waiting += len(sound.pcm)
        if key not in self._played:
            if len(self._played) >= _MAX_COUNTED:
                del self._played[next(iter(self._played))]
            self._played[key] = 0

    def end(self, response: str, key: Key | None = None) -> None:
        """No more sound comes of a response, or of one part of it."""
        for part in self._parts:
            if part.response == response and key in (None, part.key):
                part.ended = True

    def pull(self) -> tuple[bytes, str] | None:
        """The next 20 ms, and whose response they begin with; None where there is no sound."""
        if not self._is_ready():
            return None
        frame, response = bytearray(), ""
        while self._parts and len(frame) < FRAME_BYTES:
            part = self._parts[0]
            size = min(part.playable, FRAME_BYTES - len(frame))
            if size and not frame:
                response = part.response
            frame += part.waiting[:size]
            del part.waiting[:size]
            self._waiting -= size
            self._played[part.key] = self._played.get(part.key, 0) + size
            if part.playable or not part.ended:
                break
            self._drop()
        return bytes(frame.ljust(FRAME_BYTES, b"\0")), response

    def _is_ready(self) -> bool:
        """Whether a frame is there: a whole one, the last one, or one that waited long enough."""
        while self._parts and self._parts[0].ended and not self._parts[0].playable:
            self._drop()
        ready = 0
        for part in self._parts:
            ready += part.playable
            if ready >= FRAME_BYTES:
                break
            if not part.ended:
                self._held += ready > 0
                if self._held <= _PATIENCE:
                    return False
                break
        self._held = 0
        return ready > 0

    def _drop(self) -> None:
        """Forget the first part; half a sample may be left of it."""
        self._waiting -= len(self._parts.popleft().waiting)

    def cut(self, delay: float) -> list[Cut]:
        """Play nothing of what is there; returns what is not heard to its end.

        Args:
            delay: Seconds from when something is played here to when the client hears it.
        """
        unheard = [part for part in self._parts if part.playable or not part.ended]
        self._parts.clear()
        self._held = self._waiting = 0
        cuts = {}
        for part in unheard:
            heard = self._played.get(part.key, 0) / BYTES_OF_MS - delay * 1000
            cuts[part.key] = Cut(part.response, *part.key, max(0, int(heard)))
        return list(cuts.values())
