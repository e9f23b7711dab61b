"""The root of the `icelane` command."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from relay.cli.lazy import LazyGroup


class Icelane(LazyGroup):
    """The commands, in the order of the help, and where they are."""

    places: ClassVar[Mapping[str, str]] = {
        name: f"relay.cli.{name}"
        for name in (
            *("up", "call", "calls", "flows", "top", "stats"),
            *("relay", "transceiver", "signaling", "agent", "dataplane", "registry"),
            *("maps", "keys", "ufrag", "doctor"),
        )
    }


app = typer.Typer(
    name="icelane",
    cls=Icelane,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A voice-AI media ingress: one UDP address, routed by the ICE ufrag, forwarded by XDP.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"icelane {version('icelane')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    app()
