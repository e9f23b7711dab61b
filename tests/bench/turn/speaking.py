"""How soon the client hears a back end, and how soon not any more when it interrupts it.

The client is libwebrtc, which plays what it gets as a browser does.
"""

import asyncio
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.bench.errors import BenchError
from tests.bench.turn.place import lab_with, service_in
from tests.bench.turn.sweep import heard_ms, is_silent, sweep
from tests.bench.turn.waiting import until
from tests.bench.turn.wire import SoundWire
from tests.lab.clients import played, stimulus
from tests.lab.clients.client import Client
from tests.lab.clients.kinds import LIBWEBRTC
from tests.lab.config import BACKEND_URL
from tests.lab.lab import Lab
from tests.lab.realtimeservice import Connection
from tests.lab.topology import CLIENT, PUBLIC

_SECONDS = 3.0  # of a response
_LISTENED = (0.6, 1.6)  # seconds after which the client interrupts
_QUIET = 0.3  # seconds without a packet: the sound has ended
_REST = 0.5  # seconds between two turns
_TAIL = 0.7  # seconds after the last packet in which a player may still make sound up
_SETTLED = 6.0  # seconds of a call until its reports have told how it is
_PLAYED = 0.9  # of the turns at least, or nothing can be said
_STEP = 30.0  # seconds; a limit


@dataclass(frozen=True, slots=True)
class Turn:
    """A response that was interrupted; times in seconds, since 1970 where they are moments.

    Attributes:
        spoke: When its first sound left the service.
        came: When the first packet of it came to the client.
        interrupted: When the service said that the client speaks.
        ended: When the last packet with sound of it came to the client.
        told_ms: The milliseconds heard, as the service was told them.
        silent: When the client played nothing of it any more.
        heard_ms: How far the client had played it when it was interrupted.
    """

    spoke: float
    came: float
    interrupted: float
    ended: float
    told_ms: int
    silent: float = 0.0
    heard_ms: float = 0.0


def measure(turns: int, dataplane: str) -> list[Turn]:
    """Have responses played, and interrupt them.

    Raises:
        BenchError: Nothing is heard, or it never ends.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = stack.enter_context(lab_with(BACKEND_URL, dataplane))
        wire = stack.enter_context(SoundWire(lab.hosts[CLIENT], PUBLIC))
        record = directory / "played"
        made = asyncio.run(_turns(lab, wire, record, turns))
        heard = played.read(record)
    found = [done for turn in made if (done := _as_played(turn, heard)) is not None]
    if len(found) < _PLAYED * turns:
        raise BenchError("the client does not play what it gets: the machine is too busy")
    return found


async def _turns(lab: Lab, wire: SoundWire, record: Path, turns: int) -> list[Turn]:
    sound, chance, made = sweep(_SECONDS), Random(1), []
    async with service_in(lab) as service:
        leave = await asyncio.to_thread(_call, lab, record)
        try:
            await until(lambda: service.connections or None, "connection of the transceiver")
            await asyncio.sleep(_SETTLED)
            for number in range(turns):
                made.append(await _turn(service.connection, wire, sound, number, chance))
                await asyncio.sleep(_REST + chance.random() / 20)
        finally:
            await asyncio.to_thread(leave.close)
    return made


def _call(lab: Lab, record: Path) -> ExitStack:
    """A call of libwebrtc, once it is connected; returns what ends it."""
    with ExitStack() as stack:
        tones = stimulus.write(record.parent)
        kind = replace(LIBWEBRTC, command=lambda said: [*LIBWEBRTC.command(said), str(record)])
        client = stack.enter_context(Client(lab, kind, tones))
        client.wait(
            lambda event: event["event"] == "message" and "session.created" in event["text"],
            _STEP,
            told="session.created",
        )
        return stack.pop_all()


async def _turn(
    connection: Connection, wire: SoundWire, sound: bytes, number: int, chance: Random
) -> Turn:
    item = f"item_{number}"
    spoke = time.time()
    await connection.say(sound, response=f"resp_{number}", item=item)
    came = await until(lambda: wire.first_after(spoke), "sound of the service at the client")
    await asyncio.sleep(chance.uniform(*_LISTENED))
    interrupted = time.time()
    await connection.send("input_audio_buffer.speech_started", item_id="of the client")
    told = await until(
        lambda: next((e for e in connection.received if e.get("item_id") == item), None),
        "truncation of the item",
    )
    await until(
        lambda: time.time() - max(wire.came[-1], interrupted) > _QUIET or None, "end of the sound"
    )
    if told["type"] != "conversation.item.truncate":
        raise BenchError(f"the item was not truncated: {told['type']}")
    return Turn(spoke, came, interrupted, wire.came[-1], int(told["audio_end_ms"]))


def _as_played(turn: Turn, heard: played.Played) -> Turn | None:
    """With what the client's player says of it; None if that stood still at that moment."""
    times, sound = heard.between(turn.spoke, turn.ended + _TAIL)
    size = round(heard.rate * played.CHUNK)
    audible = [
        at
        for number, at in enumerate(times)
        if not is_silent(sound[number * size : (number + 1) * size])
    ]
    if not audible or turn.interrupted > audible[-1]:
        return None
    # As much sound on each side of that moment.
    middle = round((turn.interrupted - times[0]) * heard.rate)
    around = sound[middle - 2 * size : middle + 2 * size]
    return replace(
        turn,
        silent=float(audible[-1]) + played.CHUNK,
        heard_ms=heard_ms(around, heard.rate),
    )
