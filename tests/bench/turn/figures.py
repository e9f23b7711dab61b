"""The figures of turns, as a file keeps them. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from tests.bench.errors import BenchError


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one thing, in milliseconds.

    Attributes:
        what: The thing, in words.
        dataplane: The relay's.
        count: How often.
        p50: The median.
        p95: Of a hundred five were more.
        most: The most.
        aim: What p95 should not exceed; None without an aim.
    """

    what: str
    dataplane: str
    count: int
    p50: float
    p95: float
    most: float
    aim: float | None = None

    @classmethod
    def of(
        cls, what: str, dataplane: str, seconds: Sequence[float], aim: float | None = None
    ) -> Self:
        """From what was measured, in seconds."""
        p50, p95, most = np.percentile(np.array(seconds) * 1000, [50, 95, 100]).round(1)
        return cls(what, dataplane, len(seconds), float(p50), float(p95), float(most), aim)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of turns.

    Attributes:
        command: What measured it.
        machine: Where; see `tests.bench.compare.machine`.
        load: How many processes wanted to run there just before, on average over a minute.
        turns: Of turns and interruptions.
        began: Of set-ups: what `tests.bench.setup.measure.Row.dump` has, with its `dataplane`.
    """

    command: str
    machine: Mapping[str, str]
    load: float
    turns: Sequence[Figure]
    began: Sequence[Mapping[str, Any]]

    def dumps(self) -> str:
        """The text of a file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            BenchError: It is something else.
        """
        try:
            data = json.loads(text)
            turns = [Figure(**each) for each in data["turns"]]
            began = list(data["began"])
            return cls(data["command"], data["machine"], float(data["load"]), turns, began)
        except (ValueError, KeyError, TypeError):
            raise BenchError("this is not what `python -m tests.bench turn` writes") from None
