"""The pictures of the report."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench.compare.report.markdown import Column, grids, present, shown
from tests.bench.compare.report.results import Results
from tests.bench.compare.report.sections import Section

_WIDTH = 8.0  # inches
_BAR, _MARGIN = 0.16, 1.2  # inches of height for a bar, and around them
_OURS = "icelane"


def draw(section: Section, results: Results, path: Path) -> None:
    """Draw a section's picture as SVG; the same results give the same file.

    Each system has a bar for each column of the plotted metric, with a line from the lowest
    to the highest value; or, where there are more than two numbers of flows, a curve.
    """
    columns = _columns(section, results)
    flows = {value for each in columns for name, value in each.parameters if name == "flows"}
    with mpl.rc_context({"svg.hashsalt": section.benchmark, "font.size": 8}):
        figure = Figure(figsize=(_WIDTH, _WIDTH / 2), layout="constrained")
        if len(flows) > 2:
            _draw_curves(figure, section, columns, results)
        else:
            _draw_bars(figure, section, columns, results)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _columns(section: Section, results: Results) -> list[Column]:
    return [
        column
        for grid in grids(section, results)
        for column in grid.columns
        if column.metric.name == section.main
    ]


def _draw_bars(
    figure: Figure, section: Section, columns: Sequence[Column], results: Results
) -> None:
    systems = present(section, columns, results)
    figure.set_size_inches(_WIDTH, _MARGIN + _BAR * len(systems) * (len(columns) + 1))
    axes = figure.subplots()
    metric = columns[0].metric
    height = 1 / (len(columns) + 1)
    for place, column in enumerate(columns):
        at, medians, spread = [], [], []
        for row, name in enumerate(systems):
            values = results.values(column.key(section.benchmark, name))
            if values:
                at.append(row + place * height)
                medians.append(median(values))
                spread.append((median(values) - min(values), max(values) - median(values)))
        below, above = zip(*spread, strict=True)
        label = ", ".join(shown(*each) for each in column.parameters)
        bars = axes.barh(
            at, medians, height, xerr=(below, above), label=label, error_kw={"lw": 0.7}
        )
        axes.bar_label(bars, fmt=f"{{:,.{metric.digits}f}}", padding=2, fontsize=6)
    axes.set_yticks([row + height * (len(columns) - 1) / 2 for row in range(len(systems))])
    axes.set_yticklabels(systems)
    axes.invert_yaxis()
    axes.margins(x=0.1)  # for the labels
    axes.set_xlabel(f"{metric.title} ({metric.better.value})")
    if len(columns) > 1:
        axes.legend(fontsize=7)


def _draw_curves(
    figure: Figure, section: Section, columns: Sequence[Column], results: Results
) -> None:
    """A panel for each combination of the other parameters that has several numbers of flows."""
    panels: dict[str, list[Column]] = {}
    for column in columns:
        others = (shown(*each) for each in column.parameters if each[0] != "flows")
        panels.setdefault(", ".join(others), []).append(column)
    panels = {title: members for title, members in panels.items() if len(members) > 1}
    systems = present(section, columns, results)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, members) in zip(all_axes, panels.items(), strict=True):
        for name in systems:
            points = sorted(
                (int(dict(column.parameters)["flows"]), values)
                for column in members
                if (values := results.values(column.key(section.benchmark, name)))
            )
            if points:
                flows = [each for each, _ in points]
                axes.plot(
                    flows,
                    [median(values) for _, values in points],
                    marker="o" if name.startswith(_OURS) else ".",
                    linewidth=2 if name.startswith(_OURS) else 1,
                    label=name,
                )
        axes.set(xscale="log", yscale="log", xlabel="flows", title=title)
        axes.grid(visible=True, alpha=0.3)
    metric = columns[0].metric
    all_axes[0].set_ylabel(f"{metric.title} ({metric.better.value})")
    all_axes[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
