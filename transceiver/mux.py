"""The one UDP socket of all sessions, demultiplexed.

The first byte tells the protocol (RFC 7983). A STUN request belongs to the session of its ufrag,
everything else to the session of its source address, if that passed a check. A relay's
announcement says which client is behind a source. Nothing else is answered or changes state.
"""

import asyncio
import logging
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from relay.wire.announcement import Announcement, is_announcement
from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from relay.wire.errors import AnnouncementError, StunError
from relay.wire.keys import KeyRing
from relay.wire.route import Target, open_raw
from relay.wire.stun import server_ufrag
from transceiver.counters import Counters
from transceiver.ice import (
    Announced,
    Command,
    Forgotten,
    IceAgent,
    Refused,
    Selected,
    Send,
    Validated,
)

logger = logging.getLogger(__name__)

RECEIVE_BUFFER = 4 << 20  # bytes; 200 ms of 1,000 calls
MAX_DATAGRAM = 2048  # bytes; nothing that we accept is longer than an Ethernet frame
BATCH = 64  # datagrams read per wake-up; a bound, so that timers run under load
ANNOUNCEMENT_WINDOW = 60.0  # seconds that clocks of relay and transceiver may differ
# An upstream port is not given to another client within 120 s, so the word holds that long.
ANNOUNCEMENT_LIFETIME = 120.0  # seconds after the last check from that source
MAX_ANNOUNCEMENTS = 8192
_SO_RCVBUFFORCE = 33  # Linux, asm-generic/socket.h; the socket module does not name it


class Handler(Protocol):
    """A transport of a session, to which the mux delivers."""

    agent: IceAgent

    def datagram(self, data: bytes) -> None:
        """Take DTLS, SRTP or SRTCP that came over a path of the agent."""

    def reachable(self) -> None:
        """Take note that the agent has selected a path, the first or another one."""


class _Entry(NamedTuple):
    announced: Announced
    used: float  # monotonic seconds


