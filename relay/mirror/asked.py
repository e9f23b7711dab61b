"""Clients whose flows are being looked up, and the datagrams that wait for the answer; pure."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.flowtuple import Source

ASKED_FOR = 10.0  # seconds in which one client is looked up once
MOST = 4_096
# Datagrams of a client: 120 ms of a voice, longer than Redis is waited for. Where an agent that
# starts finds more of them in its sockets, the last ones wait: what is older comes too late to be
# played, and the media that was lost before that is one gap, not two.
WAITING = 6


@dataclass(slots=True)
class _Question:
    until: float  # monotonic seconds: the answer is enough till then
    waiting: list[bytes] = field(default_factory=list)
    repeated: int = 0
    answered: bool = False


class Asked:
    """Who was asked for, so that nobody is asked for again and again.

    Args:
        again: At which ages of a question, in seconds, it is repeated when it has no answer and
            the client goes on sending; never where questions cannot be lost.
    """

    def __init__(self, again: Sequence[float] = ()) -> None:
        self._again = again
        self._questions: OrderedDict[bytes, _Question] = OrderedDict()  # soonest to end first

    def ask(self, source: Source, data: bytes, now: float) -> bool | None:
        """Take a datagram of a client that is not known.

        Returns:
            True: look the client up. False: that is under way, or has been done. None: too many
            are looked up.
        """
        while self._questions and next(iter(self._questions.values())).until <= now:
            self._questions.popitem(last=False)
        question = self._questions.get(source)
        if question is not None:
            if not question.answered:
                question.waiting.append(data)
                del question.waiting[:-WAITING]
            return self._repeats(question, now)
        if len(self._questions) >= MOST:
            return None
        self._questions[source] = _Question(now + ASKED_FOR, [data])
        return True

    def _repeats(self, question: _Question, now: float) -> bool:
        if question.answered or question.repeated == len(self._again):
            return False
        if now < question.until - ASKED_FOR + self._again[question.repeated]:
            return False
        question.repeated += 1
        return True

    def answer(self, source: Source) -> list[bytes]:
        """The last datagrams that waited for an answer, in their order; none from now on."""
        question = self._questions.get(source)
        if question is None:
            return []
        waiting, question.waiting, question.answered = question.waiting, [], True
        return waiting

    def forget(self, source: Source) -> None:
        """A client may be asked for anew: nobody has answered, or things have changed."""
        self._questions.pop(source, None)
