"""The output of `icelane call`: live on a terminal, or as JSON."""

import json
import sys
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from rich.console import Console
from rich.status import Status
from rich.table import Table

from relay.caller.report import Report


class Output(AbstractContextManager["Output"], Protocol):
    """Shows a call; entered while the call lasts."""

    def progress(self, step: str, report: Report) -> None:
        """Show a step; see `relay.caller.call.place_call` for the names."""

    def finish(self, report: Report) -> None:
        """Show the complete report."""


class JsonOutput(Output):
    """One JSON object at the end, on standard output."""

    def __exit__(self, *exc_info: object) -> None:
        pass

    def progress(self, step: str, report: Report) -> None:
        """Print nothing before the end."""

    def finish(self, report: Report) -> None:
        """Print the report."""
        _print(report.as_json(), indent=2)


class JsonLinesOutput(Output):
    """A JSON object per line and step, on standard output; the report is the last one."""

    def __exit__(self, *exc_info: object) -> None:
        pass

    def progress(self, step: str, report: Report) -> None:
        """Print the report so far."""
        _print({"event": step, **report.as_json()})

    def finish(self, report: Report) -> None:
        """Print the report."""
        _print({"event": "report", **report.as_json()})


class TerminalOutput(Output):
    """Steps with check marks and a status line on standard error, a table at the end."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = Status("Calling", console=self._console)

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._status.stop()

    def progress(self, step: str, report: Report) -> None:
        """Print a completed step, or update the status line."""
        setup = report.setup_ms
        if step == "answer":
            self._done(f"Answered after {setup.answer:.0f} ms: call {report.call_id}")
            self._status.update("Connecting")
        elif step == "connected":
            self._done(
                f"Connected to {report.remote} after {setup.dtls:.0f} ms (ICE {setup.ice:.0f} ms)"
            )
        elif step == "talking":
            received = report.received
            self._status.update(
                f"{report.seconds:4.1f} s   sent {report.sent}   "
                f"received {received.packets}   lost {received.lost}"
            )
        elif step == "settling":
            self._status.update("Waiting for the other side's last report")

    def finish(self, report: Report) -> None:
        """Print the table, if there was a call."""
        if not report.sent:
            return
        table = Table.grid(padding=(0, 2))
        for name, value in report.rows():
            table.add_row(name, value)
        Console().print(table)

    def _done(self, text: str) -> None:
        self._console.print(f"[green]✓[/] {text}", highlight=False)


def _print(document: dict[str, Any], indent: int | None = None) -> None:
    sys.stdout.write(json.dumps(document, indent=indent) + "\n")
    sys.stdout.flush()
