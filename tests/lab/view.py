"""Output of the demo on a terminal: steps with check marks, live progress, the results."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tests.lab.call_result import CallResult


@dataclass(frozen=True, slots=True)
class CallProgress:
    """Progress of a running call.

    Attributes:
        seconds: Since the start of the call.
        path: Transport addresses of its flow: client, VIP, upstream, transceiver.
        to_transceiver: Packets of the flow so far, towards the transceiver.
        to_client: Packets of the flow so far, towards the client.
        by_kernel: Packets that the kernel has forwarded so far.
        by_agent: Packets that the agent has forwarded so far.
        agent: State of the agent.
    """

    seconds: float
    path: tuple[str, ...] = ()
    to_transceiver: int = 0
    to_client: int = 0
    by_kernel: int = 0
    by_agent: int = 0
    agent: str = ""


class DemoView:
    """Prints the demo as it goes.

    Args:
        console: Where to print; a quiet console prints nothing.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def section(self, title: str) -> None:
        """Print the heading of a part of the demo."""
        self._console.print()
        self._console.print(Rule(Text(title, style="bold"), align="left", style="dim"))

    def step(self, text: str) -> None:
        """Print a step that has succeeded."""
        self._console.print(Text.assemble(("✓ ", "green"), text))

    def failure(self, text: str) -> None:
        """Print what has failed."""
        self._console.print(Text.assemble(("✗ ", "red"), text))

    def call_result(self, call: CallResult) -> None:
        """Print the result of a call in one line, or what was wrong with it."""
        problems = list(call.problems())
        for problem in problems:
            self.failure(problem)
        if not problems:
            self.step(_one_line(call))

    @contextmanager
    def live(self) -> Iterator[Live]:
        """A live display, which is removed at the end."""
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            yield live

    def show_progress(self, live: Live, progress: CallProgress) -> None:
        """Update the live display."""
        live.update(_progress(progress), refresh=True)

    def results(self, calls: Sequence[CallResult]) -> None:
        """Print a table of all results, and a sentence about each."""
        self._console.print()
        self._console.print(_results_table(calls))
        for sentence in map(_conclusion, calls):
            self._console.print(sentence)


def _progress(progress: CallProgress) -> Group:
    counts = Table.grid(padding=(0, 3))
    for _ in range(3):
        counts.add_column(justify="right")
    counts.add_row(
        f"{progress.seconds:4.1f} s",
        f"to transceiver [bold]{progress.to_transceiver}[/]",
        f"to client [bold]{progress.to_client}[/]",
    )
    counts.add_row(
        "",
        f"by kernel [bold green]{progress.by_kernel}[/]",
        f"by agent [bold yellow]{progress.by_agent}[/]",
    )
    path = " → ".join(progress.path) if progress.path else "no flow yet"
    return Group(Text("  " + path, style="cyan"), counts, Text("  agent " + progress.agent))


def _one_line(call: CallResult) -> str:
    audio = f"{call.sent} audio packets sent, {call.returned} returned, {call.lost} lost"
    if call.loss_until is not None:
        return f"recovered after {_milliseconds(call.longest_gap_ms)}: {audio}"
    return f"call ended: {audio}"


def _results_table(calls: Sequence[CallResult]) -> Table:
    table = Table(title="Call results", title_justify="left", title_style="bold")
    table.add_column("")
    for call in calls:
        table.add_column(call.title, justify="right")
    rows = {
        "time to first audio": [_milliseconds(call.setup_ms) for call in calls],
        "audio packets sent": [str(call.sent) for call in calls],
        "audio packets returned": [str(call.returned) for call in calls],
        "lost to transceiver": [_count(call.lost_to_server) for call in calls],
        "lost to client": [_count(call.lost_to_client) for call in calls],
        "longest audio gap": [_milliseconds(call.longest_gap_ms) for call in calls],
        "forwarded by kernel": [str(call.by_kernel) for call in calls],
        "forwarded by agent": [str(call.by_agent) for call in calls],
        "share of the kernel": [f"{call.kernel_share:.1%}" for call in calls],
        "result": [_passed(call) for call in calls],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _conclusion(call: CallResult) -> str:
    name = call.title.replace("\n", " ")
    if problems := list(call.problems()):
        return f"{name}: {'; '.join(problems)}."
    if call.loss_until is not None:
        return (
            f"{name}: {call.lost} audio packets were lost until {call.loss_until}; then the call "
            "continued."
        )
    if call.recovered_flows is not None:
        return (
            f"{name}: no audio packet was lost; the kernel forwarded {call.kernel_share:.1%} of "
            "all packets, without the agent."
        )
    return f"{name}: no audio packet was lost; the agent forwarded all packets."


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _passed(call: CallResult) -> str:
    return "[red]failed[/]" if any(call.problems()) else "[green]passed[/]"
