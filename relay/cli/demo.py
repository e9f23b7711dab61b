"""`icelane demo`: real calls through a relay on this machine, with its agent killed meanwhile."""

import json
import signal
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from relay.lab.figures import Figures

SHORTEST = 6.0  # seconds: an agent needs time to start again while the call goes on


def demo(
    seconds: Annotated[
        float, typer.Option(min=SHORTEST, max=600.0, help="How long each call lasts.")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Place real calls through the kernel, kill the agent meanwhile, and count what is lost."""
    from rich.console import Console

    from relay.lab.demo import Demo
    from relay.lab.errors import LabError
    from relay.lab.view import View

    view = View(Console(quiet=as_json, highlight=False))
    # So that the clean-up runs, as it does after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    calls: list[Figures] = []
    error: str | None = None
    try:
        calls = Demo(seconds, view).run()
    except LabError as problem:
        error = str(problem)
    except KeyboardInterrupt:
        error = "interrupted"
    ok = error is None and not any(problem for call in calls for problem in call.problems())
    if as_json:
        result = {"ok": ok, "error": error, "calls": [call.as_json() for call in calls]}
        typer.echo(json.dumps(result, indent=2))
    elif error is not None:
        view.failed(error)
    else:
        view.summary(calls)
    if not ok:
        raise typer.Exit(130 if error == "interrupted" else 1)
