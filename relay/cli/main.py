"""The root of the `icelane` command."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

import typer

from relay.cli.command import EXAMPLES
from relay.cli.errors import EXIT_CODES
from relay.cli.lazy import LazyGroup


class Icelane(LazyGroup):
    """The commands, below the headings of the help, and where they are."""

    sections: ClassVar[Mapping[str, Iterable[str]]] = {
        "Run": ("up", "relay", "transceiver", "signaling", "agent"),
        "Look and steer": (
            *("calls", "flows", "trace", "top", "stats", "maps", "registry", "dataplane"),
        ),
        "Set up and check": ("config", "keys", "ufrag", "doctor", "call"),
    }
    places: ClassVar[Mapping[str, str]] = {
        name: f"relay.cli.{name}" for names in sections.values() for name in names
    }

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the whole, with the exit codes that all commands have."""
        super().format_help(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), f"{why}.") for code, why in EXIT_CODES.items()])
        formatter.write_paragraph()
        formatter.write_text("`icelane call` has more of them: see its help.")


app = typer.Typer(
    name="icelane",
    cls=Icelane,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"""A voice-AI media ingress: one UDP address, routed by the ICE ufrag, forwarded by XDP.

    `icelane COMMAND --help` explains a command, with examples. Every listing has --json.

    {EXAMPLES}
        icelane up                          # all on this host: open the page and talk
        icelane doctor                      # what would keep calls from working?
        icelane config example > icelane.toml
        icelane relay run --config icelane.toml
        icelane --install-completion        # names and values by the Tab key
    """,
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
