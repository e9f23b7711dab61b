"""x"""

import typer

app = typer.Typer(no_args_is_help=True, help="x")


@app.command()
def check() -> None:
    """Y."""


@app.callback()
def _g() -> None:
    """Config."""
