"""A session of the agent: does what the protocol's engine commands, with the agent's parts."""

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from relay.supervision import Faults
from transceiver.agent.foresight import Foresight, Words
from transceiver.agent.outbox import Outbox
from transceiver.agent.parts import Ear, Parts
from transceiver.agent.playback import FRAME, Playback
from transceiver.agent.skills import (
    CancelTimer,
    Intent,
    PlayBack,
    Reply,
    SetTimer,
    Situation,
)
from transceiver.agent.skills.grammar import tool_phrases
from transceiver.agent.speech.errors import PoolBusyError
from transceiver.agent.speech.turns import EarEvent, SpeechStarted, SpeechStopped
from transceiver.realtime.commands import (
    Close,
    Command,
    Generate,
    Hear,
    Listen,
    Send,
    Stop,
    Transcribe,
)
from transceiver.realtime.engine import Engine
from transceiver.realtime.items import Item, Part
from transceiver.realtime.responses import Response

#: Bytes of sound in an event, 200 ms: a response is cancelled within one.
PIECE = 10 * FRAME
SLICE = 5 * FRAME  # bytes of sound that are listened to before others have their turn
MAX_TRANSCRIPTIONS = 32  # that wait in a session
_SENTENCE = re.compile(r"(?<=[.!?])\s+")

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class AgentSession:
    """A session, while `run` runs. What breaks in it ends it at most.

    Where its client is gone without a goodbye it may be kept, and `run` again with the next
    connection: the conversation and a timer go on. `close` ends it for good.

    Args:
        engine: The protocol.
        parts: What the agent can do.
        faults: Where it is noted what breaks.
        until: When it has lasted as long as one may, monotonic seconds.
        clock: The time where the agent is.

    Attributes:
        until: The same.
    """

    def __init__(
        self,
        engine: Engine,
        parts: Parts,
        faults: Faults,
        *,
        until: float = math.inf,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    ) -> None:
        self.until = until
        self._engine = engine
        self._parts = parts
        self._faults = faults
        self._clock = clock
        self._outbox = Outbox()
        self._playback = Playback()
        self._ear: Ear | None = None
        self._ear_began = 0  # ms of all the client's sound
        self._foresight = Foresight(lambda sound: self._start(self._guessed(sound)))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._making: dict[str, asyncio.Task[None]] = {}  # by response
        self._hearing: dict[str, asyncio.Task[None]] = {}  # by item
        self._recognising = asyncio.Lock()  # one at a time: sessions share the processors
        self._unheard: list[bytes] = []
        self._timer: tuple[datetime, asyncio.TimerHandle] | None = None
        self._due: list[str] = []  # texts that are said without being asked
        self._is_running = False
        self._closing: Close | None = None

    @property
    def size(self) -> int:
        """Bytes of sound, text and images that it holds."""
        return self._engine.size

    async def run(
        self,
        receive: Callable[[], Awaitable[str | bytes | None]],
        send: Callable[[str], Awaitable[None]],
        life: float,
    ) -> Close | None:
        """Serve the client until it goes or the session is too old; perhaps not the first time.

        Args:
            receive: Gives the client's next message; None when it is gone.
            send: Sends one.
            life: Seconds that the session may last.

        Returns:
            How the connection is to be closed; None if the client has closed it.
        """
        expiry = asyncio.get_running_loop().call_later(
            life, lambda: self._do(self._engine.expire())
        )
        self._outbox, self._is_running = Outbox(), True
        self._do(self._engine.begin())
        if self._due:  # a timer has ended meanwhile
            self._do(self._engine.speak_up())
        reading = self._start(self._read(receive))
        try:
            while (message := await self._outbox.next()) is not None:
                await send(message)
        except ConnectionError:
            pass  # the client is gone
        finally:
            self._is_running = False
            expiry.cancel()
            reading.cancel()
            for task in self._tasks:
                task.cancel()
            self._outbox.end()
            self._do(self._engine.pause())
            self._unheard.clear()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return self._closing

    def close(self) -> None:
        """End it: nobody comes back to it."""
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None

    async def _read(self, receive: Callable[[], Awaitable[str | bytes | None]]) -> None:
        try:
            while (message := await receive()) is not None:
                self._do(self._engine.receive(message))
                await self._hear()
                await self._outbox.room()
        finally:
            self._outbox.end()

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Send(event):
                    self._outbox.put(event)
                case Generate(response):
                    self._making[response.id] = self._start(self._make(response))
                case Stop(response_id):
                    self._stop(response_id)
                case Close():
                    self._closing = command
                    self._outbox.end()
                case _:
                    self._do_with_sound(command)

    def _do_with_sound(self, command: Listen | Hear | Transcribe) -> None:
        match command:
            case Listen(None):
                self._ear = None
            case Listen(dict(detection), start_ms):
                self._ear, self._ear_began = self._parts.ear(detection), start_ms
            case Hear(sound):
                self._unheard.append(sound)
            case Transcribe(item_id, sound):
                self._transcribe(item_id, sound)

    def _stop(self, response_id: str) -> None:
        self._playback.clear()
        if (task := self._making.get(response_id)) is not None:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        for tasks in (self._making, self._hearing):
            for name in [name for name, each in tasks.items() if each is task]:
                del tasks[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._faults.note("a session of the agent", error)

    async def _hear(self) -> None:
        """Listen to what has come, in slices, so that one client's hour of sound stops nobody."""
        sounds, self._unheard = self._unheard, []
        for sound in sounds:
            for start in range(0, len(sound), SLICE):
                self._listen(sound[start : start + SLICE])
                await asyncio.sleep(0)

    def _listen(self, sound: bytes) -> None:
        for start in range(0, len(sound), FRAME):
            ear, began = self._ear, self._ear_began
            if ear is None:
                return
            ear.while_speaking(self._playback.next_level())
            for event in ear.feed(sound[start : start + FRAME]):
                self._do(self._happened(event, began))
            until = began + ear.position_ms
            self._foresight.watch(ear.pause_ms, partial(self._engine.turn_until, until))

    def _happened(self, event: EarEvent, began: int) -> list[Command]:
        if isinstance(event, SpeechStarted):
            if (self._engine.session.turn_detection or {}).get("interrupt_response"):
                self._playback.clear()  # the client stops it, too
            return self._engine.speech_started(began + event.start_ms)
        if isinstance(event, SpeechStopped):
            return self._engine.speech_stopped(began + event.end_ms)
        return self._engine.stayed_silent(began + event.start_ms, began + event.end_ms)

    def _transcribe(self, item_id: str, sound: bytes) -> None:
        if len(self._hearing) >= MAX_TRANSCRIPTIONS:
            why = "Too many transcriptions wait: send less sound at a time."
            self._do(self._engine.transcription_failed(item_id, why))
            return
        words = self._foresight.words(sound)
        self._hearing[item_id] = self._start(self._transcribed(item_id, sound, words))

    async def _guessed(self, sound: bytes) -> str | None:
        try:
            return await self._recognised(sound)
        except Exception:  # noqa: BLE001  # the turn itself is tried again, and that tells
            return None

    async def _transcribed(self, item_id: str, sound: bytes, words: Words | None) -> None:
        try:
            said = await words if words is not None else None
            if said is None:
                said = await self._recognised(sound)
        except PoolBusyError as error:
            self._do(self._engine.transcription_failed(item_id, str(error)))
        except Exception as error:  # noqa: BLE001  # whatever it is, it costs this transcript
            self._faults.note("recognition", error)
            why = "The sound could not be transcribed."
            self._do(self._engine.transcription_failed(item_id, why))
        else:
            self._do(self._engine.transcribed(item_id, said))

    async def _recognised(self, sound: bytes) -> str:
        session = self._engine.session
        named = (session.input["transcription"] or {}).get("keywords") or ()
        phrases = (*named, *tool_phrases(session.config.get("tools", ())))
        async with self._recognising:
            return await self._parts.recogniser.transcribe(sound, phrases=phrases)

    async def _make(self, response: Response) -> None:
        try:
            reply = await self._reply(response)
            for call in reply.calls:
                self._do(self._engine.call(response.id, call.name, call.arguments))
                await self._outbox.room()
            if isinstance(reply.intent, PlayBack) and (sound := _last_sound(response.history)):
                await self._say(response, reply.text, sound)
            else:
                for sentence in _sentences(reply.text):
                    await self._say(response, sentence)
            self._do(self._engine.finish(response.id))
            self._intend(reply.intent)
        except PoolBusyError as error:
            self._do(self._engine.fail(response.id, "rate_limit_exceeded", str(error)))
        except Exception as error:  # noqa: BLE001  # whatever it is, it costs this response
            self._faults.note("an answer", error)
            why = "The agent could not answer; its log says why."
            self._do(self._engine.fail(response.id, "server_error", why))

    async def _reply(self, response: Response) -> Reply:
        for item in response.history:
            if (task := self._hearing.get(item.id)) is not None:
                await asyncio.wait([task])
            for part in item.unheard:
                part.heard = await self._recognised(part.sound)
        wish = response.wish
        # Silence is answered while nothing has come after it; what came is answered else.
        is_idle = bool(response.history) and response.history[-1].is_silence
        history = response.history[:-1] if is_idle else response.history
        due = f"{self._due.pop(0)} " if wish.kept and self._due else ""
        if due and not (history and history[-1].role == "user"):
            return Reply(due.strip())
        reply = self._parts.skills.answer(
            [_readable(item) for item in history],
            situation=Situation(
                now=self._clock(),
                timer_ends=self._timer[0] if self._timer is not None else None,
                idle=is_idle,
            ),
            tools=wish.tools,
            tool_choice=wish.tool_choice,
            instructions=wish.instructions,
        )
        return replace(reply, text=f"{due}{reply.text}") if due else reply

    async def _say(self, response: Response, words: str, sound: bytes = b"") -> None:
        """Say words as the session does: in sound, such as this one, or as text."""
        if not response.wish.speaks:
            self._do(self._engine.say(response.id, words))
            await self._outbox.room()
            return
        wish = response.wish
        said = self._parts.voice.stream(words, speed=wish.speed, voice=wish.voice)
        spoken = _whole(sound) if sound else said
        async for piece in spoken:
            for start in range(0, len(piece), PIECE):
                part = piece[start : start + PIECE]
                self._playback.add(part)
                self._do(self._engine.say(response.id, words, part))
                words = ""
                await self._outbox.room()
        if words:  # without a sound
            self._do(self._engine.say(response.id, words))

    def _intend(self, intent: Intent | None) -> None:
        if isinstance(intent, SetTimer | CancelTimer) and self._timer is not None:
            self._timer[1].cancel()
            self._timer = None
        if isinstance(intent, SetTimer):
            handle = asyncio.get_running_loop().call_later(
                intent.seconds, self._timer_ended, intent.seconds
            )
            self._timer = self._clock() + timedelta(seconds=intent.seconds), handle

    def _timer_ended(self, seconds: int) -> None:
        self._timer = None
        self._due.append(self._parts.skills.timer_ended(seconds))
        if self._is_running:
            self._do(self._engine.speak_up())


async def _whole(sound: bytes) -> Any:
    yield sound


def _sentences(text: str) -> list[str]:
    """A text in sentences, which joined are the text again."""
    parts = _SENTENCE.split(text)
    return [f"{part} " for part in parts[:-1]] + parts[-1:] if text else []


def _last_sound(history: list[Item]) -> bytes:
    """The sound of the user's last message that has some."""
    sounds = (part.sound for item in reversed(history) for part in item.content if part.sound)
    return next(sounds, b"")


def _readable(item: Item) -> dict[str, Any]:
    """An item as the skills read it: with what was heard in it."""
    shown = item.as_event()
    if item.kind == "message":
        shown["content"] = [_readable_part(part) for part in item.content]
    return shown


def _readable_part(part: Part) -> dict[str, Any]:
    shown = part.as_content()
    if part.kind == "input_audio":
        shown["transcript"] = part.text or part.heard
    return shown
