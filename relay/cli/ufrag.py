"""`icelane ufrag`: make and read the routes that ufrags carry."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from relay.cli.output import AsJson, print_json
from relay.config.keyfile import load_keys
from relay.errors import ConfigError
from relay.wire.route import EXPIRY_UNIT, NONCE_SIZE, Route, Target, mint, open_ufrag

app = typer.Typer(no_args_is_help=True, help="Make and read the routes in ufrags.")

KeyFile = Annotated[
    Path, typer.Option(help="The key file; see `icelane keys new`.", readable=False)
]


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
) -> None:
    """Print a ufrag that leads to a transceiver; give it to any WebRTC server as its own."""
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
    typer.echo(route.ufrag)


@app.command()
def show(
    ufrag: Annotated[str, typer.Argument(help="The 28 characters, as in a=ice-ufrag.")],
    *,
    keys: KeyFile,
    as_json: AsJson = False,
) -> None:
    """Verify a ufrag and say where it leads."""
    fields = _fields(open_ufrag(ufrag, load_keys(keys)), time.time())
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        typer.echo(f"{name:<12} {value}")


def _fields(route: Route, now: float) -> dict[str, object]:
    # The expiry is the low 16 bits of a number of units: the moment nearest to now is meant.
    units = int(now // EXPIRY_UNIT)
    distance = (route.expiry - units + (1 << 15)) % (1 << 16) - (1 << 15)
    expires = datetime.fromtimestamp((units + distance) * EXPIRY_UNIT, UTC)
    return {
        "cluster": route.target.cluster,
        "slot": route.target.slot,
        "generation": route.target.generation,
        "key_slot": route.key_slot,
        "nonce": route.nonce.hex(),
        "expires": expires.isoformat(),
        "expired": route.expired(now),
    }
