"""The results of a run: figures with all their values, and what they were measured on. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from tests.bench.errors import BenchError

FORMAT = 2  # of the file; another one is refused

Parameters = tuple[tuple[str, int | str], ...]  # sorted by name


class ResultsError(BenchError):
    """A results file cannot be used; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What a figure is a figure of.

    Attributes:
        benchmark: The benchmark's name.
        metric: What the figure is, with its unit.
        parameters: What it was measured with, sorted by name.
        system: What was measured: the system's name.
    """

    benchmark: str
    metric: str
    parameters: Parameters
    system: str


_PLAIN = ("machine", "command", "started", "rounds", "left_out", "failures")


@dataclass(slots=True)
class Results:
    """All that a run found out.

    Attributes:
        machine: What it was measured on, by name: processor, kernel, versions.
        command: The command that measures it again.
        started: When, in UTC (ISO 8601).
        rounds: How often each figure was measured, unless something failed.
        figures: The values, by round.
        left_out: Systems that could not be measured, and why.
        failures: What failed during the run, by line.
    """

    machine: Mapping[str, str]
    command: str
    started: str
    rounds: int
    figures: dict[Key, dict[int, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, key: Key, number: int, value: float) -> None:
        """Add a figure's value in the round with a number."""
        self.figures.setdefault(key, {})[number] = value

    def values(self, key: Key) -> list[float]:
        """A figure's values; none where it was not measured."""
        return list(self.figures.get(key, {}).values())

    def ratios(self, key: Key, reference: str) -> list[float]:
        """A figure's ratios to that of a reference system, round by round.

        Within a round both were measured within minutes, on the machine as it was then.
        """
        others = self.figures.get(replace(key, system=reference), {})
        return [
            value / others[number]
            for number, value in self.figures.get(key, {}).items()
            if others.get(number)
        ]

    def systems(self) -> list[str]:
        """What was measured, in the order in which it was."""
        return list(dict.fromkeys(key.system for key in self.figures))

    def dumps(self) -> str:
        """The results as JSON."""
        figures = [
            {
                "benchmark": key.benchmark,
                "system": key.system,
                "metric": key.metric,
                "parameters": dict(key.parameters),
                "values": [values.get(number) for number in range(self.rounds)],
            }
            for key, values in self.figures.items()
        ]
        rest = {name: getattr(self, name) for name in _PLAIN}
        return json.dumps({"format": FORMAT, **rest, "figures": figures}, indent=1) + "\n"

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            ResultsError: It is something else.
        """
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ResultsError("another version of icelane wrote these results: run it again")
            return cls(figures=_figures(data.pop("figures")), **data)
        except (AttributeError, KeyError, TypeError, json.JSONDecodeError):
            raise ResultsError("these are no results of `python -m tests.bench run`") from None


def _figures(listed: Iterable[Mapping[str, Any]]) -> dict[Key, dict[int, float]]:
    return {
        Key(
            each["benchmark"],
            each["metric"],
            tuple(sorted(each["parameters"].items())),
            each["system"],
        ): {number: value for number, value in enumerate(each["values"]) if value is not None}
        for each in listed
    }
