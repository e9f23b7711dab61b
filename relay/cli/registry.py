"""`icelane registry`: who stands in the registry in Redis, or in a file."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.complete import announced
from relay.cli.output import AsJson, print_json, print_rows
from relay.errors import ConfigError, FleetError

if TYPE_CHECKING:
    from relay.registry.entry import Entry

app = typer.Typer(no_args_is_help=True, help="Look into the registry of transceivers and relays.")

Redis = Annotated[
    str, typer.Option(metavar="URL", envvar="ICELANE_REDIS", help="Where the registry is.")
]
Keys = Annotated[
    Path,
    typer.Option(
        metavar="FILE", envvar="ICELANE_KEYS", readable=False, help="The cluster's key file."
    ),
]
Clusters = Annotated[
    list[int] | None,
    typer.Option(
        "--cluster", metavar="NUMBER", min=0, max=0xFFFF, help="A cluster of it. Default: 1."
    ),
]


@app.command("list")
def list_(*, redis: Redis, keys: Keys, cluster: Clusters = None, as_json: AsJson = False) -> None:
    """List the transceivers and relays that have announced themselves.

    Examples:
        icelane registry list --redis redis://127.0.0.1:6379/0 --keys keys.toml
    """
    entries = found(redis, keys, cluster or [1])
    if as_json:
        print_json(entries)
    elif entries:
        print_rows([_row(each) for each in entries])
    else:
        typer.echo("Nobody has announced himself.", err=True)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="As `list` names it: a relay, or CLUSTER/SLOT.",
            autocompletion=announced,
        ),
    ],
    *,
    redis: Redis,
    keys: Keys,
    cluster: Clusters = None,
    as_json: AsJson = False,
) -> None:
    """Show all that a transceiver or a relay has announced.

    Examples:
        icelane registry show 1/7 --redis redis://127.0.0.1:6379/0 --keys keys.toml
    """
    entries = found(redis, keys, cluster or [1])
    entry = next((each for each in entries if each["name"] == name), None)
    if entry is None:
        raise FleetError(f"the registry has no {name}: `icelane registry list` has those it has")
    if as_json:
        print_json(entry)
        return
    width = max(map(len, entry))
    for key, value in entry.items():
        print(f"{key:{width}}  {_text(value)}")


def found(url: str, keys: Path, clusters: Sequence[int]) -> list[dict[str, Any]]:
    """What stands there and verifies; what does not is told on standard error.

    Raises:
        FleetError: Redis cannot be asked.
        ConfigError: The URL or the key file is wrong.
    """
    from relay.config.keyfile import load_keys
    from relay.config.urls import check_redis
    from relay.wire.keysource import Role

    try:
        check_redis(url)
    except ValueError as error:
        raise ConfigError(f"--redis: {error}") from None
    ring = load_keys(keys, Role.SIGNALING, clusters)
    return asyncio.run(_read(url, ring, clusters))


async def _read(url: str, keys: Any, clusters: Sequence[int]) -> list[dict[str, Any]]:
    from relay.registry.entry import EntryError, Heartbeat
    from relay.registry.store import RegistryStore

    entries = []
    async with RegistryStore(url, keys) as store:
        for cluster in clusters:
            for line, age in await store.read(cluster):
                try:
                    entry = Heartbeat.parse(line, cluster, keys).entry
                except EntryError as error:
                    typer.echo(f"icelane: refused an entry of cluster {cluster}: {error}", err=True)
                else:
                    entries.append(_described(entry, age))
    return sorted(entries, key=lambda each: (each["kind"], each["name"]))


def _described(entry: "Entry", age: float) -> dict[str, Any]:
    fields = entry.as_fields()
    kind = fields.pop("kind")
    name = fields.pop("name", None) or f"{entry.cluster}/{fields['slot']}"
    return {"kind": kind, "name": name, "heard_seconds_ago": round(age, 1), **fields}


def _row(each: Mapping[str, Any]) -> dict[str, str]:
    from relay.registry.table import TTL

    is_relay = each["kind"] == "relay"
    used, room = ("flows", "room") if is_relay else ("sessions", "capacity")
    states = [name for name in ("draining", "ill") if each.get(name)]
    states += ["silent"] if each["heard_seconds_ago"] >= TTL else []
    states += ["full"] if each[used] >= each[room] else []
    where = ", ".join(vip["vip"] for vip in each["vips"]) if is_relay else each["address"]
    return {
        "kind": each["kind"],
        "name": each["name"],
        "region": each["region"] or "-",
        "address": where,
        "load": f"{each[used]:,} of {each[room]:,}",
        "state": ", ".join(states) or "ok",
        "heard": f"{each['heard_seconds_ago']:.0f} s ago",
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items() if each)
    return "-" if value is None else str(value)
