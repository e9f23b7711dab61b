"""What a page says of fail-over, in Markdown. Pure."""

from collections.abc import Iterator, Sequence

from tests.bench.failover.figures import Figure, Figures, Kind, Record
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


def tables(record: Record) -> str:
    """All of them, run by run."""
    return "\n".join(map(_run, record.runs))


def _run(figures: Figures) -> str:
    machine = figures.machine
    parts = [
        _INTRODUCTION.format(
            command=figures.command,
            processor=f"{machine.get('cores', '?')} cores of {machine.get('processor', 'unknown')}",
            kernel=f"Linux {machine.get('kernel', '?')}",
            load=figures.load,
        )
    ]
    for kind in dict.fromkeys(each.kind for each in figures.figures):
        rows = [each for each in figures.figures if each.kind == kind]
        parts.append(f"### {heading(kind)}\n")
        period = figures.period[kind.traffic]
        parts.append(f"A packet each {period:.0f} ms each way. Milliseconds.\n")
        parts.append(_table(HEAD, map(row, rows)))
    return "\n".join(parts)


def heading(kind: Kind) -> str:
    """What a table is about."""
    what = "Real calls" if kind.traffic == CALLS else "Generated flows"
    return f"{what}, {kind.dataplane}, {'with a mirror' if kind.mirror else 'no mirror'}"


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
