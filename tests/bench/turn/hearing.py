"""How soon a back end gets what the client says."""

import asyncio
from random import Random

from tests.bench.errors import BenchError
from tests.bench.turn.place import lab_with, service_in
from tests.bench.turn.question import first_loud, spoken
from tests.bench.turn.talker import talking
from tests.bench.turn.waiting import until
from tests.bench.turn.wire import SoundWire
from tests.lab.config import BACKEND_URL
from tests.lab.lab import Lab
from tests.lab.realtimeservice import Connection, RealtimeService
from tests.lab.topology import CLIENT, PUBLIC

_SETTLED = 3.0  # seconds until a playout is what it will be
_PAUSE = 0.4  # seconds at least between two questions


def measure(turns: int, calls: int, dataplane: str) -> list[float]:
    """Seconds from when the packet in which a question begins is at the relay to its `append`.

    Raises:
        BenchError: Nothing is heard.
    """
    with lab_with(BACKEND_URL, dataplane) as lab, SoundWire(lab.hosts[CLIENT], PUBLIC) as wire:

        async def ask() -> list[float]:
            taken: list[float] = []
            async with service_in(lab) as service:
                for number in range(calls):
                    share = turns * (number + 1) // calls - turns * number // calls
                    taken += await _call(lab, service, wire, share, Random(number))
            return taken

        return asyncio.run(ask())


async def _call(
    lab: Lab, service: RealtimeService, wire: SoundWire, turns: int, chance: Random
) -> list[float]:
    question, taken, before = spoken(), [], len(service.connections)
    async with talking(lab, chance) as talker:
        await until(
            lambda: len(service.connections) > before or None, "connection of the transceiver"
        )
        await asyncio.sleep(_SETTLED)
        for _ in range(turns):
            start = len(service.connection.sound)
            said = await talker.ask(question)
            await asyncio.sleep(_PAUSE + chance.random() / 20)
            taken.append(_append_of_speech(service.connection, start) - wire.went[said.first])
    return taken


def _append_of_speech(connection: Connection, start: int) -> float:
    """When the event came in which speech begins, at or after a byte of all sound."""
    loud = first_loud(connection.sound, start & ~1)
    if loud is None:
        raise BenchError("the back end did not hear the question")
    return next(at for at, size in connection.arrivals if size > loud)
