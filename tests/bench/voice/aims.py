"""What calls are to get, and what a run says about it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.density.measure import Result as Carried
from tests.bench.loss.measure import NETEQ, OURS
from tests.bench.loss.measure import Result as Heard
from tests.bench.setup.measure import CREATED, POST, SOUND
from tests.bench.voice.figures import Figures

CALLS, LOSSY_CALLS = 120, 70  # echo calls of a core: on a clean network, and with FEC
_ECHOED = 0.97  # of the packets that came: a core that is full returns fewer
_LATE_MS, _MEMORY_KIB = 5.0, 1024.0
_TEN_PERCENT = "10 %"
_SILENCE_MS, _BACK_S = 40.0, 2.0
_SCATTER = 0.06  # by which scores of the same differ from run to run
_ROUND_TRIPS = 4.0
# Milliseconds from the answer to the first event, on a link of 100 ms: prototypes on a server of no
# relay, with the same clients and a negotiated channel; a tenth more is allowed.
_FIRST_EVENT = {
    "chromium": {"dcid": 530, "SNAP": 325, "SPED": 478, "both": 283},
    "libwebrtc": {"dcid": 515, "SNAP": 311, "SPED": 413, "both": 209},
}
_ALLOWED = 1.1
_MEANT_FOR_MS = 100.0


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be at most, or at least; and what it is.

    Attributes:
        figure: What people read.
        bound: The limit.
        value: What was measured.
        at_least: Whether the limit is a lower one.
        digits: Digits after the decimal point.
    """

    figure: str
    bound: float
    value: float
    at_least: bool = False
    digits: int = 0

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def aims(figures: Figures) -> list[Aim]:
    """The aims for which there are figures."""
    return [
        *_carried(figures.carried),
        *_heard(figures.heard),
        *(_began(figures.began) if figures.round_trip_ms == _MEANT_FOR_MS else ()),
    ]


def _carried(results: Sequence[Carried]) -> Iterator[Aim]:
    for calls, lossy in ((CALLS, False), (LOSSY_CALLS, True)):
        kind = "with FEC and 5 % lost" if lossy else "without losses"
        mine = [each for each in results if bool(each.loss) == lossy]
        if not mine:
            continue
        most = max((each.calls for each in mine if _are_served(each)), default=0)
        yield Aim(f"echo calls of a core, {kind}", calls, most, at_least=True)
        for each in mine:
            if each.calls == calls:
                yield Aim(
                    f"ms late at p99, {calls} calls {kind}", _LATE_MS, each.late_p99, digits=1
                )
                yield Aim(f"KiB a call, {calls} calls {kind}", _MEMORY_KIB, each.memory)


def _are_served(result: Carried) -> bool:
    """Whether all calls were: in time, and each packet that came was returned."""
    return result.late_p99 <= _LATE_MS and result.echoed >= (1 - result.loss) * _ECHOED


def _heard(results: Sequence[Heard]) -> Iterator[Aim]:
    neteq = {each.network: each.score for each in results if each.playout == NETEQ}
    for each in results:
        if each.playout != OURS:
            continue
        if each.back is not None:
            yield Aim(f"s until the delay is back, {each.network}", _BACK_S, each.back, digits=1)
        if not each.network.startswith(_TEN_PERCENT):
            continue
        yield Aim(f"ms of silence, {each.network}", _SILENCE_MS, 1_000 * each.silence)
        beside = neteq.get(each.network)
        if each.score is not None and beside is not None:
            figure = f"PLCMOS beside NetEQ's, {each.network}"
            yield Aim(figure, beside - _SCATTER, each.score, at_least=True, digits=2)


def _began(rows: Sequence[Mapping[str, Any]]) -> Iterator[Aim]:
    for row in rows:
        client, variant, steps = row["client"], row["variant"], row["steps"]
        answered, sound, created = steps.get(POST), steps.get(SOUND), steps.get(CREATED)
        if variant == "stock" and sound and sound["round_trips"]:
            # Whole ones: what is beyond is work of clients and server, not of the network.
            figure = f"whole round trips until the first sound, {client}"
            yield Aim(figure, _ROUND_TRIPS, int(sound["round_trips"]))
        of_prototype = _FIRST_EVENT.get(client, {}).get(variant)
        if of_prototype and answered and created:
            figure = f"ms from the answer until the first event, {client}, {variant}"
            since = created["median_ms"] - answered["median_ms"]
            yield Aim(figure, _ALLOWED * of_prototype, since)
