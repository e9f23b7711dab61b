"""`icelane keys`: the secrets that sign routes."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from relay.files import unwritable
from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing

app = typer.Typer(no_args_is_help=True, help="Make key files.")


@app.callback()
def _keys() -> None:
    """Make key files."""


@app.command()
def new(
    path: Annotated[
        Path, typer.Argument(help="Where to write it; nothing is overwritten.", readable=False)
    ],
) -> None:
    """Write a key file with one new master key, readable by its owner only."""
    text = KeyRing.generate(secrets.token_bytes).dumps()
    if path.is_dir():
        raise KeyFileError(f"{path} is a directory; name a file in it")
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists: remove it first, if no relay uses it any more"
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {unwritable(error)}") from None
    typer.echo(f"wrote {path}")
