"""The report: tables and text made from results, never typed. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.compare.catalogue import METRIC, Metric, Subject
from tests.bench.compare.results import Key, Parameters, Results
from tests.bench.compare.targets import Aim, outcomes

_UNITS = {  # what a parameter's number is a number of
    "flows": ("flow", "flows"),
    "payload": ("byte", "bytes"),
    "rate": ("packet a second each way", "packets a second each way"),
    "round_trip_ms": ("ms round trip added", "ms round trip added"),
    "calls": ("call", "calls"),
    "callers": ("caller", "callers"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a metric with some parameters."""

    metric: Metric
    parameters: Parameters

    def key(self, question: str, contestant: str) -> Key:
        """The key of the figure of a contestant in this column."""
        return Key(question, self.metric.name, self.parameters, contestant)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        caption: What all of its figures have in common.
        headings: Its columns' headings.
        columns: Its columns.
    """

    caption: str
    headings: tuple[str, ...]
    columns: tuple[Column, ...]


def grids(subject: Subject, results: Results) -> list[Grid]:
    """The tables of a subject."""
    found = [
        Column(metric, parameters)
        for metric in subject.metrics
        for parameters in sorted(
            {
                key.parameters
                for key in results.figures
                if (key.question, key.metric) == (subject.question, metric.name)
            }
        )
    ]
    tables: dict[str, list[Column]] = {}
    for column in found:
        tables.setdefault(_caption(subject, column), []).append(column)
    return [
        Grid(caption, tuple(_heading(subject, each) for each in columns), tuple(columns))
        for caption, columns in tables.items()
    ]


def write(
    subjects: Sequence[Subject],
    aims: Sequence[Aim],
    results: Results,
    plot: Callable[[Subject], str],
) -> str:
    """The report as Markdown.

    Args:
        subjects: Its sections.
        aims: What the figures are held against.
        results: The figures.
        plot: Tells the path of the picture of a subject, from the report's place.
    """
    lines = [*_opening(results), *_judgement(aims, results)]
    for subject in subjects:
        tables = grids(subject, results)
        if tables:
            lines += [f"## {subject.title}", "", subject.text, ""]
            lines += [f"![{subject.title}]({plot(subject)})", ""]
            for grid in tables:
                lines += _section(subject, grid, results)
    return "\n".join(lines).rstrip() + "\n"


def shown(name: str, value: int | str) -> str:
    """A parameter for people."""
    if not isinstance(value, int):
        return value
    one, many = _UNITS[name]
    return f"{value:,} {one if value == 1 else many}"


def present(subject: Subject, columns: Sequence[Column], results: Results) -> list[str]:
    """The contestants that have a figure in one of the columns."""
    return [
        contestant
        for contestant in results.contestants()
        if any(each.key(subject.question, contestant) in results.figures for each in columns)
    ]


def _opening(results: Results) -> Iterator[str]:
    rounds = f"{results.rounds} rounds" if results.rounds > 1 else "one round"
    yield f"""\
# Benchmarks

This report is made from the results of one run, and nothing in it is typed. To measure again:

```
{results.command}
```

Started {results.started}; {rounds}, in each of which all contestants had their turn. A figure is
the median over the rounds, with the lowest and the highest value in brackets. Ratios are taken
within a round, and are the ones to compare: absolute figures are those of this machine.
"""
    yield "| machine | |\n| --- | --- |"
    for name, value in results.machine.items():
        yield f"| {name} | {value} |"
    yield ""
    for name, reason in results.left_out.items():
        yield f"* Left out: {name}. {reason}"
    for failure in results.failures:
        yield f"* Failed: {failure}"
    if results.left_out or results.failures:
        yield ""


def _judgement(aims: Sequence[Aim], results: Results) -> Iterator[str]:
    judged = list(outcomes(aims, results))
    if not judged:
        return
    yield "## Aims of the XDP dataplane"
    yield ""
    yield "| aim | limit | measured | |"
    yield "| --- | ---: | ---: | --- |"
    for outcome in judged:
        aim = outcome.aim
        limit = f"{'at least' if aim.at_least else 'at most'} {aim.bound:.{aim.digits}f}"
        verdict = "met" if outcome.met else "missed"
        yield f"| {aim.text} | {limit} | {outcome.value:.{aim.digits}f} | {verdict} |"
    yield ""


def _section(subject: Subject, grid: Grid, results: Results) -> Iterator[str]:
    rows = present(subject, grid.columns, results)
    if grid.caption:
        yield f"**{grid.caption}**"
        yield ""

    def figure(contestant: str, column: Column) -> str:
        key = column.key(subject.question, contestant)
        bounded = results.values(replace(key, metric=column.metric.bounded_by or ""))
        prefix = "≥ " if any(bounded) else ""
        return prefix + _figure(results.values(key), column.metric)

    yield from _table(grid, rows, figure)
    reference = subject.reference
    main = any(column.metric.name == subject.main for column in grid.columns)
    if reference is None or reference not in rows or len(rows) == 1 or not main:
        return
    pairs = zip(grid.headings, grid.columns, strict=True)
    headings, columns = zip(*(pair for pair in pairs if pair[1].metric.compared), strict=True)

    def ratio(contestant: str, column: Column) -> str:
        ratios = results.ratios(column.key(subject.question, contestant), reference)
        return f"{median(ratios):.2f}" if ratios else ""

    yield f"The same, divided by the figure of {reference}:"
    yield ""
    yield from _table(Grid(grid.caption, headings, columns), rows, ratio)


def _table(grid: Grid, rows: Sequence[str], cell: Callable[[str, Column], str]) -> Iterator[str]:
    yield "| | " + " | ".join(grid.headings) + " |"
    yield "| --- |" + " ---: |" * len(grid.columns)
    for contestant in rows:
        cells = (cell(contestant, column) for column in grid.columns)
        yield f"| {contestant} | " + " | ".join(cells) + " |"
    yield ""


def _figure(values: Sequence[float], metric: Metric) -> str:
    """The median, and how far the values lie apart."""
    if not values:
        return ""
    low, middle, high = (
        f"{x:,.{metric.digits}f}" for x in (min(values), median(values), max(values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def _caption(subject: Subject, column: Column) -> str:
    """What is the same in a whole table."""
    parts = (
        []
        if METRIC in subject.columns
        else [f"{column.metric.title} ({column.metric.better.value})"]
    )
    parts += [shown(*each) for each in column.parameters if each[0] not in subject.columns]
    return ", ".join(parts)


def _heading(subject: Subject, column: Column) -> str:
    parts = [column.metric.title] if METRIC in subject.columns else []
    parts += [shown(*each) for each in column.parameters if each[0] in subject.columns]
    return ", ".join(parts) or column.metric.title
