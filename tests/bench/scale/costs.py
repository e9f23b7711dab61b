"""What things cost, as the project's committed benchmarks measured it. Nothing is typed here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Self

from tests.bench.compare.report.results import Key, Results
from tests.bench.errors import BenchError, file_errors

SYSTEM = "icelane xdp"
_REQUESTS = ("claim", "refresh", "release", "heard", "restore", "read")


@dataclass(frozen=True, slots=True)
class Request:
    """Processor time of one request of the mirror, in microseconds.

    Attributes:
        relay: The relay's.
        redis: Redis's.
    """

    relay: float
    redis: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Medians of the committed figures.

    Attributes:
        rates: Thousand packets a second that a core forwards, by number of flows.
        setups: New sessions that an agent confirms in a second.
        flow_bytes: Memory of a flow at its relay.
        first_audio_ms: From the offer to the first sound without any distance.
        round_trips: How often that distance is travelled until then.
        hop_us: What a relay adds one way, the median.
        requests: Of the mirror.
        listener_us: Redis's time for telling a claim to one more relay.
        record_bytes: What Redis keeps of a flow.
    """

    rates: Mapping[int, float]
    setups: float
    flow_bytes: float
    first_audio_ms: float
    round_trips: float
    hop_us: float
    requests: Mapping[str, Request]
    listener_us: float
    record_bytes: float

    @classmethod
    def read(cls, benchmarks: Path, mirror: Path) -> Self:
        """Take them from the results of `tests.bench run` and `tests.bench mirror`.

        Raises:
            BenchError: A file cannot be read, or lacks a figure.
        """
        with file_errors():
            found = _Figures(benchmarks.read_text("utf-8"), SYSTEM)
            redis = _Figures(mirror.read_text("utf-8"), "redis")
            relay = _Figures(mirror.read_text("utf-8"), "relay")
        plain, heard = (redis.of("mirror", "us", request=each) for each in _CLAIMS)
        return cls(
            rates={
                flows: found.of("rate", "kpps", flows=flows, payload=160)
                for flows in sorted({*found.counts("rate", "flows"), *_ENDS})
            },
            setups=found.of("sessions", "per_second", opened="concurrent"),
            flow_bytes=sum(
                found.of("memory", f"{each}_bytes", flows=5_000) for each in ("process", "kernel")
            ),
            first_audio_ms=found.of("call_setup", "first_audio_ms", round_trip_ms=0),
            round_trips=found.of("call_setup", "round_trips"),
            hop_us=found.of("latency", "p50_us", load="idle", path="to transceiver", payload=160),
            requests={
                each: Request(
                    relay.of("mirror", "us", request=each), redis.of("mirror", "us", request=each)
                )
                for each in _REQUESTS
            },
            listener_us=max(0.0, heard - plain) / _LISTENERS,
            record_bytes=redis.of("mirror", "record_bytes", request="claim"),
        )

    @property
    def setup_seconds(self) -> float:
        """An agent's time for a new session."""
        return 1 / self.setups

    def packet_seconds(self, flows: float) -> float:
        """A core's time for a packet among so many flows: between two measured, by logarithm."""
        known = sorted(self.rates.items())
        if flows <= known[0][0]:
            return 1e-3 / known[0][1]
        for (fewer, fast), (more, slow) in pairwise(known):
            if flows <= more:
                part = math.log(flows / fewer) / math.log(more / fewer)
                return 1e-3 * ((1 - part) / fast + part / slow)
        return 1e-3 / known[-1][1]


_ENDS = (1, 1_000_000)  # flows between which rates are to be known
_LISTENERS = 8
_CLAIMS = ("claim", f"claim, {_LISTENERS} listeners")


class _Figures:
    def __init__(self, text: str, system: str) -> None:
        self._results = Results.loads(text)
        self._system = system

    def counts(self, benchmark: str, parameter: str) -> set[int]:
        """What a parameter of a benchmark was, as often as it was measured."""
        keys = [key for key in self._results.figures if key.benchmark == benchmark]
        return {
            int(value)
            for key in keys
            for name, value in key.parameters
            if name == parameter and key.system == self._system
        }

    def of(self, benchmark: str, metric: str, **parameters: int | str) -> float:
        values = self._results.values(
            Key(benchmark, metric, tuple(sorted(parameters.items())), self._system)
        )
        if not values:
            wanted = " ".join([benchmark, metric, *map(str, parameters.values())])
            raise BenchError(f"these results lack {self._system}'s {wanted}: measure it again")
        return median(values)
