"""`icelane keys api`: who may call."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from relay.cli.output import AsJson, print_json, print_rows
from relay.config.found import PREFIX

app = typer.Typer(
    no_args_is_help=True,
    help="API keys: who may call, with which models, and how much. A running server takes changes "
    "at once.",
)

KeysFile = Annotated[
    Path,
    typer.Option(
        "--keys-file",
        metavar="FILE",
        envvar=f"{PREFIX}KEYS_FILE",
        help="The file of API keys, which the server has, too.",
        readable=False,  # who reads it says why not, and what helps
    ),
]
Name = Annotated[str, typer.Argument(help="Whose key it is: the principal of its calls.")]


@app.command()
def new(
    name: Name,
    keys_file: KeysFile,
    *,
    days: Annotated[
        int | None, typer.Option(help="After so many days it ends.", min=1, max=36_500)
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model that it may use; without any, all.")
    ] = None,
    calls: Annotated[int | None, typer.Option(help="The most calls at a time.", min=1)] = None,
    setups: Annotated[
        float | None,
        typer.Option("--setups-per-second", help="How many calls may be begun a second."),
    ] = None,
    requests: Annotated[
        float | None,
        typer.Option(
            "--requests-per-second",
            help="How many requests of any kind may be made a second, such as for client secrets.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once: only its hash is kept. The file is made where there is none.

    Examples:
        icelane keys api new anna --keys-file api-keys.toml --days 90 --calls 10
    """
    from signaling.auth.apikeys import RANDOM_BYTES, Quota, new_key
    from signaling.auth.privatefiles import change_api_keys

    now = datetime.now(UTC)
    key, text = new_key(
        name,
        os.urandom(RANDOM_BYTES),
        now,
        expires=None if days is None else (now + timedelta(days=days)).replace(microsecond=0),
        models=tuple(model or ()),
        quota=Quota(calls=calls, setups=setups, requests=requests),
    )
    change_api_keys(keys_file, lambda keys: keys.with_key(key))
    if as_json:
        print_json({"name": name, "key": text, "file": str(keys_file)})
        return
    typer.echo(text)
    typer.echo(f"This is the key of {name}. Keep it: it is not shown again.", err=True)


@app.command(name="list")
def list_(keys_file: KeysFile, *, as_json: AsJson = False) -> None:
    """List the keys, without what is secret.

    Examples:
        icelane keys api list --keys-file api-keys.toml
    """
    from signaling.auth.apikeys import timestamp
    from signaling.auth.privatefiles import load_api_keys

    now = datetime.now(UTC).timestamp()
    rows = [
        {
            "name": key.name,
            "created": timestamp(key.created),
            "expires": timestamp(key.expires) if key.expires else None,
            "expired": key.has_expired(now),
            "models": list(key.models),
            "calls": key.quota.calls,
            "setups_per_second": key.quota.setups,
            "requests_per_second": key.quota.requests,
        }
        for key in load_api_keys(keys_file)
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_rows([_shown(row) for row in rows])
    else:
        typer.echo(f"{keys_file} has no keys: make one with `icelane keys api new`.")


@app.command()
def revoke(name: Name, keys_file: KeysFile, *, as_json: AsJson = False) -> None:
    """Take a key away: nothing begins with it any more, nor with client secrets made with it.

    Examples:
        icelane keys api revoke anna --keys-file api-keys.toml
    """
    from signaling.auth.privatefiles import change_api_keys, load_api_keys

    load_api_keys(keys_file)  # where there is no file, none is made
    change_api_keys(keys_file, lambda keys: keys.without(name))
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        typer.echo(f"revoked {name}; its calls go on until they end")


def _shown(row: Mapping[str, object]) -> dict[str, str]:
    models = row["models"]
    return {
        "name": str(row["name"]),
        "created": str(row["created"]),
        "expires": f"{row['expires'] or 'never'}{' (expired)' if row['expired'] else ''}",
        "models": ", ".join(models) if isinstance(models, list) and models else "all",
        "calls": str(row["calls"] or "any"),
        "set-ups/s": str(row["setups_per_second"] or "any"),
        "requests/s": str(row["requests_per_second"] or "any"),
    }
