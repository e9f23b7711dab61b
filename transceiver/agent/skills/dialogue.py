"""The dialogue: from a conversation's history to the next answer, and nothing is remembered."""

from collections.abc import Mapping, Sequence
from typing import Any

from transceiver.agent.skills import clock, tools
from transceiver.agent.skills.instructions import foreign_language, to_be_said
from transceiver.agent.skills.items import Item, Turn, turn
from transceiver.agent.skills.known import ECHO, ENGLISH_ONLY, Request, greeting, known
from transceiver.agent.skills.reply import PlayBack, Reply, Situation
from transceiver.agent.skills.words import words

NOT_UNDERSTOOD = (
    "Sorry, I did not understand that.",
    "I still did not understand. You can ask for the time, or say help.",
    "That is beyond me. Say help to hear what I can do.",
)
STILL_THERE = "Are you still there? Say help to hear what I can do."
TIMER_ENDED = "Your timer for {} has ended."


class Skills:
    """What the agent can do; the same object serves all sessions."""

    def answer(
        self,
        history: Sequence[Item],
        *,
        situation: Situation,
        tools: Sequence[Mapping[str, Any]] = (),
        tool_choice: str | Mapping[str, Any] = "auto",
        instructions: str = "",
    ) -> Reply:
        """The answer to where a conversation stands.

        Args:
            history: Its items, as the Realtime API writes them, the oldest first.
            situation: The time, and what else is not in the history.
            tools: The client's tools, as the API writes them.
            tool_choice: ``none``, ``auto``, ``required`` or an object that names a function.
            instructions: See module `instructions` for what is honoured.
        """
        stands = turn(history)
        reply = self._reply(stands, situation, tools, tool_choice, instructions)
        if reply.text and not stands.said and foreign_language(instructions):
            return Reply(f"{ENGLISH_ONLY} {reply.text}", intent=reply.intent)
        return reply

    def timer_ended(self, seconds: int) -> str:
        """What is said when a timer of so many seconds ends."""
        return TIMER_ENDED.format(clock.duration(seconds))

    def _reply(
        self,
        stands: Turn,
        situation: Situation,
        declared: Sequence[Mapping[str, Any]],
        choice: str | Mapping[str, Any],
        instructions: str,
    ) -> Reply:
        functions = [] if choice == "none" else tools.functions(declared)
        if stands.outputs:
            # Also where a call is required: the client waits to hear what came of this one.
            return Reply(tools.read_back(stands.outputs))
        if (call := tools.forced(functions, choice, stands.request)) is not None:
            return call
        if stands.request is None:
            return _unasked(stands, situation, instructions)
        if stands.said and stands.said[0] == ECHO:
            return Reply(stands.request or "I did not hear anything.", intent=PlayBack())
        return (
            tools.resumed(functions, stands)
            or tools.by_name(functions, stands.request)
            or known(Request(words(stands.request), stands, situation, instructions))
            or tools.by_description(functions, stands.request)
            or _not_understood(stands)
        )


def _unasked(stands: Turn, situation: Situation, instructions: str) -> Reply:
    """What is said where nothing of the user waits for an answer."""
    if situation.idle:
        return Reply(STILL_THERE)
    if sentence := to_be_said(instructions):
        return Reply(sentence)
    if stands.said:
        return Reply("Is there anything else?")
    return Reply(greeting(instructions))


def _not_understood(stands: Turn) -> Reply:
    times = 0
    while times < len(stands.said) and stands.said[times] in NOT_UNDERSTOOD:
        times += 1
    return Reply(NOT_UNDERSTOOD[min(times, len(NOT_UNDERSTOOD) - 1)])
