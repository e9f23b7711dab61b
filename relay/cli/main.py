"""The root of the `icelane` command."""

from typing import Annotated

import typer

from relay.cli import (
    call,
    dataplane,
    flows,
    keys,
    maps,
    relay,
    signaling,
    top,
    transceiver,
    ufrag,
    up,
)
from relay.cli.errors import Commands

app = typer.Typer(
    name="icelane",
    cls=Commands,
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


app.command()(up.up)
app.command()(call.call)
app.add_typer(relay.app, name="relay")
app.add_typer(transceiver.app, name="transceiver")
app.add_typer(signaling.app, name="signaling")
app.command()(flows.flows)
app.command()(top.top)
app.add_typer(dataplane.app, name="dataplane")
app.add_typer(maps.app, name="maps")
app.add_typer(keys.app, name="keys")
app.add_typer(ufrag.app, name="ufrag")


def main() -> None:
    """Run the command line."""
    app()
