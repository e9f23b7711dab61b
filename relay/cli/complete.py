"""Values that a shell completes: what there is on this host. Whatever cannot be had is left out."""

import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from relay.errors import IcelaneError

_DEFAULT = "default"
_Completer = Callable[[typer.Context], list[str]]


def _quiet(complete: Callable[[typer.Context], Iterable[str]]) -> _Completer:
    """A completer that offers nothing where it cannot find out: nobody asked for an error."""

    def offered(ctx: typer.Context) -> list[str]:
        try:
            return list(dict.fromkeys(complete(ctx)))
        except (IcelaneError, OSError, ValueError, KeyError):
            return []

    return offered


@_quiet
def instances(_: typer.Context) -> Iterable[str]:
    """Relays that run here, and those whose programs are loaded."""
    from relay.admin.place import running
    from relay.dataplane.kernel import pins

    yield from running()
    yield from pins.instances()


@_quiet
def interfaces(_: typer.Context) -> Iterable[str]:
    """The interfaces of this host but the loopback one."""
    return (name for _, name in socket.if_nameindex() if name != "lo")


@_quiet
def maps(ctx: typer.Context) -> Iterable[str]:
    """The pinned maps of the relay that the command line names."""
    from relay.dataplane.kernel.pins import Pins

    return Pins(ctx.params.get("instance") or _DEFAULT).maps()


@_quiet
def controls(ctx: typer.Context) -> Iterable[str]:
    """The control URLs of transceivers that the running relay knows."""
    return (str(each["control"]) for each in _transceivers(ctx) if each["control"])


@_quiet
def transceivers(ctx: typer.Context) -> Iterable[str]:
    """The media addresses of transceivers that the running relay knows."""
    return (str(each["media"]) for each in _transceivers(ctx))


@_quiet
def announced(ctx: typer.Context) -> Iterable[str]:
    """Names in the registry in Redis, if the command line says where that is."""
    from relay.cli.registry import found

    url, keys = ctx.params.get("redis"), ctx.params.get("keys")
    if not url or not keys:
        return []
    return (str(each["name"]) for each in found(url, Path(keys), ctx.params.get("cluster") or [1]))


def _transceivers(ctx: typer.Context) -> list[dict[str, Any]]:
    from relay.admin.snapshot import take_snapshot

    snapshot = take_snapshot(_instance(ctx), ctx.params.get("admin"))
    return list(snapshot.get("transceivers", ()))


def _instance(ctx: typer.Context) -> str:
    """The relay that is named, or the one that runs."""
    from relay.admin.place import running

    return ctx.params.get("instance") or next(iter(running()), _DEFAULT)
