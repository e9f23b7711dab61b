"""How soon the offline agent is heard after a question."""

import asyncio
from dataclasses import dataclass
from random import Random

from tests.bench.turn.place import lab_with
from tests.bench.turn.question import spoken
from tests.bench.turn.talker import Talker, talking
from tests.bench.turn.waiting import until
from tests.bench.turn.wire import SoundWire
from tests.lab.config import AGENT_URL
from tests.lab.topology import CLIENT, PUBLIC

_SETTLED = 3.0  # seconds until a playout is what it will be
_QUIET = 0.5  # seconds without a packet: the answer has ended
_REST = 0.4  # seconds until the next question: the agent takes what follows it at once for its echo


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds from when the packet left in which a question ends.

    Attributes:
        stopped: Until the client was told `input_audio_buffer.speech_stopped`.
        first: Until the first packet of the answer came to it.
    """

    stopped: float
    first: float


def measure(turns: int, dataplane: str) -> list[Answer]:
    """Ask questions.

    Raises:
        BenchError: There is no answer.
    """
    with lab_with(AGENT_URL, dataplane) as lab, SoundWire(lab.hosts[CLIENT], PUBLIC) as wire:

        async def ask() -> list[Answer]:
            question, chance, answers = spoken(), Random(1), []
            async with talking(lab, Random(2)) as talker:
                await asyncio.sleep(_SETTLED)
                for _ in range(turns):
                    answers.append(await _answer(talker, wire, question))
                    await asyncio.sleep(_REST + chance.random() / 20)
            return answers

        return asyncio.run(ask())


async def _answer(talker: Talker, wire: SoundWire, question: list[bytes]) -> Answer:
    said = await talker.ask(question)
    ended = await until(lambda: wire.went.get(said.last), "end of the question on the wire")
    stopped = await until(
        lambda: talker.when("input_audio_buffer.speech_stopped", ended), "end of the question"
    )
    first = await until(lambda: wire.first_after(ended), "answer")
    heard = len(wire.came)
    while True:  # until it is over
        await asyncio.sleep(_QUIET)
        if len(wire.came) == heard:
            return Answer(stopped - ended, first - ended)
        heard = len(wire.came)
