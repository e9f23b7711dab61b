"""What a page says of fail-over, in Markdown. Pure."""

from collections.abc import Iterator, Sequence

from tests.bench.failover.figures import Figure, Figures
from tests.bench.failover.plan import CALLS

HEAD = (
    *("what", "whose", "times", "routed", "flows"),
    *("p50", "p99", "most", "lost", "of flows"),
)
_LEFT = 2

_INTRODUCTION = """\
Measured by `{command}` on {processor} with {kernel}. {load:.1f} processes wanted to run there as it
began (load average); all machines of the lab are namespaces on it.
"""


def tables(figures: Figures) -> str:
    """All of them, under headings."""
    machine = figures.machine
    parts = [
        _INTRODUCTION.format(
            command=figures.command,
            processor=f"{machine.get('cores', '?')} cores of {machine.get('processor', 'unknown')}",
            kernel=f"Linux {machine.get('kernel', '?')}",
            load=figures.load,
        )
    ]
    kinds = dict.fromkeys((each.traffic, each.dataplane, each.mirror) for each in figures.figures)
    for traffic, dataplane, mirror in kinds:
        rows = [
            each
            for each in figures.figures
            if (each.traffic, each.dataplane, each.mirror) == (traffic, dataplane, mirror)
        ]
        parts.append(f"### {heading(traffic, dataplane, mirror=mirror)}\n")
        parts.append(f"A packet each {figures.period[traffic]:.0f} ms each way. Milliseconds.\n")
        parts.append(_table(HEAD, map(row, rows)))
    return "\n".join(parts)


def heading(traffic: str, dataplane: str, *, mirror: bool) -> str:
    """What a table is about."""
    what = "Real calls" if traffic == CALLS else "Generated flows"
    return f"{what}, {dataplane}, {'with a mirror' if mirror else 'no mirror'}"


def row(figure: Figure) -> list[str]:
    """A figure's cells, in the order of `HEAD`."""
    return [
        figure.what,
        figure.whose,
        str(figure.times),
        "" if figure.routed is None else f"{figure.routed:.0f}",
        str(figure.count),
        *(f"{value:.0f}" for value in figure.silence),
        str(figure.lost),
        str(figure.flows_with_loss),
    ]


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * _LEFT + " ---: |" * (len(head) - _LEFT),
    ]
    lines += ["| " + " | ".join(each) + " |" for each in rows]
    return "\n".join(lines) + "\n"