class Mux:
    """Reads the socket and dispatches datagrams to handlers.

    Args:
        sock: A bound, non-blocking UDP socket; the mux does not close it.
        keys: Verify announcements.
        target: This transceiver; announcements for another are refused.
        clock: Seconds of a monotonic clock.
        unix_time: Unix seconds, to judge the time in announcements.
    """

    def __init__(
        self,
        sock: socket.socket,
        keys: KeyRing,
        target: Target,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self.counters = Counters(logger, clock)
        self.clock = clock
        self._sock = sock
        self._keys = keys
        self._target = target
        self._unix_time = unix_time
        self._by_ufrag: dict[bytes, Handler] = {}
        self._by_source: dict[Endpoint, Handler] = {}
        self._announcements: OrderedDict[Endpoint, _Entry] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def sources(self) -> int:
        """The number of source addresses that belong to a session."""
        return len(self._by_source)

    def open(self) -> None:
        """Start reading, on the running loop."""
        enlarge_buffer(self._sock)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._readable)

    def close(self) -> None:
        """Stop reading."""
        if self._loop:
            self._loop.remove_reader(self._sock)
            self._loop = None

    def bind(self, ufrag: str, handler: Handler) -> bool:
        """Deliver requests with this ufrag to a handler; False if another handler has it."""
        return self._by_ufrag.setdefault(ufrag.encode(), handler) is handler

    def unbind(self, ufrag: str, handler: Handler) -> None:
        """Forget a ufrag of a handler."""
        if self._by_ufrag.get(ufrag.encode()) is handler:
            del self._by_ufrag[ufrag.encode()]

    def release(self, handler: Handler) -> None:
        """Forget a handler with all its ufrags and sources."""
        for ufrag in [u for u, bound in self._by_ufrag.items() if bound is handler]:
            del self._by_ufrag[ufrag]
        for source in [s for s, owner in self._by_source.items() if owner is handler]:
            del self._by_source[source]

    def send(self, data: bytes, destination: Endpoint) -> None:
        """Send now or drop: a queue would only make audio late."""
        try:
            self._sock.sendto(data, destination)
        except BlockingIOError:
            self.counters.refuse("send_buffer_full")
        except OSError as error:
            self.counters.refuse("send_failed", f"{destination}: {error.strerror}")

    def receive(self, data: bytes, source: Endpoint) -> None:
        """Take one datagram."""
        kind = classify(data)
        if kind is Kind.STUN:
            self._stun(data, source)
        elif kind is not Kind.OTHER:
            handler = self._by_source.get(source)
            if handler is None:
                self.counters.refuse("unknown_source", source)
                return
            self.execute(handler, handler.agent.heard(source, self.clock()))
            handler.datagram(data)
        elif is_announcement(data):
            self._announcement(data, source)
        else:
            self.counters.refuse("unknown_protocol", source)

    def execute(self, handler: Handler, commands: list[Command]) -> None:
        """Execute the commands of a handler's agent."""
        for command in commands:
            match command:
                case Send(data, destination):
                    self.send(data, destination)
                case Validated(source):
                    owner = self._by_source.get(source)
                    if owner is not None and owner is not handler:
                        owner.agent.forget(source)
                    self._by_source[source] = handler
                case Forgotten(source):
                    if self._by_source.get(source) is handler:
                        del self._by_source[source]
                case Selected():
                    self.counters.count("path_selected")
                    handler.reachable()
                case Refused(reason):
                    self.counters.refuse(reason)

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                data, address = self._sock.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                self.counters.refuse("receive_failed", error.strerror)
                return
            self.receive(data, Endpoint.of(address))

    def _stun(self, data: bytes, source: Endpoint) -> None:
        try:
            handler = self._by_ufrag.get(server_ufrag(data))
        except StunError:
            # Without a USERNAME only a known source can be told what is wrong with its request.
            handler = self._by_source.get(source)
        if handler is None:
            self.counters.refuse("unknown_ufrag", source)
            return
        self.counters.count("stun")
        now = self.clock()
        commands = handler.agent.receive(data, source, now, self._announced(source, now))
        self.execute(handler, commands)

    def _announced(self, source: Endpoint, now: float) -> Announced | None:
        entry = self._announcements.get(source)
        if entry is None or now - entry.used >= ANNOUNCEMENT_LIFETIME:
            return None
        self._announcements[source] = entry._replace(used=now)
        self._announcements.move_to_end(source)
        return entry.announced

    def _announcement(self, data: bytes, source: Endpoint) -> None:
        try:
            announcement = Announcement.parse(data, self._keys)
        except AnnouncementError as error:
            self.counters.refuse("announcement_invalid", f"{source}: {error}")
            return
        if abs(self._unix_time() - announcement.time) > ANNOUNCEMENT_WINDOW:
            self.counters.refuse("announcement_time", source)
            return
        route = open_raw(announcement.route, self._keys)
        if route.target != self._target:
            self.counters.refuse("announcement_target", f"{source}: {route.target}")
            return
        announced = Announced(announcement.client, announcement.time, announcement.transport)
        if not self._note(source, announced):
            self.counters.refuse("announcement_old", source)
            return
        self.counters.count("announcement")
        handler = self._by_ufrag.get(route.ufrag.encode())
        if handler is not None:
            self.execute(handler, handler.agent.announce(source, announced))

    def _note(self, source: Endpoint, announced: Announced) -> bool:
        now = self.clock()
        known = self._announcements.get(source)
        if known is not None and known.announced.time >= announced.time:
            return False
        self._announcements[source] = _Entry(announced, now)
        self._announcements.move_to_end(source)
        while self._announcements:
            oldest = next(iter(self._announcements.values()))
            fresh = now - oldest.used < ANNOUNCEMENT_LIFETIME
            if fresh and len(self._announcements) <= MAX_ANNOUNCEMENTS:
                break
            self._announcements.popitem(last=False)
        return True


def enlarge_buffer(sock: socket.socket) -> None:
    """Ask for a receive buffer of `RECEIVE_BUFFER`, past the system's limit if we may."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        if granted < RECEIVE_BUFFER:
            logger.info(
                "receive buffer is %d bytes; raise net.core.rmem_max to %d for many sessions",
                granted,
                RECEIVE_BUFFER,
            )
