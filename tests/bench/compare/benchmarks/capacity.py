"""Calls held at once: more and more of them, with real audio, until it suffers in one of them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.compare.calls.callers import Callers
from tests.bench.compare.calls.listening import Heard, listening
from tests.bench.compare.calls.stage import Stage, Way
from tests.bench.compare.calls.usage import cpu_seconds, shares
from tests.bench.compare.model import Measurement
from tests.lab.topology import PUBLIC, SIGNALING

LOST = 0.01  # part of the packets above which audio suffers
PAUSE = 0.06  # seconds without a packet above which it does: two packets late or lost

_TOGETHER = 8  # calls in a process: Python runs on one core, and a core holds some more than that
_CALL_SECONDS = 600.0  # longer than any measurement; calls are ended
_PLACE_SECONDS = 20.0
_LOOK_EVERY = 0.05
_SETTLE_SECONDS = 1.0  # from the last call's set-up on
_EDGE = 1  # packets that may be under way when listening ends


class Capacity:
    """Steps of more and more calls at a time.

    Args:
        way: Which way the calls take.
        steps: How many calls there are in each step; the first one whose audio suffers, twice in
            a row, is the last one.
        seconds: How long each step is listened to.
    """

    name = "capacity"

    def __init__(
        self,
        way: Way,
        *,
        steps: Sequence[int] = (4, 6, 8, 10, 12, 14, 16, 20),
        seconds: float = 2.0,
    ) -> None:
        self.contestant = way.value
        self._way = way
        self._steps = steps
        self._seconds = seconds

    def missing(self) -> str | None:
        """Why it cannot be asked on this machine."""
        return self._way.missing()

    def ask(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or fails.
        """
        held = calls = 0
        with Stage(self._way) as stage, ExitStack() as stack:
            callers: list[Callers] = []
            for step in self._steps:
                for size in groups(step - calls):
                    group = Callers(stage, callers=size, hold=_CALL_SECONDS)
                    callers.append(stack.enter_context(group))
                calls = step
                _wait_until_placed(callers, calls)
                time.sleep(_SETTLE_SECONDS)
                stretch = self._listen(stage, callers)
                if suffers(stretch.heard, calls):  # once may be the machine's fault
                    stretch = self._listen(stage, callers)
                yield from self._told(stretch, calls)
                if suffers(stretch.heard, calls):
                    break
                held = calls
        yield Measurement(self.name, self.contestant, "calls", held)

    def _listen(self, stage: Stage, callers: Sequence[Callers]) -> "Stretch":
        pids = {name: [pid] for name, pid in stage.pids().items()}
        pids["clients"] = [each.pid for each in callers]
        interface = SIGNALING if self._way is Way.DIRECT else PUBLIC
        before = _used(pids)
        begun = time.monotonic()
        with listening(stage.client, interface) as ear:
            time.sleep(self._seconds)
        seconds = time.monotonic() - begun
        return Stretch(tuple(ear.calls.values()), shares(before, _used(pids), seconds))

    def _told(self, stretch: "Stretch", calls: int) -> Iterator[Measurement]:
        parameters: dict[str, int | str] = {"calls": calls}
        values = {
            "calls_heard": sum(each.returned > 0 for each in stretch.heard),
            "lost_percent": 100 * max(map(lost, stretch.heard), default=1.0),
            "pause_ms": 1000 * max((each.pause for each in stretch.heard), default=self._seconds),
            **{f"cpu_{name}_percent": share for name, share in stretch.cpu.items()},
        }
        for metric, value in values.items():
            yield Measurement(self.name, self.contestant, metric, value, parameters)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a stretch of time was like.

    Attributes:
        heard: The calls.
        cpu: Percent of a core by process; those of all clients together.
    """

    heard: tuple[Heard, ...]
    cpu: dict[str, float]


def groups(calls: int) -> list[int]:
    """How many calls each of some new processes holds."""
    return [min(_TOGETHER, calls - begun) for begun in range(0, calls, _TOGETHER)]


def lost(call: Heard) -> float:
    """The part of a call's packets that left and did not come back, 0 to 1."""
    return max(0, call.sent - call.returned - _EDGE) / call.sent if call.sent else 1.0


def suffers(heard: Sequence[Heard], calls: int) -> bool:
    """Whether audio suffers in one of so many calls, or one is not heard at all."""
    return len(heard) < calls or any(lost(each) > LOST or each.pause > PAUSE for each in heard)


def _wait_until_placed(callers: Sequence[Callers], calls: int) -> None:
    """Wait until all calls were placed; those that are not in time will not be heard."""
    deadline = time.monotonic() + _PLACE_SECONDS
    while time.monotonic() < deadline:
        told = [each.told() for each in callers]
        if sum(len(placed) + len(failed) for placed, failed in told) >= calls:
            return
        time.sleep(_LOOK_EVERY)


def _used(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, each)) for name, each in pids.items()}
