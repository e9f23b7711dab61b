"""The agent's voice: text in, sound out by sentences, for all sessions of a process.

The work is done by a few threads: the engines let go of the interpreter's lock while they work.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore

from transceiver.agent.speech.engines import Engine, engines
from transceiver.agent.speech.errors import MissingPartError, PoolBusyError
from transceiver.agent.speech.levels import evened
from transceiver.agent.speech.sentences import pieces

MIN_SPEED, MAX_SPEED = 0.25, 1.5
MAX_WAITING = 64  # pieces for each thread
_PAUSE_MS = {".": 220, "!": 220, "?": 220, ":": 160, ",": 80, ";": 120}
_WARM_UP = "Hello, it is 7:05 PM."


class Voice:
    """Speaks.

    Args:
        found: What makes the sound; by default what is installed.
        threads: How many sentences are made at a time.

    Raises:
        MissingPartError: Nothing that speaks is installed.
    """

    def __init__(self, found: Sequence[Engine] | None = None, threads: int | None = None) -> None:
        self._engines = list(engines() if found is None else found)
        if not self._engines:
            raise MissingPartError(
                "The agent has no voice: pip install 'icelane[agent]', or apt-get install espeak-ng"
            )
        count = threads or min(4, max(1, (os.cpu_count() or 1) // 2))
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="voice")
        self._room = BoundedSemaphore(MAX_WAITING * count)
        self._by_name = {name: each for each in self._engines for name in each.voices}

    @property
    def voices(self) -> tuple[str, ...]:
        """The names of all voices; the first is taken where another name is asked for."""
        return tuple(self._by_name)

    async def open(self) -> None:
        """Warm up: the first sentence of a process takes some tenths of a second longer."""
        async for _ in self.stream(_WARM_UP):
            pass

    async def close(self) -> None:
        """Let go of the threads; what is being made is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def stream(
        self, text: str, *, speed: float = 1.0, voice: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The sound of a text, piece by piece; while one is used the next is made.

        Args:
            text: Whatever is to be said; what cannot be said is left out.
            speed: 1 is the voice's own; it is kept within `MIN_SPEED` and `MAX_SPEED`.
            voice: Its name; any other, such as one of OpenAI's, stands for the first of `voices`.

        Yields:
            PCM16, little endian, mono, 24 kHz.

        Raises:
            PoolBusyError: As many pieces wait as may wait.
            AgentError: The sound could not be made.
        """
        speed = min(max(speed, MIN_SPEED), MAX_SPEED)
        name = voice if voice in self._by_name else self.voices[0]
        todo = pieces(text)
        ahead = [self._make(piece, name, speed) for piece in todo[:1]]
        try:
            for piece in [*todo[1:], None]:
                if not ahead:
                    return
                sound = await asyncio.wrap_future(ahead[-1])
                if piece is not None:
                    ahead.append(self._make(piece, name, speed))
                if sound:
                    yield sound
        finally:
            for each in ahead:
                each.cancel()

    def _make(self, piece: str, voice: str, speed: float) -> Future[bytes]:
        if not self._room.acquire(blocking=False):
            raise PoolBusyError("The agent is asked to say more than it can; ask again later")
        made = self._threads.submit(self._sound, piece, voice, speed)
        made.add_done_callback(lambda _: self._room.release())
        return made

    def _sound(self, piece: str, voice: str, speed: float) -> bytes:
        pause = _PAUSE_MS.get(piece[-1], _PAUSE_MS[","])
        sound = self._by_name[voice].say(piece, voice, speed)
        return evened(sound, round(pause / speed))
