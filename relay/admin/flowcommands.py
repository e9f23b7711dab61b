"""What an agent can be asked and told about its flows at its admin socket."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from relay.admin.flowentry import FlowEntry, packed, unpacked
from relay.admin.flowfilter import FlowFilter
from relay.admin.listing import entry_of
from relay.admin.transport import Conversation, Handler
from relay.core.flow import Command, Flow, Instant
from relay.core.flowevents import FlowEvent, Happened
from relay.core.flowtuple import FlowTuple
from relay.core.session import SessionTable
from relay.dataplane.interface import Dataplane
from relay.errors import AdminError, ConfigError, MirrorError
from relay.pace import Pace

PIECE = 200  # flows: their text is 30 KB
MOST_WAITING = 10_000  # events for somebody who reads slowly

Fetch = Callable[[FlowTuple], Awaitable[Mapping[str, Any] | None]]


class FlowCommands:
    """The commands of an agent's admin socket that are about flows.

    Args:
        table: The flows.
        dataplane: Gives what forwards confirmed flows right now.
        execute: Does what the table says.
        now: This moment.
        owner: Who this relay is in the mirror.
        fetch: Gives what the mirror has of a client's flow, or raises `MirrorError`; None: there is
            no mirror.
    """

    def __init__(
        self,
        table: SessionTable,
        *,
        dataplane: Callable[[], Dataplane],
        execute: Callable[[Iterable[Command]], None],
        now: Callable[[], Instant],
        owner: str,
        fetch: Fetch | None,
    ) -> None:
        self._table = table
        self._dataplane = dataplane
        self._execute = execute
        self._now = now
        self._owner = owner
        self._fetch = fetch

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The commands by name."""
        return {"flows": self._flows, "flow": self._flow, "close": self._close}

    @property
    def conversations(self) -> Mapping[str, Conversation]:
        """Those that have the connection for themselves."""
        return {"watch": self._watch}

    async def _flows(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """The flows that a filter admits, in pieces: ``now``, and ``entries`` of that moment."""
        wanted, pace = read_filter(request), Pace()
        piece: list[list[Any]] = []
        for flow in self._table:
            now = time.monotonic()
            if (entry := self._wanted(flow, wanted, now)) is not None:
                piece.append(entry.as_wire())
            if len(piece) == PIECE:
                yield {"now": now, "entries": piece}
                piece = []
            await pace.rest()  # datagrams come first
        yield {"now": time.monotonic(), "entries": piece}

    def _wanted(self, flow: Flow, wanted: FlowFilter, now: float) -> FlowEntry | None:
        if not wanted.admits(flow.addresses, flow.state):
            return None  # most are not looked for in the dataplane
        entry = entry_of(flow, self._dataplane().record)
        return entry if wanted.has(entry, now) else None

    async def _flow(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """What only the agent knows of a flow, and what the mirror has of it."""
        addresses = _read_flow(request.get("flow"))
        flow = next((each for each in self._table if each.addresses == addresses), None)
        if flow is None:
            yield {"known": False}
            return
        introduced = flow.introduced
        yield {
            "known": True,
            "owner": self._owner,
            "epoch": flow.epoch,
            "claimed": flow.claimed,
            "introduced": str(introduced.client) if introduced is not None else None,
            "ends_in_seconds": (
                max(0.0, flow.ends_at - time.monotonic()) if flow.has_ended else None
            ),
            **await self._mirrored(flow),
        }

    async def _mirrored(self, flow: Flow) -> Mapping[str, Any]:
        if self._fetch is None or flow.is_connection:
            return {"has_mirror": False}
        try:
            return {"has_mirror": True, "record": await self._fetch(flow.addresses)}
        except MirrorError as error:
            return {"has_mirror": True, "trouble": str(error)}

    async def _close(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """End flows, here, in the dataplane and in the mirror; which there were."""
        named, closed = request.get("flows"), []
        if not isinstance(named, list):
            raise AdminError("name the flows to close")
        for addresses in [_read_flow(each) for each in named]:
            commands = self._table.lifecycle.close(addresses, self._now())
            self._execute(commands)
            if commands:
                closed.append(packed(addresses))
        yield {"closed": closed}

    async def _watch(self, request: Mapping[str, Any], connection: socket.socket) -> None:
        """Tell what happens to flows that a filter admits, until the other end goes."""
        with connection:
            try:
                wanted = read_filter(request)
            except AdminError as error:
                await _send(connection, {"error": str(error)})
                return
            watching = _Watching(wanted, connection)
            with self._table.events.told_to(watching.hear):
                await watching.run()


class _Watching:
    """Somebody who watches what happens to flows.

    Args:
        wanted: Which flows.
        connection: Who.
    """

    def __init__(self, wanted: FlowFilter, connection: socket.socket) -> None:
        self._wanted = wanted
        self._connection = connection
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(MOST_WAITING)
        self._lost = 0

    def hear(self, event: FlowEvent) -> None:
        """Take an event; it never waits."""
        if event.what is Happened.INSTALLED:  # the same moment as that it was confirmed
            return
        if not self._wanted.admits(event.flow.addresses, event.flow.state):
            return
        try:
            self._queue.put_nowait(event_as_json(event))
        except asyncio.QueueFull:
            self._lost += 1

    async def run(self) -> None:
        """Tell, until the other end has gone."""
        telling = asyncio.create_task(self._tell())
        try:
            await until_gone(self._connection)
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await telling

    async def _tell(self) -> None:
        # At once, so that the other end knows that it misses nothing from here on.
        await _send(self._connection, {"event": "watching", "more": True})
        while True:
            told = await self._queue.get()
            await _send(self._connection, {**told, "more": True})
            if self._lost:
                lost, self._lost = self._lost, 0
                await _send(self._connection, {"event": "missed", "count": lost, "more": True})


def event_as_json(event: FlowEvent) -> dict[str, Any]:
    """An event for programs: when (Unix seconds), what, of which flow, and why it was closed."""
    entry = FlowEntry(event.flow.addresses, event.flow.state)
    told = {"time": round(event.at.unix, 6), "event": event.what.value, "id": entry.id}
    told |= {
        name: text
        for name, text in entry.as_json(0.0).items()
        if name in ("client", "transport", "vip", "upstream", "transceiver", "target", "state")
    }
    if event.reason:
        told["reason"] = event.reason
        told["age_seconds"] = round(event.at.monotonic - event.flow.opened.monotonic, 3)
    return told


def read_filter(request: Mapping[str, Any]) -> FlowFilter:
    """The filter in a question.

    Raises:
        AdminError: It is none.
    """
    try:
        return FlowFilter.parse(**request.get("filter", {}))
    except (ConfigError, TypeError) as error:
        raise AdminError(f"the filter cannot be read: {error}") from None


async def until_gone(connection: socket.socket) -> None:
    """Wait until the other end has closed its connection; what it says until then is not heard."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while await loop.sock_recv(connection, 4096):
            pass


async def _send(connection: socket.socket, piece: Mapping[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, json.dumps(piece).encode() + b"\n")


def _read_flow(text: object) -> FlowTuple:
    try:
        return unpacked(str(text))
    except ValueError:
        raise AdminError(f"{text!r} is no flow") from None
