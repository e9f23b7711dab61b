"""How a command ends when it cannot do what it was asked: one line, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer


def fail(message: object) -> NoReturn:
    """Print an error and end with exit code 1."""
    typer.echo(f"icelane: {message}", err=True)
    raise typer.Exit(1) from None


@contextmanager
def clear_errors(*errors: type[Exception]) -> Iterator[None]:
    """End the command with the text of these errors, which is meant for people."""
    try:
        yield
    except errors as error:
        fail(error)
