"""What the client says: the input audio buffer, its turns and their transcripts."""

from collections.abc import Callable
from typing import Any

from transceiver.realtime.commands import Hear, Transcribe
from transceiver.realtime.desk import Desk
from transceiver.realtime.errors import SERVER_ERROR, EventError
from transceiver.realtime.items import Item, Part
from transceiver.realtime.sound import (
    BYTES_PER_MS,
    KEPT_OF_SILENCE,
    LEAST_COMMIT,
    MAX_BUFFER,
    InputBuffer,
    decoded,
    decoder,
)

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Hearing:
    """See the module.

    Args:
        desk: What the parts of the engine share.
        turn_ended: Called when turn detection has found the end of a turn.
    """

    def __init__(self, desk: Desk, turn_ended: Callable[[], None]) -> None:
        self._desk = desk
        self._turn_ended = turn_ended
        self._buffer = InputBuffer()
        self._decode = decoder(desk.session.input["format"])
        self._speech: str | None = None  # the id that the item of the running speech will have
        self._asked: set[str] = set()  # items whose transcripts the client wants

    @property
    def is_unused(self) -> bool:
        """Whether no sound has ever come."""
        return self._buffer.end_ms == 0

    @property
    def size(self) -> int:
        """Bytes of sound in the buffer."""
        return len(self._buffer)

    def forget(self) -> None:
        """The client is gone in the middle of what it said: that is no turn."""
        self._buffer.take()
        self._speech = None
        self.format_changed()

    def format_changed(self) -> None:
        """Sound comes in another format from now on."""
        self._decode = decoder(self._desk.session.input["format"])

    def listen(self) -> None:
        """Look for turns anew, as the session says now."""
        self._speech = None
        self._desk.listen(self._buffer.end_ms)

    def append(self, event: dict[str, Any]) -> None:
        """`input_audio_buffer.append`."""
        try:
            sound = self._decode(decoded(event, "audio"))
        except ValueError as error:
            raise EventError("invalid_value", f"`audio`: {error}.", "audio") from None
        # The oldest makes room, also where the client itself ends its turns: a call's sound comes
        # whether or not anybody speaks, and other clients send all the time, too, and clear first.
        detects = self._desk.session.turn_detection is not None
        listens = detects and self._speech is None
        self._buffer.append(sound, KEPT_OF_SILENCE if listens else MAX_BUFFER)
        if detects and sound:
            self._desk.do(Hear(sound))

    def commit(self, _: dict[str, Any]) -> None:
        """`input_audio_buffer.commit`."""
        kept = self._buffer.kept_ms
        if kept < LEAST_COMMIT:
            raise EventError(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{LEAST_COMMIT}ms of audio, but buffer only has {kept}.00ms of audio.",
            )
        self._take_turn(self._speech or self._desk.new_id("item"), self._buffer.take())
        self.listen()

    def clear(self, _: dict[str, Any]) -> None:
        """`input_audio_buffer.clear`."""
        self._buffer.take()
        self._desk.send("input_audio_buffer.cleared")
        self.listen()

    def speech_started(self, start_ms: int) -> bool:
        """The client speaks, since a time of all its sound; whether that is news."""
        if self._desk.session.turn_detection is None or self._speech is not None:
            return False
        self._buffer.drop_before(start_ms)
        self._speech = self._desk.new_id("item")
        self._desk.send(
            "input_audio_buffer.speech_started", item_id=self._speech, audio_start_ms=start_ms
        )
        return True

    def turn_until(self, end_ms: int) -> bytes:
        """The sound of the turn that goes on, up to a time of all sound; nothing without one."""
        return self._buffer.until(end_ms) if self._speech is not None else b""

    def speech_stopped(self, end_ms: int) -> None:
        """The client's turn has ended, at a time of all its sound."""
        if self._speech is None:
            return
        self._desk.send(
            "input_audio_buffer.speech_stopped", item_id=self._speech, audio_end_ms=end_ms
        )
        self._take_turn(self._speech, self._buffer.take(end_ms))
        self._turn_ended()

    def stayed_silent(self, start_ms: int, end_ms: int) -> None:
        """The client has said nothing between two times of all its sound."""
        if self._speech is not None:
            return
        name = self._desk.new_id("item")
        self._desk.send(
            "input_audio_buffer.timeout_triggered",
            item_id=name,
            audio_start_ms=start_ms,
            audio_end_ms=end_ms,
        )
        self._buffer.drop_before(start_ms)
        self._take_turn(name, self._buffer.take(end_ms), is_silence=True)
        self._turn_ended()

    def ask(self, item: Item) -> None:
        """Have it found out what is said in an item, if there is sound in it."""
        if item.unheard:
            if self._desk.session.input["transcription"] is not None:
                self._asked.add(item.id)
            self._desk.do(Transcribe(item.id, item.unheard[0].sound))

    def deleted(self, item_id: str) -> None:
        """An item is gone."""
        self._asked.discard(item_id)

    def transcribed(self, item_id: str, said: str) -> None:
        """What is said in the sound of an item."""
        part, place = self._heard(item_id, said)
        if part is None:
            return
        part.text = said
        if said:
            self._desk.send(f"{_TRANSCRIPTION}.delta", **place, delta=said)
        seconds = round(len(part.sound) / BYTES_PER_MS / 1000, 3)
        usage = {"type": "duration", "seconds": seconds}
        self._desk.send(f"{_TRANSCRIPTION}.completed", **place, transcript=said, usage=usage)

    def transcription_failed(self, item_id: str, why: str) -> None:
        """Nobody could find out what is said in the sound of an item."""
        part, place = self._heard(item_id, "")
        if part is not None:
            error = {"type": SERVER_ERROR, "code": "transcription_failed", "message": why}
            self._desk.send(f"{_TRANSCRIPTION}.failed", **place, error=error)

    def _heard(self, item_id: str, said: str) -> tuple[Part | None, dict[str, Any]]:
        """Note what was heard; the part and its place, if the client wants to know."""
        wanted = item_id in self._asked
        self._asked.discard(item_id)
        item = self._desk.conversation.get(item_id)
        if item is None or not item.unheard:
            return None, {}
        part = item.unheard[0]
        part.heard = said
        index = next(at for at, each in enumerate(item.content) if each is part)
        return part if wanted else None, {"item_id": item_id, "content_index": index}

    def _take_turn(self, name: str, sound: bytes, *, is_silence: bool = False) -> None:
        """Make an item of what the client has said, or has not."""
        self._speech = None
        before = self._desk.conversation.last_id
        self._desk.send("input_audio_buffer.committed", item_id=name, previous_item_id=before)
        content = [Part("input_audio", sound=sound)]
        item = Item(name, role="user", content=content, is_silence=is_silence)
        self._desk.add(item)
        self.ask(item)
