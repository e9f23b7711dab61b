"""All that is measured of turns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.setup import measure as setup
from tests.bench.turn import answers, hearing, speaking
from tests.bench.turn.figures import Figure
from tests.lab.config import NO_RELAY

ADDED, FLUSHED, SILENCE = 40.0, 20.0, 100.0  # aims for p95, in ms
_CLIENT = "libwebrtc"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        turns: Of each kind, with each dataplane.
        calls: That these questions to a back end are parts of.
        setups: Calls that are set up, with each dataplane and without a relay.
        dataplanes: The relay's.
    """

    turns: int
    calls: int
    setups: int
    dataplanes: Sequence[str]


FULL = Scale(50, 10, 15, ("xdp", "userspace"))
QUICK = Scale(4, 2, 2, ("userspace",))


def measure_turns(scale: Scale, progress: Progress) -> Iterator[Figure]:
    """Measure turns and interruptions.

    Raises:
        BenchError: Nothing is heard, or it never ends.
        LabError: A lab cannot be made, or a client does not connect.
    """
    for dataplane in scale.dataplanes:
        progress(f"{dataplane}: a back end hears")
        heard = hearing.measure(scale.turns, scale.calls, dataplane)
        yield Figure.of("heard by the back end", dataplane, heard, ADDED)
        progress(f"{dataplane}: a back end speaks and is interrupted")
        turns = speaking.measure(scale.turns, dataplane)
        for what, aim, seconds in (
            ("said: first packet", ADDED, [turn.came - turn.spoke for turn in turns]),
            (
                "interrupted: last packet with sound",
                FLUSHED,
                [max(0.0, turn.ended - turn.interrupted) for turn in turns],
            ),
            (
                "interrupted: silence at the client",
                SILENCE,
                [turn.silent - turn.interrupted for turn in turns],
            ),
            (
                "truncated: off by",
                None,
                [abs(turn.told_ms - turn.heard_ms) / 1000 for turn in turns],
            ),
        ):
            yield Figure.of(what, dataplane, seconds, aim)
        progress(f"{dataplane}: the agent answers")
        told = answers.measure(scale.turns, dataplane)
        stopped = [each.stopped for each in told]
        yield Figure.of("answered: `speech_stopped`", dataplane, stopped)
        first = [each.first for each in told]
        yield Figure.of("answered: first packet", dataplane, first)


def measure_setups(scale: Scale, progress: Progress) -> Iterator[Mapping[str, Any]]:
    """Measure set-ups, with each dataplane and without a relay.

    Raises:
        BenchError: A call failed.
    """
    for dataplane in (*scale.dataplanes, NO_RELAY):
        progress(f"set-up, relay: {dataplane}")
        for row in setup.measure(
            [_CLIENT],
            ["stock"],
            dataplane=dataplane,
            round_trip=0.0,
            rounds=scale.setups,
            progress=lambda _: None,
        ):
            yield {"dataplane": dataplane, "calls": scale.setups, **row.dump(0.0)}
