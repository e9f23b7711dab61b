"""The report: tables and text made from results, never typed. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.compare.report.results import Key, Parameters, Results
from tests.bench.compare.report.sections import METRIC, Metric, Section
from tests.bench.compare.report.targets import Target, outcomes

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

    def key(self, benchmark: str, system: str) -> Key:
        """The key of the figure of a system in this column."""
        return Key(benchmark, self.metric.name, self.parameters, system)


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


def grids(section: Section, results: Results) -> list[Grid]:
    """The tables of a section."""
    found = [
        Column(metric, parameters)
        for metric in section.metrics
        for parameters in sorted(
            {
                key.parameters
                for key in results.figures
                if (key.benchmark, key.metric) == (section.benchmark, metric.name)
            }
        )
    ]
    tables: dict[str, list[Column]] = {}
    for column in found:
        tables.setdefault(_caption(section, column), []).append(column)
    return [
        Grid(caption, tuple(_heading(section, each) for each in columns), tuple(columns))
        for caption, columns in tables.items()
    ]


def write(
    sections: Sequence[Section],
    targets: Sequence[Target],
    results: Results,
    plot: Callable[[Section], str],
) -> str:
    """The report as Markdown.

    Args:
        sections: Its sections.
        targets: What the figures are held against.
        results: The figures.
        plot: Gives the path of the picture of a section, from the report's place.
    """
    lines = [*_heading_lines(results), *_targets(targets, results)]
    for section in sections:
        tables = grids(section, results)
        if tables:
            lines += [f"## {section.title}", "", section.text, ""]
            lines += [f"![{section.title}]({plot(section)})", ""]
            for grid in tables:
                lines += _section(section, grid, results)
    return "\n".join(lines).rstrip() + "\n"


def shown(name: str, value: int | str) -> str:
    """A parameter for people."""
    if not isinstance(value, int):
        return value
    one, many = _UNITS[name]
    return f"{value:,} {one if value == 1 else many}"


def present(section: Section, columns: Sequence[Column], results: Results) -> list[str]:
    """The systems that have a figure in one of the columns."""
    return [
        system
        for system in results.systems()
        if any(each.key(section.benchmark, system) in results.figures for each in columns)
    ]


def _heading_lines(results: Results) -> Iterator[str]:
    rounds = f"{results.rounds} rounds" if results.rounds > 1 else "one round"
    yield f"""\
# Benchmarks

This page shows how many packets, sessions and calls Icelane takes beside other systems on the same
machine, what a packet costs, and how long it takes. To measure that on your own machine, as root:

```sh
{results.command}
```

The page is made from the results of one run, and nothing in it is typed. Started
{results.started}; {rounds}, in each of which all systems had their turn. A figure is the median
over the rounds, with the lowest and the highest value in brackets. Ratios are taken within a round,
and are the ones to compare: absolute figures are those of this machine.
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


def _targets(targets: Sequence[Target], results: Results) -> Iterator[str]:
    judged = list(outcomes(targets, results))
    if not judged:
        return
    yield "## Targets of the XDP dataplane"
    yield ""
    yield "| target | limit | measured | |"
    yield "| --- | ---: | ---: | --- |"
    for outcome in judged:
        target = outcome.target
        limit = f"{'at least' if target.at_least else 'at most'} {target.bound:.{target.digits}f}"
        verdict = "met" if outcome.met else "missed"
        yield f"| {target.text} | {limit} | {outcome.value:.{target.digits}f} | {verdict} |"
    yield ""


def _section(section: Section, grid: Grid, results: Results) -> Iterator[str]:
    rows = present(section, grid.columns, results)
    if grid.caption:
        yield f"**{grid.caption}**"
        yield ""

    def figure(system: str, column: Column) -> str:
        key = column.key(section.benchmark, system)
        bounded = results.values(replace(key, metric=column.metric.bounded_by or ""))
        prefix = "≥ " if any(bounded) else ""
        return prefix + _figure(results.values(key), column.metric)

    yield from _table(grid, rows, figure)
    reference = section.reference
    main = any(column.metric.name == section.main for column in grid.columns)
    if reference is None or reference not in rows or len(rows) == 1 or not main:
        return
    pairs = zip(grid.headings, grid.columns, strict=True)
    headings, columns = zip(*(pair for pair in pairs if pair[1].metric.compared), strict=True)

    def ratio(system: str, column: Column) -> str:
        ratios = results.ratios(column.key(section.benchmark, system), reference)
        return f"{median(ratios):.2f}" if ratios else ""

    yield f"The same, divided by the figure of {reference}:"
    yield ""
    yield from _table(Grid(grid.caption, headings, columns), rows, ratio)


def _table(grid: Grid, rows: Sequence[str], cell: Callable[[str, Column], str]) -> Iterator[str]:
    yield "| | " + " | ".join(grid.headings) + " |"
    yield "| --- |" + " ---: |" * len(grid.columns)
    for system in rows:
        cells = (cell(system, column) for column in grid.columns)
        yield f"| {system} | " + " | ".join(cells) + " |"
    yield ""


def _figure(values: Sequence[float], metric: Metric) -> str:
    """The median, and how far the values lie apart."""
    if not values:
        return ""
    low, middle, high = (
        f"{x:,.{metric.digits}f}" for x in (min(values), median(values), max(values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def _caption(section: Section, column: Column) -> str:
    """What is the same in a whole table."""
    parts = (
        []
        if METRIC in section.columns
        else [f"{column.metric.title} ({column.metric.better.value})"]
    )
    parts += [shown(*each) for each in column.parameters if each[0] not in section.columns]
    return ", ".join(parts)


def _heading(section: Section, column: Column) -> str:
    parts = [column.metric.title] if METRIC in section.columns else []
    parts += [shown(*each) for each in column.parameters if each[0] in section.columns]
    return ", ".join(parts) or column.metric.title
