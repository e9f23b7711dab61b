"""The lab's command line, ``python -m tests.lab``, which `make demo` and `make lab-*` run."""

import json
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.errors import Commands
from relay.errors import IcelaneError, OutputError
from tests.signals import ENDING, cleaned_up, handled

if TYPE_CHECKING:
    from tests.lab.call_result import CallResult

MIN_SECONDS = 6.0  # of a demo call, so that the agent can be restarted during it


app = typer.Typer(
    name="python -m tests.lab",
    cls=Commands,
    pretty_exceptions_enable=False,
    help="A lab on this machine: network namespaces with Icelane's services in them.",
    no_args_is_help=True,
)


def _labs() -> list[str]:
    from tests.lab.lab import names

    return names()


def _hosts(ctx: typer.Context) -> list[str]:
    from tests.lab.lab import Lab

    return list(Lab(ctx.params.get("name") or "default").hosts)


Name = Annotated[
    str,
    typer.Option(help="Name of the lab; several can be up at the same time.", autocompletion=_labs),
]


class Dataplane(StrEnum):
    """Dataplane of the lab's relay."""

    XDP = "xdp"
    USERSPACE = "userspace"
    AUTO = "auto"


@app.command()
def up(
    dataplane: Annotated[Dataplane, typer.Option(help="Dataplane of the relay.")] = (
        Dataplane.AUTO
    ),
    redis: Annotated[
        bool,
        typer.Option("--redis", help="Run a redis-server, to which the relay mirrors its flows."),
    ] = False,
    relay_user: Annotated[
        str | None, typer.Option(help="Run the relay as this user (userspace dataplane only).")
    ] = None,
    nat: Annotated[
        bool,
        typer.Option("--nat", help="Put a 1:1 NAT before the relay, as a cloud does (needs nft)."),
    ] = False,
    name: Name = "default",
) -> None:
    """Bring a lab up; prints the URL of signaling, for calls from the client."""
    from rich.console import Console

    from tests.lab.config import SIGNALING_URL, Options
    from tests.lab.lab import Lab

    console = Console(stderr=True, highlight=False)
    lab = Lab(name)
    lab.up(
        Options(dataplane=dataplane.value, redis=redis, relay_user=relay_user, nat=nat),
        lambda step: console.print(f"[green]✓[/] {step}"),
    )
    arguments = "" if name == "default" else f' ARGS="--name {name}"'
    console.print(
        f"Next: make lab-shell HOST=client{arguments}\n"
        f"        icelane call {SIGNALING_URL}\n"
        f"        icelane top --instance {lab.instance}\n"
        f"      make lab-down{arguments}"
    )
    typer.echo(SIGNALING_URL)


@app.command()
def down(name: Name = "default") -> None:
    """Take a lab down and remove all of it."""
    from rich.console import Console

    from tests.lab.lab import Lab

    console = Console(stderr=True, highlight=False)
    if not Lab(name).down(lambda step: console.print(f"[green]✓[/] {step}")):
        console.print(f"The lab {name!r} is not up: there is nothing to remove.")


@app.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
def execute(
    host: Annotated[
        str, typer.Argument(help="client, relay, transceiver, or nat.", autocompletion=_hosts)
    ],
    command: Annotated[list[str], typer.Argument(help="The command with its arguments.")],
    name: Name = "default",
) -> None:
    """Run a command in a host of the lab."""
    from tests.lab.lab import Lab, require_root

    require_root()
    lab = Lab(name)
    target = lab.host(host)
    lab.require_up()
    line = target.command(command)
    os.execvp(line[0], line)  # noqa: S606  # no shell is wanted: the arguments are a list


@app.command()
def status(
    name: Name = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show whether a lab is up, and its services."""
    from rich.console import Console
    from rich.table import Table

    from tests.lab.lab import Lab

    state = Lab(name).status()
    if as_json:
        typer.echo(json.dumps(state, indent=2))
        return
    console = Console(highlight=False)
    if not state["up"]:
        console.print(f"The lab {name!r} is not up.")
        return
    console.print(f"Lab {name}: dataplane {state['dataplane']}, signaling {state['signaling_url']}")
    table = Table("service", "host", "PID", "log", box=None)
    for each in state["services"]:
        running = str(each["pid"]) if each["pid"] is not None else "[red]not running[/]"
        table.add_row(each["name"], each["host"], running, each["log"])
    console.print(table)


@app.command()
def demo(
    seconds: Annotated[
        float, typer.Option(min=MIN_SECONDS, max=600.0, help="How long each call lasts.")
    ] = 10.0,
    fail_over: Annotated[
        bool, typer.Option(help="Also lose the host of a call, one of three behind a router.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Place real calls in a lab, kill the relay's agent during them, and count lost packets."""
    from rich.console import Console

    from tests.lab.demo import Demo
    from tests.lab.view import DemoView

    view = DemoView(Console(quiet=as_json, highlight=False))
    # The lab is removed after SIGTERM as after Ctrl-C. What that breaks may raise after it.
    interrupted: list[int] = []

    def interrupt(number: int, _: object) -> None:
        interrupted.append(number)
        raise KeyboardInterrupt

    results: list[CallResult] = []
    error: str | None = None
    placed = Demo(seconds, view, fail_over=fail_over)
    try:
        with handled(interrupt, *ENDING):
            results = placed.run()
    except OutputError:
        raise  # there is nowhere to report to
    except IcelaneError as problem:
        error = str(problem)
    except KeyboardInterrupt:
        pass
    error = "interrupted" if interrupted else error
    ok = error is None and not any(problem for result in results for problem in result.problems())
    if as_json:
        report = {
            "ok": ok,
            "error": error,
            "host": placed.host.as_json() if placed.host else None,
            "calls": [result.as_json() for result in results],
        }
        typer.echo(json.dumps(report, indent=2))
    elif error is not None:
        view.failure(error)
    else:
        view.results(results)
    if not ok:
        raise typer.Exit(130 if interrupted else 1)


if __name__ == "__main__":
    with cleaned_up():
        app()
