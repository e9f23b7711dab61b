"""The responses of a session: one of the conversation at a time, and some beside it."""

from typing import Any

from transceiver.realtime.commands import Generate, Stop
from transceiver.realtime.desk import Desk
from transceiver.realtime.errors import EventError
from transceiver.realtime.fields import list_of, missing, text
from transceiver.realtime.items import Item, item_id, read_item
from transceiver.realtime.responses import Response, Wish
from transceiver.realtime.sound import decoder

MAX_BESIDE = 8  # responses beside the conversation at a time
MAX_INPUT = 1000  # items of a context of its own


class Replies:
    """See the module.

    Args:
        desk: What the parts of the engine share.

    Attributes:
        active: The conversation's response that is being made.
        has_sounded: Whether the session has ever answered with sound.
    """

    def __init__(self, desk: Desk) -> None:
        self.active: Response | None = None
        self.has_sounded = False
        self._desk = desk
        self._conversation_id = desk.new_id("conv")
        self._running: dict[str, Response] = {}  # by id, those beside the conversation included
        self._owes = False  # a turn waits until the running response has ended

    @property
    def is_idle(self) -> bool:
        """Whether none is being made."""
        return not self._running

    def create(self, event: dict[str, Any]) -> None:
        """`response.create`."""
        if self._desk.session.kind == "transcription":
            raise EventError("invalid_value", "A transcription session makes no responses.", "type")
        asked = event.get("response")
        wish = Wish.of(self._desk.session, asked)
        if self.has_sounded and wish.voice != Wish.of(self._desk.session, None).voice:
            raise voice_is_fixed("response.audio.output.voice")
        history = list(self._desk.conversation)
        given = asked.get("input") if isinstance(asked, dict) else None
        if given is not None:
            history = list_of(self._input_item, MAX_INPUT)(given, "response.input")
        if wish.kept and self.active is not None:
            raise EventError(
                "conversation_already_has_active_response",
                "Conversation already has an active response in progress: "
                f"{self.active.id}. Wait until it has ended, or cancel it.",
            )
        if len(self._running) > MAX_BESIDE:
            raise EventError(
                "too_many_responses",
                f"{MAX_BESIDE} responses are in progress beside the conversation: wait for one.",
            )
        self._begin(wish, history)

    def cancel(self, event: dict[str, Any]) -> None:
        """`response.cancel`."""
        response = self.active
        if event.get("response_id") is not None:
            response = self._running.get(text()(event["response_id"], "response_id"))
        if response is None:
            raise EventError(
                "response_cancel_not_active", "Cancellation failed: no active response found."
            )
        self._desk.emit(response.cancel("client_cancelled"))
        self._over(response, stop=True)

    def interrupt(self, *, stop: bool) -> None:
        """The client has begun to speak; `stop` when that ends the response."""
        self._owes = False
        if self.active is not None and stop:
            self._desk.emit(self.active.cancel("turn_detected"))
            self._over(self.active, stop=True)

    def abandon(self) -> None:
        """Nobody is there to hear what is being made: none of it goes on."""
        self._owes = False
        for response in list(self._running.values()):
            self._desk.emit(response.cancel("client_cancelled"))
            self._over(response, stop=True)

    def answer_turn(self) -> None:
        """Answer the conversation, at once or after the response that runs."""
        if self._desk.session.kind == "transcription":
            return
        self._owes = self.active is not None
        if not self._owes:
            self._begin(Wish.of(self._desk.session, None), list(self._desk.conversation))

    def say(self, response_id: str, words: str, sound: bytes) -> None:
        """A piece of a response is there; one of a response that has ended is dropped."""
        response = self._running.get(response_id)
        if response is None or not (words or sound):
            return
        self._desk.emit(response.say(words, sound))
        self.has_sounded = self.has_sounded or response.has_sounded
        if response.is_too_long:
            self._desk.emit(response.cut())
            self._over(response, stop=True)

    def call(self, response_id: str, name: str, arguments: str) -> None:
        """A response calls a function of the client's; the arguments are JSON."""
        response = self._running.get(response_id)
        if response is not None:
            self._desk.emit(response.call(name, arguments))

    def finish(self, response_id: str) -> None:
        """A response has been made to its end."""
        response = self._running.get(response_id)
        if response is not None:
            self._desk.emit(response.complete())
            self._over(response)

    def fail(self, response_id: str, code: str, why: str) -> None:
        """A response could not be made."""
        response = self._running.get(response_id)
        if response is not None:
            self._desk.emit(response.fail(code, why))
            self._over(response)

    def _input_item(self, value: Any, param: str) -> Item:
        """An item of a response's own context, which may be one of the conversation's."""
        if not isinstance(value, dict) or value.get("type") != "item_reference":
            decode = decoder(self._desk.session.input["format"])
            return read_item(value, param, self._desk.new_id, decode)
        if value.get("id") is None:
            raise missing(f"{param}.id")
        found = self._desk.conversation.get(item_id(value["id"], f"{param}.id"))
        if found is None:
            raise EventError(
                "invalid_value", f"There is no item with id '{value['id']}'.", f"{param}.id"
            )
        return found

    def _begin(self, wish: Wish, history: list[Item]) -> None:
        response = Response(
            self._desk.new_id("resp"),
            wish,
            history,
            conversation=self._desk.conversation if wish.kept else None,
            conversation_id=self._conversation_id,
            new_id=self._desk.new_id,
        )
        self._running[response.id] = response
        if wish.kept:
            self.active = response
        self._desk.emit(response.begin())
        self._desk.do(Generate(response))

    def _over(self, response: Response, *, stop: bool = False) -> None:
        """A response has ended."""
        del self._running[response.id]
        if stop:
            self._desk.do(Stop(response.id))
        if response is self.active:
            self.active = None
            if self._owes:
                self.answer_turn()


def voice_is_fixed(param: str) -> EventError:
    """The error for another voice in a session that has spoken."""
    return EventError(
        "cannot_update_voice",
        "The voice cannot be changed once the session has answered with audio.",
        param,
    )
