"""``python -m tests.bench fleet``: each of eight relays is killed in turn, under many flows."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tests.bench.errors import BenchError, file_errors

if TYPE_CHECKING:
    from tests.bench.fleet.measure import Fleet, Outcome


def fleet(
    *,
    relays: Annotated[int, typer.Option(min=2, max=26, help="How many relays.")] = 8,
    flows: Annotated[
        int, typer.Option(min=1, help="Flows of all of them; 1000000 where the machine has room.")
    ] = 8_000,
    rate: Annotated[
        float, typer.Option(min=0.01, help="Packets a second of a flow, each way.")
    ] = 0.5,
    check_every: Annotated[
        float, typer.Option(min=1.0, help="Seconds between two checks of a client.")
    ] = 15.0,
    dataplane: Annotated[str, typer.Option(help="xdp or userspace.")] = "xdp",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where figures go.", dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Every relay of a fleet is killed in turn, under many flows and one Redis Cluster.

    Prints the flows and packets lost, what came to somebody else (the aim is 0), and what Redis
    had to bear at most.
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

    from tests.bench.compare.machine import describe
    from tests.bench.fleet.measure import Fleet, measure
    from tests.lab.errors import LabError

    if os.geteuid() != 0:
        raise BenchError("the lab is made of network namespaces, which needs root")
    if dataplane not in ("xdp", "userspace"):
        raise BenchError(f"there is no dataplane {dataplane!r}: name xdp or userspace")
    console = Console(stderr=True, highlight=False)
    wanted = Fleet(relays, flows, rate, check_every, dataplane)
    load = os.getloadavg()[0]
    try:
        found = measure(wanted, lambda step: console.print(step, style="dim", markup=False))
    except LabError as error:
        raise BenchError(str(error)) from None
    command = shlex.join(
        [
            *("python", "-m", "tests.bench", "fleet", "--relays", str(relays)),
            *("--flows", str(flows), "--rate", f"{rate:g}", "--check-every", f"{check_every:g}"),
            *("--dataplane", dataplane),
        ]
    )
    told = {"command": command, "machine": describe(), "load": load, **asdict(found)}
    text = json.dumps(told, indent=1) + "\n"
    if output is not None:
        with file_errors():
            output.write_text(text, "utf-8")
    if as_json:
        typer.echo(text, nl=False)
        return
    _show(wanted, found)


def _show(fleet: "Fleet", found: "Outcome") -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{fleet.relays} relays, {fleet.flows:,} flows, {fleet.dataplane}"
    table = Table("what", "how much", title=title)
    median, p99, most = (f"{1000 * each:,.0f} ms" for each in found.silence)
    for what, how_much in (
        ("relays killed, and started again", f"{found.killed}"),
        ("flows set up in", f"{found.connected:.0f} s"),
        ("flows that moved to another relay", f"{found.moved:,}"),
        ("silent beyond their own pace: median, p99, longest", f"{median}, {p99}, {most}"),
        ("packets lost, of those sent", f"{found.lost:,} of {found.sent:,}"),
        ("flows lost", f"{found.lost_flows:,}"),
        ("packets that came to somebody else", f"{found.misdelivered:,}"),
        ("requests of Redis in a second, at most", f"{found.redis_requests:,}"),
        ("those of its busiest shard", f"{found.redis_busiest:,}"),
        ("memory of Redis, at most", f"{found.redis_megabytes:,.1f} MB"),
        ("keys in it, at most", f"{found.redis_records:,}"),
    ):
        table.add_row(what, how_much)
    out = Console(highlight=False)
    out.print(table)
    for stray in found.strays:
        out.print(str(stray), markup=False)
