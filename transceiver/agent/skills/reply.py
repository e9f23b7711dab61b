"""What an answer is made of, and what the dialogue is told beside the history."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Situation:
    """What is not in the history.

    Attributes:
        now: The time where the agent is, or where its user is if that is known.
        timer_ends: When the session's timer ends, if one runs.
        idle: Whether nobody spoke for so long that the agent is to say something (`idle_timeout`).
    """

    now: datetime
    timer_ends: datetime | None = None
    idle: bool = False


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Have `Skills.timer_ended` said after so many seconds, in place of a timer that runs."""

    seconds: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer."""


@dataclass(frozen=True, slots=True)
class PlayBack:
    """Play the sound of the user's last message. If it has none, the reply's text is said."""


@dataclass(frozen=True, slots=True)
class SayGoodbye:
    """The user has taken leave; a service may end the call when the text has been said."""


Intent = SetTimer | CancelTimer | PlayBack | SayGoodbye


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of one of the client's tools.

    Attributes:
        name: The tool's name.
        arguments: A JSON object, as a string.
    """

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: either text, or calls of the client's tools.

    Attributes:
        text: What is to be said; empty if there are calls.
        calls: The calls, in order.
        intent: What the service is to do beside saying the text.
    """

    text: str = ""
    calls: tuple[FunctionCall, ...] = ()
    intent: Intent | None = None
