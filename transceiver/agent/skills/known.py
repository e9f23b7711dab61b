"""What the agent itself knows: which words ask for what, and the answers."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from transceiver.agent.skills import clock
from transceiver.agent.skills.arithmetic import reckon
from transceiver.agent.skills.instructions import name
from transceiver.agent.skills.items import Turn
from transceiver.agent.skills.reply import Reply, SayGoodbye, Situation
from transceiver.agent.skills.spelling import letters_of, spell

ECHO = "Say something after this, and I will play it back to you."
HELP = (
    "You can ask me for the time or the date, set a timer, or give me a sum. "
    "I can spell a word, or echo your voice. I run without a network, so I know little else."
)
ENGLISH_ONLY = "I only speak English."


@dataclass(frozen=True, slots=True)
class Request:
    """A request and all that an answer may depend on.

    Attributes:
        line: Its words.
        stands: Where the conversation stands.
        situation: The time, and what else is not in the history.
        instructions: Of the session or the response.
    """

    line: list[str]
    stands: Turn
    situation: Situation
    instructions: str


def known(request: Request) -> Reply | None:
    """The answer of the agent's own skills; None if it has none."""
    if not request.line:
        return None
    if (result := reckon(request.line)) is not None:
        return Reply(result)
    text = " ".join(request.line)
    for pattern, answer in _SKILLS:
        if found := pattern.search(text):
            return answer(request, found)
    letters = letters_of(request.line)
    return Reply(f"That spells {letters}.") if letters else None


def greeting(instructions: str) -> str:
    """What the agent says first."""
    return f"Hello, this is {name(instructions)}. Ask me for the time, give me a sum, or say help."


_Answer = Callable[[Request, re.Match[str]], Reply]


def _says(text: str) -> _Answer:
    return lambda _request, _found: Reply(text)


def _spelled(_: Request, found: re.Match[str]) -> Reply:
    return Reply(spell(next(group for group in found.groups() if group)))


def _left(request: Request, _: re.Match[str]) -> Reply:
    return Reply(clock.left(request.situation))


def _timer(request: Request, _: re.Match[str]) -> Reply:
    return clock.timer(request.line, request.situation)


def _again(request: Request, _: re.Match[str]) -> Reply:
    said = request.stands.said
    return Reply(said[0] if said else "I have not said anything yet.")


def _tomorrow(request: Request, _: re.Match[str]) -> Reply:
    return Reply(clock.tomorrow(request.situation.now))


def _time(request: Request, _: re.Match[str]) -> Reply:
    return Reply(clock.time_of_day(request.situation.now))


def _date(request: Request, _: re.Match[str]) -> Reply:
    return Reply(clock.date(request.situation.now))


def _who(request: Request, _: re.Match[str]) -> Reply:
    who = name(request.instructions)
    return Reply(f"I am {who}, a voice agent that works without a network.")


def _bye(_: Request, _found: re.Match[str]) -> Reply:
    return Reply("Goodbye.", intent=SayGoodbye())


def _hello(request: Request, _: re.Match[str]) -> Reply:
    if request.stands.said:
        return Reply("Hello again. What can I do for you?")
    return Reply(greeting(request.instructions))


def _skill(answer: _Answer, *patterns: str) -> tuple[re.Pattern[str], _Answer]:
    return re.compile("|".join(patterns)), answer


# Tried in this order; the first whose pattern is found in the request answers it.
_SKILLS = (
    _skill(
        _spelled,
        r"\bhow (?:do you|to|would you) (?:spell|write) (\w+)",
        r"\bhow is (\w+) (?:spelled|spelt|written)",
        r"\bspell (?:out )?(?:the )?(?:word )?(\w+)",
    ),
    _skill(
        _left,
        r"\b(?:time|much|long) (?:is )?(?:left|remaining)\b",
        r"\bhow long (?:is left|until)\b",
    ),
    _skill(_timer, r"\btimer\b", r"\bcountdown\b", r"\bwake me in\b", r"\bremind me in\b"),
    _skill(
        _says(ECHO),
        r"\becho\b",
        r"\brepeat (?:after me|what i say|my voice)\b",
        r"\bsay what i say\b",
        r"\bplay (?:me |my voice |that )?back\b",
        r"\bhear (?:myself|my(?: own)? voice)\b",
    ),
    _skill(
        _again,
        r"\b(?:say|repeat) (?:that|it|this)\b",
        r"^(?:please )?(?:repeat|pardon|again|say again)(?: please)?$",
        r"\bwhat did you say\b",
        r"\bcome again\b",
    ),
    _skill(_tomorrow, r"\btomorrow\b"),
    _skill(
        _time,
        r"\b(?:what|which|tell|know|have|give|current)\b.*\btime\b",
        r"^(?:the )?time(?: please| now)?$",
    ),
    _skill(
        _date,
        r"\b(?:what|which) (?:\w+ )?(?:day|date|year|month)\b",
        r"\b(?:the|today) (?:day|date)\b",
        r"^date$",
        r"\bwhat is (?:it )?today\b",
        r"\bday is it\b",
    ),
    _skill(
        _says(HELP),
        r"\bhelp\b",
        r"\bwhat (?:can|do|could) (?:you|i) (?:do|say|ask|know)\b",
        r"\bcommands\b",
    ),
    _skill(
        _who,
        r"\bwho (?:are you|is this|am i talking|is there)\b",
        r"\byour name\b",
        r"\bwhat are you\b",
    ),
    _skill(_says(ENGLISH_ONLY), r"\bdo you (?:speak|understand)\b", r"\bspeak (?!up\b)\w+"),
    _skill(_says("I am well, thank you. What can I do for you?"), r"\bhow are you\b"),
    _skill(
        _says("Yes, I can hear you."),
        r"\b(?:do|can) you hear(?: me)?\b",
        r"\btest(?:ing)?\b",
        r"\bis this (?:thing )?(?:on|working)\b",
    ),
    _skill(_says("You are welcome."), r"\bthanks?\b"),
    _skill(
        _bye,
        r"\b(?:good ?)?bye\b",
        r"\bsee you\b",
        r"\bgood night\b",
        r"\bhang up\b",
        r"\bthat is all\b",
    ),
    _skill(_hello, r"\b(?:hello|hi|hey|good (?:morning|afternoon|evening|day))\b"),
    _skill(
        _says("All right."),
        r"^(?:please )?(?:stop|quiet|be quiet|never mind|cancel|nothing|no|wait)(?: please)?$",
    ),
    _skill(_says("What would you like to know?"), r"^(?:yes|okay|ok|sure|right|all right)$"),
)
