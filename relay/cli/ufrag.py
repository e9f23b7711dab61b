"""`icelane ufrag`: make and read the routes that ufrags carry."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from relay.cli.output import AsJson, print_json
from relay.clocks import LEEWAY
from relay.config.keyfile import load_keys
from relay.errors import ConfigError
from relay.wire.errors import RouteError
from relay.wire.keysource import UNROUTABLE_SLOT
from relay.wire.route import EXPIRY_UNIT, NONCE_SIZE, Route, Target, mint, read_ufrag, verify

app = typer.Typer(no_args_is_help=True, help="Make and read the routes in ufrags.")

KeyFile = Annotated[
    Path, typer.Option(help="The key file; see `icelane keys new`.", readable=False)
]
Ufrag = Annotated[str, typer.Argument(help="The 28 characters, as in a=ice-ufrag.")]


@app.command("mint")
def mint_ufrag(
    *,
    keys: KeyFile,
    cluster: Annotated[int, typer.Option(min=0, max=0xFFFF, help="The cluster.")] = 1,
    slot: Annotated[int, typer.Option(min=0, max=0xFFFFFF, help="The transceiver's slot.")] = 1,
    generation: Annotated[int, typer.Option(min=0, max=0xFF, help="Of the slot.")] = 1,
    lifetime: Annotated[
        float, typer.Option(min=1, help="For how many seconds it may open flows.")
    ] = 4 * 3600,
    as_json: AsJson = False,
) -> None:
    """Print a ufrag that leads to a transceiver; give it to any WebRTC server as its own.

    Examples:
        icelane ufrag mint --keys keys.toml --slot 7
    """
    ring = load_keys(keys)
    try:
        route = mint(
            Target(cluster, slot, generation),
            ring,
            now=time.time(),
            lifetime=lifetime,
            nonce=secrets.token_bytes(NONCE_SIZE),
        )
    except ValueError as error:
        raise ConfigError(f"--lifetime: {error}") from None
    except KeyError:
        raise ConfigError(f"key file {keys} has no keys of cluster {cluster} for routes") from None
    if as_json:
        print_json({"ufrag": route.ufrag} | route_fields(route, time.time()))
    else:
        typer.echo(route.ufrag)


@app.command()
def show(
    ufrag: Ufrag,
    *,
    keys: Annotated[
        Path | None,
        typer.Option(help="The key file; without it the tag is not verified.", readable=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say where a ufrag leads, until when, and what is wrong with it, if it can be read at all.

    Examples:
        icelane ufrag show AAABAAABAQ6f/08fnxWV8mtd6amU --keys keys.toml
    """
    route = read_ufrag(ufrag)
    fields = route_fields(route, time.time()) | _verdict(route, keys)
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        typer.echo(f"{name:<12} {value}")
    typer.echo(f"\n{_sentence(fields)}")


@app.command("verify")
def verify_ufrag(ufrag: Ufrag, *, keys: KeyFile, as_json: AsJson = False) -> None:
    """Say whether a ufrag opens a flow at a relay with these keys; ends with 1 if not.

    Examples:
        icelane ufrag verify AAABAAABAQ6f/08fnxWV8mtd6amU --keys keys.toml
    """
    route = read_ufrag(ufrag)
    fields = route_fields(route, time.time()) | _verdict(route, keys)
    opens = fields["tag"] == _VERIFIES and not fields["expired"]
    if as_json:
        print_json(fields | {"opens": opens})
    else:
        typer.echo(_sentence(fields))
    if not opens:
        raise typer.Exit(1)


_VERIFIES = "verifies"
_LEEWAY = f"{LEEWAY / 60:.0f} minutes"  # for which relays take more, as clocks differ


def _verdict(route: Route, keys: Path | None) -> dict[str, str]:
    if route.key_slot == UNROUTABLE_SLOT:
        return {"tag": "refused: key slot 7 says that there is no route"}
    if keys is None:
        return {"tag": "not verified: name a key file with --keys"}
    try:
        verify(route, load_keys(keys))
    except RouteError as error:
        return {"tag": f"refused: {error}"}
    return {"tag": _VERIFIES}


def route_fields(route: Route, now: float) -> dict[str, Any]:
    """What a route says, at a moment of Unix time."""
    # The expiry is the low 16 bits of a number of units: the moment nearest to now is meant.
    units = int(now // EXPIRY_UNIT)
    distance = (route.expiry - units + (1 << 15)) % (1 << 16) - (1 << 15)
    expires = datetime.fromtimestamp((units + distance) * EXPIRY_UNIT, UTC)
    return {
        "cluster": route.target.cluster,
        "slot": route.target.slot,
        "generation": route.target.generation,
        "key_slot": route.key_slot,
        "flags": route.flags,
        "nonce": route.nonce.hex(),
        "expires": expires.isoformat(),
        "expired": route.expired(now - LEEWAY),  # as relays judge it
    }


def _sentence(fields: dict[str, Any]) -> str:
    """It in words."""
    past = fields["expired"]
    opens = "opened new flows until" if past else "opens new flows until"
    rest = ", and only calls of before go on" if past else f", and {_LEEWAY} longer"
    until = f"{opens} {fields['expires']}{rest}"
    tag = {True: "its tag verifies"}.get(fields["tag"] == _VERIFIES, f"its tag is {fields['tag']}")
    return (
        f"It leads to the transceiver in slot {fields['slot']} of cluster {fields['cluster']}, in "
        f"that slot's generation {fields['generation']}. It {until}. The key in slot "
        f"{fields['key_slot']} signed it, and {tag}."
    )
