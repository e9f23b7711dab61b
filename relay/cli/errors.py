"""How a command ends when it cannot do what it was asked: one sentence, no traceback.

Exit codes: 0 done; 1 it could not be done; 2 a setting, file or option is wrong; 130 interrupted
by Ctrl-C. `icelane call` has more, see `relay.caller.errors.Failure`.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from relay.errors import IcelaneError, OutputError
from relay.streams import usable_output


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

    def invoke(self, ctx: Any) -> Any:
        """Run what the command line says."""
        try:
            return super().invoke(ctx)  # type: ignore[misc]  # likewise
        except IcelaneError as error:
            typer.echo(f"icelane: {error}", err=True)
            raise typer.Exit(error.exit_code) from None


class Commands(Sentences, TyperGroup):
    """The root of a program with several commands."""
