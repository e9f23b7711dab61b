"""Measures the parts in turns, so that what else the machine does meets all of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from tests.bench.media import parts
from tests.bench.media.parts import Material, Part

_FRAME = 20_000  # microseconds


@dataclass(frozen=True, slots=True)
class Result:
    """What a part costs.

    Attributes:
        name: Of the part.
        unit: What it costs that for.
        least: Microseconds of processor time, of the best round.
        median: The same, of the middle one.
    """

    name: str
    unit: str
    least: float
    median: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many calls one core would carry if it did nothing else.

    Attributes:
        name: Of the call.
        microseconds: Of 20 ms of it, SRTP both ways and RTCP included, sockets not.
        sessions: Calls.
    """

    name: str
    microseconds: float
    sessions: int


def measure(
    frames: int, rounds: int, say: Callable[[str], object]
) -> tuple[list[Result], list[Capacity]]:
    """Measure everything.

    Args:
        frames: Of 20 ms, how much is spoken in a round.
        rounds: How often each part is run.
        say: Told what is going on.
    """
    material = Material(frames)
    sources = (
        *(parts.calls, parts.codecs, parts.encryption, parts.packets, parts.reports),
        parts.handshakes,
    )
    todo = [part for source in sources for part in source(material)]
    times: dict[str, list[float]] = {part.name: [] for part in todo}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for part in todo:
            times[part.name].append(_once(part))
    results = [
        Result(part.name, part.unit, min(times[part.name]), median(times[part.name]))
        for part in todo
    ]
    return results, _capacities(results)


def _once(part: Part) -> float:
    """Microseconds for one frame, packet or report."""
    run = part.ready()
    start = time.process_time()
    run()
    return (time.process_time() - start) * 1e6 / part.count


def _capacities(results: list[Result]) -> list[Capacity]:
    median_of = {result.name: result.median for result in results}
    cipher = "AES-CM, HMAC-SHA1"
    srtp = median_of[f"SRTP protect, {cipher}"] + median_of[f"SRTP unprotect, {cipher}"]
    return [
        Capacity(name, value + srtp, int(_FRAME / (value + srtp)))
        for name, value in median_of.items()
        if name.startswith("call, ")
    ]
