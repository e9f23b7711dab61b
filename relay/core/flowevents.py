"""What happens to flows, told to whoever listens: they open, are confirmed, and are closed.

Nothing is kept, and nothing is made while nobody listens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

from relay.core.flow import Flow, Instant


class Happened(StrEnum):
    """What happened to a flow."""

    OPENED = "opened"  # a valid ufrag made it, and it is pending
    CONFIRMED = "confirmed"  # its transceiver answered with success, or it was restored
    INSTALLED = "installed"  # the dataplane has it, if it is no connection
    CLOSED = "closed"


class FlowEvent(NamedTuple):
    """Something that happened to a flow.

    Attributes:
        what: What.
        flow: The flow.
        at: When.
        reason: Why it was closed, as the table's counters call it; else empty.
    """

    what: Happened
    flow: Flow
    at: Instant
    reason: str = ""


Listener = Callable[[FlowEvent], None]


class FlowEvents:
    """Tells what happens to flows."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    @contextmanager
    def told_to(self, listener: Listener) -> Iterator[None]:
        """Tell somebody of everything, until the context is left."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def tell(self, what: Happened, flow: Flow, at: Instant, reason: str = "") -> None:
        """Tell those who listen that something has happened."""
        if self._listeners:
            event = FlowEvent(what, flow, at, reason)
            for listener in list(self._listeners):
                listener(event)
