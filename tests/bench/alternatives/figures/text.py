"""The table as text: Markdown for the page, and what a terminal shows. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from statistics import median

from rich.table import Table

from tests.bench.alternatives.figures.layout import COLUMNS, ROWS, Cell, cells
from tests.bench.compare.report.results import Results

TITLE = "What was decided against"

_TEXT = """\
The designs that Icelane was not given, each with the same client and the same transceiver. To
measure that on your own machine, as root, run `make bench-alternatives`. The figures are from

```sh
{command}
```

on {processor} with {kernel} and
{versions}; {rounds}, in each of which all had their turn.
A figure is the median, with the lowest and the highest value in brackets. What else the machine did
shows as spread.

* **TURN**: clients allocate an address at coturn, and use no other path.
* **A port per session**: a transceiver at the public address opens a UDP port for each session.
  Where there are many sessions they are ICE agents without media, and the server has their keys
  again when it is started again, which servers of calls have not.
* **SFU**: Janus's videocall plugin has a connection with the client, and another one with the
  transceiver, and decrypts and encrypts what passes.
* **One service**: the transceiver has the public address itself. Many sessions are as above.

Round trips are what a delay line adds, divided by its own. An SFU sets its second connection up
while the client's packets are on their way, so that one shows where they are not under way for
long. A packet's way there and back is timed in the kernel of both hosts, from real calls, whose
packets come one by one, so that each wakes up the process that it passes. What is killed and
started is what clients send their media to: Icelane's relay, with its flows in Redis, coturn, Janus
or the transceiver; it takes new calls when it says that it is ready. Some tens of milliseconds of a
pause, with no packet lost, are Python's at the ends. Memory is that of what has the public address;
behind Icelane and TURN, the sessions themselves take what they take of one service. The last figure
is for a relay that has lost all, also what the kernel had, and restores it from Redis.
"""
_PACKAGES = ("coturn", "janus", "nftables")


def figure(cell: Cell, digits: int, numbered: Mapping[str, int]) -> str:
    """A cell's values: the median, and how far they lie apart; or the number of the reason."""
    if not cell.values:
        return f"({numbered[cell.reason]})" if cell.reason is not None else ""
    low, middle, high = (
        f"{x:,.{digits}f}" for x in (min(cell.values), median(cell.values), max(cell.values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def numbered_reasons(found: Iterable[Cell]) -> dict[str, int]:
    """Why cells are empty, each with a number, in the table's order."""
    every = dict.fromkeys(each.reason for each in found if each.reason is not None)
    return {reason: number for number, reason in enumerate(every, start=1)}


def section(results: Results) -> str:
    """The page's section."""
    machine = results.machine
    versions = ", ".join(f"{name} {machine[name]}" for name in _PACKAGES if name in machine)
    rounds = f"{results.rounds} rounds" if results.rounds > 1 else "one round"
    about = _TEXT.format(
        command=results.command,
        rounds=rounds,
        processor=f"{machine.get('cores', '?')} cores of {machine.get('processor', 'unknown')}",
        kernel=f"Linux {machine.get('kernel', '?')}",
        versions=versions or "no package of those",
    )
    found = list(cells(results))
    lines = [f"## {TITLE}", "", about]
    lines.append("| | " + " | ".join(column.title for column in COLUMNS) + " |")
    lines.append("| --- |" + " ---: |" * len(COLUMNS))
    lines += [f"| {' | '.join(row)} |" for row in _rows(found)]
    lines += ["", "Not measured:", ""]
    lines += [f"{number}. {reason}" for reason, number in numbered_reasons(found).items()]
    return "\n".join(lines) + "\n"


def table(results: Results) -> Table:
    """What a terminal shows."""
    shown = Table(title=f"{TITLE}, {results.rounds} rounds", title_justify="left")
    shown.add_column("")
    for column in COLUMNS:
        shown.add_column(column.title, justify="right")
    for row in _rows(list(cells(results))):
        shown.add_row(*row)
    return shown


def _rows(found: Sequence[Cell]) -> Iterator[list[str]]:
    numbers = numbered_reasons(found)
    grouped = [list(group) for _, group in groupby(found, key=lambda cell: cell.row)]
    for row, group in zip(ROWS, grouped, strict=True):
        yield [group[0].row, *(figure(each, row.digits, numbers) for each in group)]
