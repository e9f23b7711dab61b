"""Programs of the tests that have one command, and end as `icelane` does."""

from typer.core import TyperCommand

from relay.cli.errors import Sentences


class OneCommand(Sentences, TyperCommand):
    """The root of such a program."""
