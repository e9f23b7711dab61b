"""How a command ends when it cannot do what it was asked: one sentence, no traceback.

`EXIT_CODES` has them all; `icelane call` has more, see `relay.caller.errors.Failure`.
"""

import sys
from typing import Any, NoReturn

import typer

from relay.cli.command import Group
from relay.errors import ConfigError, IcelaneError, OutputError
from relay.streams import PIPE_CLOSED, usable_output

#: With what a command ends, and why.
EXIT_CODES = {
    0: "it is done, and the answer is yes",
    1: "it could not be done, or the answer is no",
    ConfigError.exit_code: "an option, a setting or a file is wrong",
    130: "Ctrl-C",
    PIPE_CLOSED: "who reads the output has gone, such as `head`",
}

_UsageError: Any = typer.BadParameter.__base__  # typer has no public name for it


class Sentences:
    """Turns an `IcelaneError` into its sentence and exit code; mixed into a command line's root.

    Everything else that a command raises is a bug, and keeps its traceback.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run what the command line says, with an output that takes everything."""
        try:
            with usable_output():
                return super().main(*args, **kwargs)  # type: ignore[misc]  # of typer's
        except OutputError as error:
            typer.echo(f"icelane: {error}", err=True)
            sys.exit(error.exit_code)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Take the options of the root itself."""
        try:
            return super().make_context(*args, **kwargs)  # type: ignore[misc]  # likewise
        except _UsageError as error:
            _refuse(error)

    def invoke(self, ctx: Any) -> Any:
        """Run what the command line says."""
        try:
            return super().invoke(ctx)  # type: ignore[misc]  # likewise
        except _UsageError as error:
            _refuse(error)
        except IcelaneError as error:
            typer.echo(f"icelane: {error}", err=True)
            raise typer.Exit(error.exit_code) from None


class Commands(Sentences, Group):
    """The root of a program with several commands."""


def _refuse(error: Any) -> NoReturn:
    """End because the command line is wrong: in a sentence like all others, and with the usage."""
    message = error.format_message()
    if message[1:2].islower():
        message = f"{message[:1].lower()}{message[1:]}"
    typer.echo(f"icelane: {message}", err=True)
    if error.ctx is not None:
        typer.echo(error.ctx.get_usage(), err=True)
        typer.echo(f"Try '{error.ctx.command_path} --help' for help.", err=True)
    raise typer.Exit(error.exit_code)
