"""Understanding a turn while the silence lasts that is its end, rather than after that.

A pause may be the end of a turn. What was said until then is recognised at once, and if the turn
does end with this pause, its words are known by then. If speech goes on they are forgotten.
"""

import asyncio
from collections.abc import Callable

Words = asyncio.Task[str | None]

#: Bytes of PCM16, 5 s: longer turns have more pauses, each of which would be recognised whole.
LONGEST = 240_000


class Foresight:
    """Of the turns of one session.

    Args:
        recognise: Begins to recognise sound; its task gives None where that fails.
    """

    def __init__(self, recognise: Callable[[bytes], Words]) -> None:
        self._recognise = recognise
        self._pause: int | None = None
        self._sound = b""
        self._words: Words | None = None

    def watch(self, pause: int | None, turn: Callable[[], bytes]) -> None:
        """Tell how things are; to be called as sound comes.

        Args:
            pause: Where the pause of now began; None while there is none.
            turn: Gives the sound of the turn until now.
        """
        if pause == self._pause:
            return
        self._pause, self._words = pause, None
        if pause is None:
            return
        self._sound = turn()
        if 0 < len(self._sound) <= LONGEST:
            self._words = self._recognise(self._sound)

    def words(self, turn: bytes) -> Words | None:
        """What was understood of a turn that has ended, or soon is; None if nobody knows."""
        return self._words if turn.startswith(self._sound) else None
