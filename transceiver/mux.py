"""The one UDP socket of all sessions, demultiplexed.

The first byte tells the protocol (RFC 7983). A STUN request belongs to the session of its ufrag,
everything else to the session of its source address, if that passed a check. A relay's
announcement says which client is behind a source. Nothing else is answered or changes state.
What has waited to be read for too long is passed by, see `transceiver.backlog`.
"""

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from relay.clocks import ClockWatch
from relay.core.throttle import TokenBucket
from relay.wire.announcement import Announcement, is_announcement
from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from relay.wire.errors import AnnouncementError, QuestionError, StunError
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.question import Answer, Question, is_question
from relay.wire.route import Target, decode, read_ufrag
from relay.wire.stun import MessageClass, header, server_ufrag
from relay.wire.transport import Transport
from transceiver.announcements import Announcements
from transceiver.backlog import Backlog, believed, count_stale
from transceiver.commands import Command, Embedded, Forgotten, Refused, Selected, Send, Validated
from transceiver.counters import Counters
from transceiver.datagrams import BATCH, Datagrams
from transceiver.ice import IceAgent
from transceiver.path import Announced

logger = logging.getLogger(__name__)

RECEIVE_BUFFER = 4 << 20  # bytes; 200 ms of 1,000 calls
#: Batches that are read in a turn of the loop where they are too old, which costs little; one in
#: others, so that timers run under load.
MOST_BATCHES = 16
WORTH_A_BATCH = 8  # datagrams from which on sendmmsg is cheaper: `python -m tests.bench mux`
GOODBYE_AGAIN = 0.3  # seconds: longer than most bursts of loss
MAX_GOODBYES = 1024  # that wait to be repeated
MOST_QUESTIONS = 2_000  # a second: some 30 us each
_SO_RCVBUFFORCE = 33  # Linux, asm-generic/socket.h; the socket module does not name it


class Handler(Protocol):
    """A transport of a session, to which the mux delivers."""

    agent: IceAgent

    def datagram(self, data: bytes, source: Endpoint) -> None:
        """Take DTLS, SRTP or SRTCP that came over a path of the agent; it need not be authentic."""

    def reachable(self) -> None:
        """Take note that the agent has selected a path, the first or another one."""


