"""The responses of a session that are being made, were cut, and sound; free of IO."""

from typing import Any

from transceiver.bridge.events import MAX_ID, Event, word

_MAX_ACTIVE = 32
_MAX_KNOWN = 64  # that were cut, or are done


class Responses:
    """Follows responses by their ids.

    Attributes:
        last: The id of the one that was heard of last; empty before the first.
        active: Those that were begun and are not done, the oldest first; True for those of the
            conversation, False for those beside it.
    """

    def __init__(self) -> None:
        self.last = ""
        self.active: dict[str, bool] = {}
        self._cut: dict[str, None] = {}
        self._over: dict[str, None] = {}

    def created(self, event: Event) -> None:
        """A response has begun.

        Beside the conversation is one that says so, with a null. Many services never say in which
        one a response is, and have one at a time: theirs are of the conversation.
        """
        response = event.part("response")
        beside = "conversation_id" in response and response["conversation_id"] is None
        self._begin(word(response, "id")[:MAX_ID], in_conversation=not beside)

    def sounds(self, response: str) -> None:
        """Sound of a response came, of which the service may not have said that it began."""
        if response and response not in self.active and response not in self._over:
            self._begin(response, in_conversation=True)

    def _begin(self, response: str, *, in_conversation: bool) -> None:
        self.last = response
        if in_conversation:  # which has one at a time: some services do not say that one is done
            for other in self.to_interrupt:
                self._end(other)
        self.active[response] = in_conversation
        if len(self.active) > _MAX_ACTIVE:
            del self.active[next(iter(self.active))]

    def done(self, event: Event) -> str:
        """A response has ended; returns its id, as far as that is known."""
        response = word(event.part("response"), "id")[:MAX_ID] or self.current
        self._end(response)
        return response

    def _end(self, response: str) -> None:
        self.active.pop(response, None)
        _remember(self._over, response)

    @property
    def current(self) -> str:
        """The id of the newest one that is being made, else of the last one."""
        return next(reversed(self.active), self.last)

    @property
    def to_interrupt(self) -> list[str]:
        """Those of the conversation that are being made."""
        return [response for response, inside in self.active.items() if inside]

    def cut(self, response: str) -> None:
        """Nothing more is to be heard of a response."""
        if response:
            _remember(self._cut, response)

    def is_cut(self, response: str) -> bool:
        """Whether nothing more is to be heard of it."""
        return response in self._cut

    def fail_all(self) -> list[dict[str, Any]]:
        """None goes on; returns those that were being made, as failed responses."""
        failed = [{"id": response} for response in self.active if response]
        for response in list(self.active):
            self._end(response)
        return failed


def _remember(known: dict[str, None], response: str) -> None:
    known[response] = None
    if len(known) > _MAX_KNOWN:
        del known[next(iter(known))]
