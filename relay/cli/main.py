"""The root of the `icelane` command."""

from typing import Annotated

import typer

from relay.cli import bench, demo, flows, keys, lab, relay, switch, up
from relay.cli.dataplane import maps_app
from signaling import cli as signaling
from transceiver import cli as transceiver

app = typer.Typer(
    name="icelane",
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
app.command()(signaling.call)
app.add_typer(relay.app, name="relay")
app.add_typer(transceiver.app, name="transceiver")
app.add_typer(signaling.app, name="signaling")
app.command()(flows.flows)
app.command()(flows.top)
app.add_typer(switch.app, name="dataplane")
app.add_typer(maps_app, name="maps")
app.add_typer(keys.keys_app, name="keys")
app.add_typer(keys.ufrag_app, name="ufrag")
app.add_typer(lab.app, name="lab")
app.command()(demo.demo)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line."""
    app()
