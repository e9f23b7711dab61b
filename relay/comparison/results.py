"""The results of a run: figures with all their values, and what they were measured on. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self

from relay.comparison.model import Measurement

FORMAT = 1  # of the file; another one is refused

Parameters = tuple[tuple[str, int | str], ...]  # sorted by name


class ResultsError(ValueError):
    """A results file cannot be used; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What a figure is a figure of.

    Attributes:
        question: The question's name.
        metric: What was measured, with its unit.
        parameters: What it was measured with, sorted by name.
        contestant: Who was measured.
    """

    question: str
    metric: str
    parameters: Parameters
    contestant: str

    @classmethod
    def of(cls, measurement: Measurement) -> Self:
        """The key of a measurement."""
        parameters = tuple(sorted(measurement.parameters.items()))
        return cls(measurement.question, measurement.metric, parameters, measurement.contestant)

    def instead(self, contestant: str) -> "Key":
        """The same of another contestant."""
        return Key(self.question, self.metric, self.parameters, contestant)


@dataclass(slots=True)
class Results:
    """All that a run found out.

    Attributes:
        machine: What it was measured on, by name: processor, kernel, versions.
        command: The command that measures it again.
        started: When, in UTC (ISO 8601).
        rounds: How often each figure was measured, unless something failed.
        figures: The values, in the order of rounds.
        left_out: Contestants that could not take part, and why.
        failures: What failed during the run, by line.
    """

    machine: Mapping[str, str]
    command: str
    started: str
    rounds: int
    figures: dict[Key, list[float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, measurement: Measurement) -> None:
        """Add a measurement of the current round."""
        self.figures.setdefault(Key.of(measurement), []).append(measurement.value)

    def median(self, key: Key) -> float | None:
        """A figure's median; None where it was not measured."""
        values = self.figures.get(key)
        return median(values) if values else None

    def ratios(self, key: Key, reference: str) -> list[float]:
        """A figure's ratios to that of a reference contestant, round by round.

        Within a round both were measured within minutes, on the machine as it was then.
        """
        others = self.figures.get(key.instead(reference), [])
        return [a / b for a, b in zip(self.figures.get(key, []), others, strict=False) if b]

    def contestants(self) -> list[str]:
        """Who was measured, in the order in which they came."""
        return list(dict.fromkeys(key.contestant for key in self.figures))

    def dumps(self) -> str:
        """The results as JSON."""
        figures = [
            {
                "question": key.question,
                "contestant": key.contestant,
                "metric": key.metric,
                "parameters": dict(key.parameters),
                "values": values,
            }
            for key, values in self.figures.items()
        ]
        rest = asdict(self) | {"figures": figures}
        return json.dumps({"format": FORMAT, **rest}, indent=1) + "\n"

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
            figures = _figures(data.pop("figures"))
            return cls(figures=figures, **data)
        except (AttributeError, KeyError, TypeError, json.JSONDecodeError):
            raise ResultsError("these are no results of `icelane bench run`") from None


def _figures(listed: Iterable[Mapping[str, Any]]) -> dict[Key, list[float]]:
    return {
        Key(
            each["question"],
            each["metric"],
            tuple(sorted(each["parameters"].items())),
            each["contestant"],
        ): each["values"]
        for each in listed
    }
