"""What a person sees of the demo: steps with check marks, the live flow, the summary."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tests.lab.figures import Figures


@dataclass(frozen=True, slots=True)
class Moment:
    """What is seen of a call at one moment.

    Attributes:
        seconds: Since the call began.
        path: The addresses that its flow runs through, from the client to the transceiver.
        to_transceiver: Packets of the flow so far, towards the transceiver.
        to_client: Packets of the flow so far, towards the client.
        by_kernel: Packets of the call that the kernel forwarded so far.
        by_agent: Packets of the call that the agent forwarded so far.
        agent: What the agent is doing.
    """

    seconds: float
    path: tuple[str, ...] = ()
    to_transceiver: int = 0
    to_client: int = 0
    by_kernel: int = 0
    by_agent: int = 0
    agent: str = ""


class View:
    """Prints the demo as it goes.

    Args:
        console: Where to; a quiet one prints nothing.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, title: str) -> None:
        """Begin a part of the demo."""
        self._console.print()
        self._console.print(Rule(Text(title, style="bold"), align="left", style="dim"))

    def done(self, step: str) -> None:
        """A step has succeeded."""
        self._console.print(Text.assemble(("✓ ", "green"), step))

    def failed(self, problem: str) -> None:
        """Something went wrong."""
        self._console.print(Text.assemble(("✗ ", "red"), problem))

    def outcome(self, call: Figures) -> None:
        """A call has ended; say in a line what it came to."""
        problems = list(call.problems())
        for problem in problems:
            self.failed(problem)
        if not problems:
            self.done(_outcome(call))

    @contextmanager
    def live(self) -> Iterator[Live]:
        """A place that shows moments as they change, and nothing afterwards."""
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            yield live

    def show(self, live: Live, moment: Moment) -> None:
        """Show a moment."""
        live.update(_moment(moment), refresh=True)

    def summary(self, calls: Sequence[Figures]) -> None:
        """Show what all calls came to, side by side."""
        self._console.print()
        self._console.print(_summary(calls))
        for sentence in map(_in_words, calls):
            self._console.print(sentence)


def _moment(moment: Moment) -> Group:
    counts = Table.grid(padding=(0, 3))
    for _ in range(3):
        counts.add_column(justify="right")
    counts.add_row(
        f"{moment.seconds:4.1f} s",
        f"to transceiver [bold]{moment.to_transceiver}[/]",
        f"to client [bold]{moment.to_client}[/]",
    )
    counts.add_row(
        "",
        f"by the kernel [bold green]{moment.by_kernel}[/]",
        f"by the agent [bold yellow]{moment.by_agent}[/]",
    )
    path = " → ".join(moment.path) if moment.path else "no flow yet"
    return Group(Text("  " + path, style="cyan"), counts, Text("  agent " + moment.agent))


def _outcome(call: Figures) -> str:
    audio = f"{call.sent} audio packets sent, {call.returned} returned, {call.lost} lost"
    if call.loss_allowed:
        return f"the call went on after {_milliseconds(call.silence_ms)}: {audio}"
    return f"the call is over: {audio}"


def _summary(calls: Sequence[Figures]) -> Table:
    table = Table(title="What the calls came to", title_justify="left", title_style="bold")
    table.add_column("")
    for call in calls:
        table.add_column(call.title, justify="right")
    rows = {
        "set-up, to first audio": [_milliseconds(call.setup_ms) for call in calls],
        "audio packets sent": [str(call.sent) for call in calls],
        "audio packets returned": [str(call.returned) for call in calls],
        "lost on the way there": [_count(call.lost_to_server) for call in calls],
        "lost on the way back": [_count(call.lost_to_client) for call in calls],
        "longest silence": [_milliseconds(call.silence_ms) for call in calls],
        "all packets, by kernel": [_part(call, call.by_kernel) for call in calls],
        "all packets, by agent": [_part(call, call.by_agent) for call in calls],
        "verdict": [_verdict(call) for call in calls],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _in_words(call: Figures) -> str:
    name = call.title.replace("\n", " ")
    if problems := list(call.problems()):
        return f"{name}: {'; '.join(problems)}."
    if call.loss_allowed:
        return (
            f"{name}: {call.lost} packets were lost while no relay was there; then the call went "
            "on, because the new agent found the flow in Redis."
        )
    if call.taken_over is not None:
        return (
            f"{name}: not one audio packet was lost, because the kernel forwarded "
            f"{call.kernel_share:.1%} of all packets and needed no agent for them."
        )
    return f"{name}: the agent forwarded every packet itself, and none was lost."


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _part(call: Figures, packets: int) -> str:
    whole = call.by_kernel + call.by_agent
    return f"{packets} ({packets / whole:.1%})" if whole else str(packets)


def _verdict(call: Figures) -> str:
    return "[red]failed[/]" if any(call.problems()) else "[green]good[/]"
