"""`icelane keys`: the secrets that sign routes, and API keys."""

import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from relay.cli import apikeys
from relay.cli.output import Admin, AsJson, Running, print_json, print_rows
from relay.clocks import LEEWAY
from relay.config.keyfile import change_keys, load_keys
from relay.config.privatefiles import write_private
from relay.files import unwritable
from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role

app = typer.Typer(no_args_is_help=True, help="Make and rotate keys, and make API keys.")
app.add_typer(apikeys.app, name="api")

#: Seconds for which a transceiver's routes open flows, by any clock, and so their key must stay.
_LONGEST = 24 * 3600 + int(LEEWAY)

KeyFilePath = Annotated[Path, typer.Argument(metavar="FILE", help="The key file.", readable=False)]


@app.callback()
def _keys() -> None:
    """Make and rotate keys, and make API keys."""


@app.command()
def new(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where to write it; nothing is overwritten.", readable=False
        ),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Write a key file with one new master key, for relays and transceivers, for its owner only.

    Examples:
        icelane keys new keys.toml
    """
    ring = KeyRing.generate(secrets.token_bytes)
    if path.is_dir():
        raise KeyFileError(f"{path} is a directory; name a file in it")
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(ring.dumps(), encoding="utf-8")
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists: remove it first, if no relay uses it any more"
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {unwritable(error)}") from None
    if as_json:
        print_json({"file": str(path), "slots": _slots(ring)})
    else:
        typer.echo(f"wrote {path}")


@app.command()
def add(path: KeyFilePath, *, as_json: AsJson = False) -> None:
    """Add a new key, which verifies and does not sign yet: the first step of a rotation.

    Examples:
        icelane keys add keys.toml
    """
    added: list[int] = []

    def change(ring: KeyRing) -> KeyRing:
        ring, slot = ring.added(secrets.token_bytes)
        added.append(slot)
        return ring

    ring = change_keys(path, change)
    _tell(
        path,
        ring,
        f"slot {added[0]} has a new key, and slot {ring.signing_slot} signs as before. Give the "
        "file to every relay, transceiver and signaling server. When each has taken it, as "
        "`icelane keys check` tells of a relay and the log of the others, call `icelane keys "
        "rotate`.",
        as_json=as_json,
    )


@app.command()
def rotate(
    path: KeyFilePath,
    *,
    slot: Annotated[
        int | None,
        typer.Option(help="The slot that is to sign. Default: the one that has never signed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign with the new key: the second step, when every relay has it. The old one verifies on.

    Examples:
        icelane keys rotate keys.toml
    """
    before: list[int] = []

    def change(ring: KeyRing) -> KeyRing:
        before.append(ring.signing_slot)
        return ring.rotated(slot, time.time())

    ring = change_keys(path, change)
    _tell(
        path,
        ring,
        f"slot {ring.signing_slot} signs from now on. Give the file to everybody again; when the "
        f"last route of slot {before[0]} has expired, after {_LONGEST / 3600:.1f} hours, call "
        f"`icelane keys retire --slot {before[0]}`.",
        as_json=as_json,
    )


@app.command()
def retire(
    path: KeyFilePath,
    *,
    slot: Annotated[int, typer.Option(help="The slot whose key goes.")],
    lifetime: Annotated[
        float, typer.Option(min=0, help="For how many seconds its routes open flows, at most.")
    ] = _LONGEST,
    force: Annotated[
        bool, typer.Option("--force", help="Though its routes may still be in use.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take an old key away: the last step. Calls go on; routes of that key open no new ones.

    Examples:
        icelane keys retire keys.toml --slot 0
    """

    def change(ring: KeyRing) -> KeyRing:
        retired = ring.retired(slot)
        stopped = (ring.masters.stopped or {}).get(slot) if ring.masters else None
        if stopped is not None and not force and time.time() < stopped + lifetime:
            raise KeyFileError(
                f"slot {slot} has signed until {_moment(stopped)}, and its routes open flows until "
                f"{_moment(stopped + lifetime)}: wait until then, or use --force"
            )
        return retired

    ring = change_keys(path, change)
    _tell(path, ring, f"slot {slot} is retired. Give the file to everybody.", as_json=as_json)


@app.command("list")
def list_(path: KeyFilePath, *, as_json: AsJson = False) -> None:
    """List the slots that hold a key, without what is secret.

    Examples:
        icelane keys list keys.toml
    """
    rows = _slots(load_keys(path))
    if as_json:
        print_json(rows)
    else:
        print_rows(
            [
                {name: "" if value is None else str(value) for name, value in row.items()}
                for row in rows
            ]
        )


@app.command()
def export(
    path: KeyFilePath,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Where to write it.", readable=False)
    ],
    *,
    role: Annotated[Role, typer.Option("--for", help="Which service it is for.")],
    cluster: Annotated[int, typer.Option(min=0, max=0xFFFF, help="Of which cluster.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Write the keys that one service of one cluster needs: from them no other can be derived.

    Call it again after each step of a rotation; an earlier export is replaced.

    Examples:
        icelane keys export keys.toml relay-keys.toml --for relay
        icelane keys export keys.toml edge-2.toml --for edge --cluster 2
    """
    exported = load_keys(path).exported(cluster, role)
    if target.exists() and load_keys(target).masters is not None:
        raise KeyFileError(f"{target} has master keys: name another file")
    try:
        write_private(target, exported.dumps().encode("ascii"))
    except OSError as error:
        raise KeyFileError(f"cannot write {target}: {unwritable(error)}") from None
    if as_json:
        print_json(
            {"file": str(target), "cluster": cluster, "for": role, "slots": _slots(exported)}
        )
    else:
        typer.echo(f"wrote {target}, the keys of cluster {cluster} for {role.named}")


@app.command()
def check(
    path: KeyFilePath,
    *,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Ask a running relay whether it has taken the keys of its file; ends with 1 while not.

    Examples:
        icelane keys check keys.toml
    """
    from relay.admin.place import default_path
    from relay.admin.transport import ask

    ring = load_keys(path)
    wanted, answer = sorted(ring.slots), ask(admin or default_path(instance), "keys")
    told = answer["slots"]
    if ring.cluster is not None and ring.cluster.role is Role.EDGE:
        told = answer["edge"].get(str(ring.cluster.cluster), [])
    if as_json:
        print_json({"file": wanted, "relay": told, "same": wanted == told})
    elif wanted == told:
        print(f"The relay verifies by slots {_written(told)}, as the file says.")
    else:
        print(f"The relay verifies by slots {_written(told)}; the file has {_written(wanted)}.")
    if wanted != told:
        raise typer.Exit(1)


def _tell(path: Path, ring: KeyRing, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_slots(ring))
    else:
        typer.echo(f"{path}: {text}")


def _slots(ring: KeyRing) -> list[dict[str, Any]]:
    stopped = (ring.masters.stopped or {}) if ring.masters else {}
    return [
        {
            "slot": slot,
            "state": _state(slot, ring, set(stopped)),
            "signed_until": _moment(stopped[slot]) if slot in stopped else None,
        }
        for slot in sorted(ring.slots)
    ]


def _state(slot: int, ring: KeyRing, stopped: set[int]) -> str:
    if slot == ring.signing_slot:
        return "signs"
    if slot in stopped:
        return "verifies"
    return "new" if ring.masters else "verifies"  # an export does not say since when


def _moment(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")


def _written(slots: list[int]) -> str:
    return ", ".join(map(str, slots))
