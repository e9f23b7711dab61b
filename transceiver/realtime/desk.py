"""What the parts of an engine share: the session, its items, and what is to be done next."""

from collections.abc import Callable
from typing import Any

from transceiver.realtime.commands import Command, Listen, Send
from transceiver.realtime.conversation import Conversation
from transceiver.realtime.items import Item
from transceiver.realtime.session import Session


class Desk:
    """See the module.

    Args:
        session: As it begins.
        new_id: Makes an id that is new in this session from a prefix: ``item`` gives ``item_...``.

    Attributes:
        session: As it is now.
        conversation: Its items.
    """

    def __init__(self, session: Session, new_id: Callable[[str], str]) -> None:
        self.session = session
        self.conversation = Conversation()
        self.new_id = new_id
        self._commands: list[Command] = []

    def do(self, command: Command) -> None:
        """Have something done."""
        self._commands.append(command)

    def send(self, kind: str, **content: Any) -> None:
        """Send an event; what is None is left out."""
        known = {name: value for name, value in content.items() if value is not None}
        self.emit([{"type": kind, **known}])

    def emit(self, events: list[dict[str, Any]]) -> None:
        """Send events, which get their ids here."""
        for each in events:
            self.do(Send({"event_id": self.new_id("event"), **each}))

    def add(self, item: Item, after: str | None = None) -> None:
        """Put an item into the conversation that is complete, and say so."""
        before = self.conversation.add(item, after)
        for kind in ("conversation.item.added", "conversation.item.done"):
            self.send(kind, item=item.as_event(), previous_item_id=before)

    def taken(self) -> list[Command]:
        """What is to be done, in its order; it is handed out once."""
        taken, self._commands = self._commands, []
        return taken

    def listen(self, start_ms: int) -> None:
        """Have turns looked for as the session says, in the sound from a time on."""
        detection = self.session.turn_detection
        self.do(Listen(None if detection is None else dict(detection), start_ms))
