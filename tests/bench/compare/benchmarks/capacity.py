"""Calls held at once: more and more of them, with real audio, until it suffers in one of them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.compare.benchmarks.benchmark import Measurement, measurements
from tests.bench.compare.benchmarks.usage import cpu_seconds, shares
from tests.bench.compare.calls.calltestbed import CallPath, CallTestbed
from tests.bench.compare.calls.loadprocess import LoadProcess
from tests.bench.compare.calls.rtpcapture import RtpStats, captured

LOST = 0.01  # part of the packets above which audio suffers
PAUSE = 0.06  # seconds without a packet above which it does: two packets late or lost

_TOGETHER = 8  # calls in a process: Python runs on one core, and a core holds some more than that
_CALL_SECONDS = 600.0  # longer than any measurement; calls are ended
_PLACE_SECONDS = 20.0
_LOOK_EVERY = 0.05
_SETTLE_SECONDS = 1.0  # from the last call's set-up on
_EDGE = 1  # packets that may be under way when the capture ends


class Capacity:
    """Steps of more and more calls at a time.

    Args:
        path: Which way the calls take.
        steps: How many calls there are in each step; the first one whose audio suffers, twice in
            a row, is the last one.
        seconds: How long packets are captured in each step.
    """

    name = "capacity"

    def __init__(
        self,
        path: CallPath,
        *,
        steps: Sequence[int],
        seconds: float = 2.0,
    ) -> None:
        self.system = path
        self._steps = steps
        self._seconds = seconds

    def measure(self) -> Iterator[Measurement]:
        """Measure once.

        Raises:
            LabError: A part of the lab does not start, or fails.
        """
        held = calls = 0
        with self.system.testbed() as testbed, ExitStack() as stack:
            loads: list[LoadProcess] = []
            for step in self._steps:
                for size in groups(step - calls):
                    load = LoadProcess(testbed, callers=size, hold=_CALL_SECONDS)
                    loads.append(stack.enter_context(load))
                calls = step
                wait_until_placed(loads, calls)
                time.sleep(_SETTLE_SECONDS)
                sample = self._sample(testbed, loads)
                if suffers(sample.calls, calls):  # once may be the machine's fault
                    sample = self._sample(testbed, loads)
                yield from self._measurements(sample, calls)
                if suffers(sample.calls, calls):
                    break
                held = calls
        yield Measurement(self.name, "calls", held)

    def _sample(self, testbed: CallTestbed, loads: Sequence[LoadProcess]) -> "Sample":
        pids = {name: [pid] for name, pid in testbed.pids().items()}
        pids["clients"] = [each.pid for each in loads]
        before = _used(pids)
        begun = time.monotonic()
        with captured(testbed.client, testbed.interfaces[0]) as capture:
            time.sleep(self._seconds)
        seconds = time.monotonic() - begun
        return Sample(tuple(capture.calls.values()), shares(before, _used(pids), seconds))

    def _measurements(self, sample: "Sample", calls: int) -> Iterator[Measurement]:
        values = {
            "calls_seen": sum(each.received > 0 for each in sample.calls),
            "lost_percent": 100 * max(map(lost, sample.calls), default=1.0),
            "pause_ms": 1000 * max((each.pause for each in sample.calls), default=self._seconds),
            **{f"cpu_{name}_percent": share for name, share in sample.cpu.items()},
        }
        yield from measurements(self.name, values, {"calls": calls})


@dataclass(frozen=True, slots=True)
class Sample:
    """What a stretch of time was like.

    Attributes:
        calls: The calls of which there were packets.
        cpu: Percent of a core by process; those of all clients together.
    """

    calls: tuple[RtpStats, ...]
    cpu: dict[str, float]


def groups(calls: int) -> list[int]:
    """How many calls each of some new processes holds."""
    return [min(_TOGETHER, calls - begun) for begun in range(0, calls, _TOGETHER)]


def lost(call: RtpStats) -> float:
    """The part of a call's packets that left and did not come back, 0 to 1."""
    return max(0, call.sent - call.received - _EDGE) / call.sent if call.sent else 1.0


def suffers(seen: Sequence[RtpStats], calls: int) -> bool:
    """Whether audio suffers in one of so many calls, or one has no packets at all."""
    return len(seen) < calls or any(lost(each) > LOST or each.pause > PAUSE for each in seen)


def wait_until_placed(loads: Sequence[LoadProcess], calls: int) -> None:
    """Wait until all calls were placed; those that are not in time will have no packets."""
    deadline = time.monotonic() + _PLACE_SECONDS
    while time.monotonic() < deadline:
        results = [each.results() for each in loads]
        if sum(len(placed) + len(failed) for placed, failed in results) >= calls:
            return
        time.sleep(_LOOK_EVERY)


def _used(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, each)) for name, each in pids.items()}
