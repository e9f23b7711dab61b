"""``python -m tests.soak``, which `make soak` runs."""

import json
import os
import secrets
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from relay.dataplane.interface import DataplaneChoice
from tests.commands import OneCommand
from tests.lab.errors import LabError
from tests.signals import cleaned_up
from tests.soak.plan import FAULTS
from tests.soak.soak import Outcome, Settings, run

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(cls=OneCommand)
def soak(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="How long, with each dataplane.")] = 900.0,
    dataplane: Annotated[
        list[DataplaneChoice] | None, typer.Option(help="Only this one; by default both.")
    ] = None,
    calls: Annotated[int, typer.Option(min=1, help="How many calls.")] = 300,
    rate: Annotated[
        float, typer.Option(min=1, help="Packets a second, of a call each way.")
    ] = 20.0,
    seed: Annotated[int | None, typer.Option(help="Repeats the plan of an earlier run.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Many calls for a long time, while agent, workers, Redis and links come and go.

    With XDP no packet may be lost but while a link is down; with both, nothing may be left over.
    """
    if os.geteuid() != 0:
        raise LabError("the soak makes network namespaces and loads BPF, which needs root")
    console = Console(stderr=True, highlight=False)
    seed = secrets.randbelow(2**32) if seed is None else seed
    console.print(f"[dim]--seed {seed} repeats this plan[/]")
    outcomes = [
        run(
            Settings(each, seconds, seed, calls, rate, f"soak-{os.getpid()}"),
            lambda step: console.print(f"[dim]{step}[/]"),
        )
        for each in dataplane or FAULTS
    ]
    if as_json:
        typer.echo(json.dumps([dumped(each) for each in outcomes]))
    else:
        for outcome in outcomes:
            _show(outcome)
    if any(outcome.problems for outcome in outcomes):
        raise typer.Exit(1)


def dumped(outcome: Outcome) -> dict[str, Any]:
    """An outcome, as `--json` prints it."""
    said = asdict(outcome)
    for name in ("lost", "strange"):
        said["account"][name] = len(said["account"][name])
    said["faults"] = dict(outcome.faults)  # asdict spoils a Counter (before Python 3.12)
    return said


def _show(outcome: Outcome) -> None:
    console = Console(highlight=False)
    account = outcome.account
    table = Table(
        title=f"{outcome.settings.dataplane}: {outcome.settings.calls} calls for "
        f"{outcome.seconds:.0f} s",
        title_justify="left",
    )
    table.add_column("fault")
    for column in ("times", "slowest until all pass"):
        table.add_column(column, justify="right")
    for fault, times in outcome.faults.items():
        table.add_row(fault, str(times), f"{outcome.slowest[fault]:.2f} s")
    console.print(table)
    console.print(
        f"{account.sent:,} packets sent; lost: {account.excused:,} while a link or the forwarding "
        f"process was down, {len(account.lost):,} otherwise; {account.duplicated:,} came twice, "
        f"{len(account.strange):,} damaged or another's"
    )
    for name, each in (("before", outcome.before), ("after", outcome.after)):
        if each is not None:
            console.print(
                f"{name}: " + ", ".join(f"{key} {value:,}" for key, value in asdict(each).items())
            )
    for problem in outcome.problems:
        console.print(f"[red]{problem}[/]")


if __name__ == "__main__":
    with cleaned_up():
        app()