class Mux:
    """Reads the socket and dispatches datagrams to handlers.

    Args:
        sock: A bound, non-blocking UDP socket; the mux does not close it.
        keys: Verify announcements.
        target: This transceiver; announcements for another are refused.
        clock: Seconds of a monotonic clock.
        unix_time: Unix seconds, by the clock of the kernel, which says when datagrams came; also
            tells an operator of a clock that is wrong.

    Attributes:
        counters: What came, and what was refused.
        clock: As above.
        backlog: How late it is read.
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
        self.backlog = Backlog()
        self._sock = sock
        self._datagrams = Datagrams(sock)
        self._keys = keys
        self._target = target
        self._unix_time = unix_time
        self._by_ufrag: dict[bytes, Handler] = {}
        self._by_source: dict[Endpoint, Handler] = {}
        self._announcements = Announcements()
        self._clocks = ClockWatch()
        self._questions = TokenBucket(MOST_QUESTIONS, MOST_QUESTIONS)
        self._goodbyes: dict[Endpoint, asyncio.TimerHandle] = {}  # to be repeated
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
            for repeat in self._goodbyes.values():
                repeat.cancel()
            self._goodbyes.clear()
            self._loop = None

    def bind(self, ufrag: str, handler: Handler) -> bool:
        """Deliver requests with this ufrag to a handler; False if another handler has it."""
        return self._by_ufrag.setdefault(ufrag.encode(), handler) is handler

    def unbind(self, ufrag: str, handler: Handler) -> None:
        """Forget a ufrag of a handler."""
        if self._by_ufrag.get(ufrag.encode()) is handler:
            del self._by_ufrag[ufrag.encode()]

    def release(self, handler: Handler) -> None:
        """Forget a handler with all its ufrags and sources; relays may forget its flows."""
        for ufrag in [u for u, bound in self._by_ufrag.items() if bound is handler]:
            del self._by_ufrag[ufrag]
        for source in [s for s, owner in self._by_source.items() if owner is handler]:
            del self._by_source[source]
            self._say_goodbye(source)

    def send(self, data: bytes, destination: Endpoint) -> None:
        """Send now or drop: a queue would only make audio late."""
        try:
            self._sock.sendto(data, destination)
        except BlockingIOError:
            self.counters.refuse("send_buffer_full")
        except OSError as error:
            self.counters.refuse("send_failed", f"{destination}: {error.strerror}")

    def send_many(self, datagrams: Sequence[tuple[bytes, Endpoint]]) -> None:
        """Send datagrams now, in their order, with few system calls; a bad one costs itself."""
        if len(datagrams) < WORTH_A_BATCH:
            for data, destination in datagrams:
                self.send(data, destination)
            return
        for number in self._datagrams.send(datagrams):
            if number == errno.EAGAIN:
                self.counters.refuse("send_buffer_full")
            else:
                self.counters.refuse("send_failed", os.strerror(number))

    def receive(self, data: bytes, source: Endpoint, *, stale: bool = False) -> None:
        """Take one datagram.

        Args:
            data: The datagram.
            source: Where it came from.
            stale: It came so long ago that sound in it is of no use.
        """
        kind = classify(data)
        if kind is Kind.STUN:
            self._stun(data, source)
        elif kind is not Kind.OTHER:
            handler = self._by_source.get(source)
            if handler is None:
                self.counters.refuse("unknown_source", source)
                return
            handler.agent.received(source, len(data))
            if stale and kind is Kind.RTP:
                self.counters.refuse("stale", source)
            else:
                handler.datagram(data, source)
        elif is_announcement(data):
            self._announcement(data, source)
        elif is_question(data):
            self._question(data, source)
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
                case Embedded(data, source):
                    self.counters.count("sped")
                    handler.datagram(data, source)
                case Refused(reason):
                    self.counters.refuse(reason)

    def _readable(self) -> None:
        for _ in range(MOST_BATCHES):
            if not self._read():
                break

    def _read(self) -> bool:
        """Take a batch; whether all of it was too old, so that the next one may be, too."""
        try:
            batch = self._datagrams.receive()
        except OSError as error:
            self.counters.refuse("receive_failed", error.strerror)
            return False
        if not batch:
            return False
        now = self._unix_time()
        arrivals = believed(self._datagrams.arrivals(len(batch)), now)
        waited = max(0.0, now - arrivals[0]) if arrivals else 0.0
        self.backlog.note(waited, len(batch), self.clock())
        too_old = count_stale(arrivals, now)
        for number, (data, source) in enumerate(batch):
            if source is None:
                self.counters.refuse("unknown_protocol", "a link-local address")
                continue
            try:
                self.receive(data, source, stale=number < too_old)
            except Exception as fault:  # noqa: BLE001  # it is not to cost the rest of the batch
                self._report(fault, source)
        return too_old == BATCH

    def _report(self, fault: Exception, source: Endpoint) -> None:
        self.counters.refuse("handler_failed", f"{source}: {fault!r}")
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a handler of a datagram failed", "exception": fault}
        )

    def _stun(self, data: bytes, source: Endpoint) -> None:
        # What is no request is of the client that is there: an indication has no USERNAME, and an
        # answer (libnice's has one) that of our request, where the client's ufrag comes first.
        handler = self._by_source.get(source)
        with suppress(StunError):
            if header(data).message_class is MessageClass.REQUEST:
                handler = self._by_ufrag.get(server_ufrag(data))
        if handler is None:
            self.counters.refuse("unknown_ufrag", source)
            return
        self.counters.count("stun")
        now = self.clock()
        announced = self._announcements.checked(source, now)
        owner = self._by_source.get(source)
        lived_in = (
            owner is not None
            and owner is not handler
            and owner.agent.lives_at(source, now, announced)
        )
        commands = handler.agent.receive(data, source, now, announced, lived_in=lived_in)
        self.execute(handler, commands)

    def _say_goodbye(self, source: Endpoint) -> None:
        """Tell the relay behind a source, if it is one, that it may forget the client's flow.

        Twice, for the first may get lost.
        """
        known = self._announcements.get(source)
        if known is None:
            return
        goodbye = Goodbye(known.route, known.announced.client, source).serialize(self._keys)
        self.send(goodbye, source)
        self.counters.count("goodbye")
        if self._loop is not None and len(self._goodbyes) < MAX_GOODBYES:
            self._goodbyes[source] = self._loop.call_later(
                GOODBYE_AGAIN, self._repeat_goodbye, goodbye, source
            )

    def _repeat_goodbye(self, goodbye: bytes, source: Endpoint) -> None:
        self._goodbyes.pop(source, None)
        if source not in self._by_source:  # the client may be in another call by now, on that flow
            self.send(goodbye, source)

    def _announcement(self, data: bytes, source: Endpoint) -> None:
        try:
            announcement = Announcement.parse(data, self._keys)
        except AnnouncementError as error:
            self.counters.refuse("announcement_invalid", f"{source}: {error}")
            return
        if announcement.upstream != source:
            # Overheard and sent again from elsewhere, it would make that address the client's.
            self.counters.refuse("announcement_source", f"{source}: of {announcement.upstream}")
            return
        route = decode(announcement.route)  # which it has verified
        if route.target != self._target:
            self.counters.refuse("announcement_target", f"{source}: {route.target}")
            return
        now = self.clock()
        announced = self._announcements.note(announcement, now)
        if announced is None:
            self.counters.refuse("announcement_old", source)
            return
        self.counters.count("announcement")
        self._clocks.hear(f"relay {source.host}", self._unix_time() - announcement.time, now)
        for news in self._clocks.news(now):
            logger.error("%s", news)
        owner = self._by_source.get(source)
        if owner is not None and owner.agent.has_another_at(source, announced):
            # Though the other client may move there later, or not: what is sent there is no longer
            # this one's.
            owner.agent.forget(source)
            del self._by_source[source]
        handler = self._by_ufrag.get(route.ufrag.encode()) or self._handler_of(announced)
        if handler is not None:
            self.execute(handler, handler.agent.announce(source, announced))

    def _question(self, data: bytes, source: Endpoint) -> None:
        """Tell a relay where a client's flow leads, if it leads here."""
        now = self.clock()
        if not self._questions.take(now):
            self.counters.refuse("question_limited", source)
            return
        try:
            question = Question.parse(data, self._keys)
        except QuestionError as error:
            self.counters.refuse("question_invalid", f"{source}: {error}")
            return
        if question.asker != source:
            self.counters.refuse("question_source", f"{source}: of {question.asker}")
            return
        self.counters.count("question")
        answer = self._answer_to(question, now)
        if answer is not None:
            self.counters.count("question_answered")
            self.send(answer.serialize(self._keys), source)

    def _answer_to(self, question: Question, now: float) -> Answer | None:
        found, epoch = None, 0
        for source, known in self._announcements.of_client(question.client):
            if known.announced.transport is not Transport.UDP:
                continue
            epoch = max(epoch, known.announced.epoch)
            handler = self._by_source.get(source)
            if (
                handler is not None
                and known.vip == question.vip
                and handler.agent.lives_at(source, now, known.announced)
                and (found is None or handler.agent.selected == source)
            ):
                found = handler.agent, source
        if found is None:
            return None
        agent, source = found
        # Not the route that was announced: after an ICE restart that ufrag is not in use any more.
        return Answer(question.nonce, read_ufrag(agent.credentials.ufrag).raw, epoch, source)

    def _handler_of(self, announced: Announced) -> Handler | None:
        """The session of a client whose flow was begun with a ufrag that is not in use any more."""
        for source, known in self._announcements.of_client(announced.client):
            handler = self._by_source.get(source)
            if handler is not None and known.announced.is_of(announced):
                return handler
        return None


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
