"""Many flows that are generated: both ends are sockets of this process, which one thread serves.

Clients check as ICE agents do. The other end does what a transceiver does: it answers checks, and
follows a relay's announcement of a higher epoch. All flows are of one size, and far slower than
voice: there are many of them, and what is wanted is when each is heard again.
"""

import secrets
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from relay.wire.announcement import Announcement, is_announcement
from relay.wire.endpoint import PACKED_SIZE, Endpoint
from relay.wire.errors import AnnouncementError, QuestionError
from relay.wire.question import Answer, Question, is_question
from relay.wire.route import Target, mint, read_ufrag
from relay.wire.stun import MessageClass
from tests.bench.failover.gaps import Gap, Way
from tests.bench.failover.strays import TO_CLIENT, TO_TRANSCEIVER, Stray
from tests.bench.failover.upstreams import Upstreams
from tests.lab import binding
from tests.lab.errors import LabError
from tests.lab.fleet.network import (
    CLIENT,
    GENERATED,
    TRANSCEIVER,
    VIP,
    relay_of,
)
from tests.lab.fleet.site import Site
from tests.lab.relay_testbed import udp_socket
from tests.soak.account import Way as Account

CHECK_EVERY = 2.5  # seconds, as Chromium
_CONNECT_SECONDS = 30.0
_FIRST_CHECKS = 2.0  # seconds over which those of a thousand are spread
_RETRY = 0.5  # seconds after which a check that was not answered is sent again
_ROUTE_SECONDS = 3600.0
_BUFFER_BYTES = 8 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
_LARGEST = 2048
_HEADER = struct.Struct("!BBHII")  # an RTP packet's: number and flow
_RTP, _TYPE = 0x80, 111
_DESTINATION = slice(_HEADER.size, _HEADER.size + PACKED_SIZE)  # where it was sent to
_VOICE = bytes(100 - PACKED_SIZE)
_MOST_STRAYS = 1_000  # of which is told more than that there were so many
_NUMBERS = 1 << 16


@dataclass(slots=True, eq=False)
class _Flow:
    index: int
    client: socket.socket
    username: bytes
    check_due: float
    answers: int = 0
    checked: bool = False  # its transceiver has had a check
    relay: str = ""  # whose upstream address the last packet came from
    before: str = ""
    heard: float = 0.0  # by its transceiver, and by its client
    heard_back: float = 0.0
    to_transceiver: Account = field(default_factory=Account)
    to_client: Account = field(default_factory=Account)


class Flows:
    """Flows that go on while entered.

    Args:
        site: What they go through.
        count: How many.
        rate: Packets a second, of each in each direction.
        check_every: Seconds between two checks of a client.

    Attributes:
        misdelivered: Packets of one flow that came to the client of another one, or from what is
            the upstream address of another one.
        strays: What is known of the first thousand of them.
    """

    def __init__(
        self, site: Site, count: int, rate: float, check_every: float = CHECK_EVERY
    ) -> None:
        self.period = 1 / rate
        self.misdelivered = 0
        self.strays: list[Stray] = []
        self._check_every = check_every
        self._upstreams = Upstreams()
        self._site = site
        self._interval = self.period / count
        self._stack = ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self._transceiver = udp_socket(site.hosts[TRANSCEIVER], GENERATED)
        self._watch(self._transceiver, self._read_transceiver)
        self._first_checks = _FIRST_CHECKS * max(1.0, count / 1000)
        self._began = time.monotonic()
        self._flows = [
            self._make(index, self._began + self._first_checks * index / count)
            for index in range(count)
        ]
        self._by_username = {flow.username: flow for flow in self._flows}
        self._by_client = {Endpoint.of(f.client.getsockname()): f for f in self._flows}
        self._running, self._sending = True, False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Connect all, and start sending.

        Raises:
            LabError: Some did not connect.
        """
        self._thread.start()
        most = _CONNECT_SECONDS + self._first_checks
        deadline = time.monotonic() + most
        while missing := sum(not flow.answers for flow in self._flows):
            self.check()
            if time.monotonic() > deadline:
                self.__exit__()
                raise LabError(f"{missing} flows did not connect in {most:.0f} s.")
            time.sleep(min(self.period, 1.0))
        self._sending = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop."""
        self._running = False
        self._thread.join()
        self._stack.close()

    @property
    def age(self) -> float:
        """Seconds since they began."""
        return time.monotonic() - self._began

    def check(self) -> None:
        """Raise LabError if they have failed."""
        if self._failure is not None:
            raise LabError(f"The flows have failed: {self._failure}") from self._failure

    def mark(self) -> None:
        """Note through which relay each comes now."""
        for flow in self._flows:
            flow.before = flow.relay

    def silent(self, since: float) -> bool:
        """Whether some flow has not been heard since a moment of time.time(), at either end."""
        first = since + time.monotonic() - time.time()
        return any(min(flow.heard, flow.heard_back) < first for flow in self._flows)

    def gaps(self, since: float, until: float) -> list[Gap]:
        """What all have borne of packets that were sent between two moments, as time.time()."""
        shift = time.monotonic() - time.time()
        first, last = since + shift - 2 * self.period, until + shift
        return [
            Gap(
                flow.before,
                flow.relay,
                _judged(flow.to_transceiver, first, last),
                _judged(flow.to_client, first, last),
            )
            for flow in self._flows
        ]

    def unheard(self, since: float) -> int:
        """Of how many nothing arrives, in one direction, that was sent since (time.time())."""
        first = since + time.monotonic() - time.time()
        return sum(
            not all(_is_heard(each, first) for each in (flow.to_transceiver, flow.to_client))
            for flow in self._flows
        )

    def _make(self, index: int, check_due: float) -> _Flow:
        route = mint(
            Target(1, 2, 1),
            self._site.keys,
            now=time.time(),
            lifetime=_ROUTE_SECONDS,
            nonce=secrets.token_bytes(4),
        )
        address = self._site.clients[index % len(self._site.clients)]
        udp = udp_socket(self._site.hosts[CLIENT], Endpoint(address, 0))
        flow = _Flow(index, udp, f"{route.ufrag}:{index}".encode(), check_due)
        self._watch(udp, lambda data, _: self._read_client(flow, data))
        return flow

    def _watch(self, udp: socket.socket, read: Callable[[bytes, Endpoint], None]) -> None:
        self._stack.callback(udp.close)
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._selector.register(udp, selectors.EVENT_READ, (udp, read))

    def _work(self) -> None:
        try:
            due, turn = time.monotonic(), 0
            while self._running:
                now = time.monotonic()
                while due <= now:
                    self._take_turn(self._flows[turn], now)
                    turn = (turn + 1) % len(self._flows)
                    due += self._interval
                self._receive(due - time.monotonic())
        except Exception as error:  # noqa: BLE001  # it is told by whoever waits for them
            self._failure = error

    def _take_turn(self, flow: _Flow, now: float) -> None:
        if now >= flow.check_due:
            flow.check_due = now + (self._check_every if flow.answers else _RETRY)
            _send(flow.client, binding.check(flow.username), VIP)
        if not (self._sending and flow.checked):
            return
        _send(flow.client, _packet(flow.index, flow.to_transceiver.send(now), VIP), VIP)
        number = flow.to_client.send(now)  # it counts as lost if there is nowhere to send it to
        if (upstream := self._upstreams.of(flow.index)) is not None:
            _send(self._transceiver, _packet(flow.index, number, upstream), upstream)

    def _receive(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(seconds, 0.0)):
            udp, read = key.data
            while True:
                try:
                    data, source = udp.recvfrom(_LARGEST)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error about an earlier packet
                    continue
                read(data, Endpoint(*source[:2]))

    def _read_client(self, flow: _Flow, data: bytes) -> None:
        if data[0] != _RTP:
            flow.answers += 1
        elif (sender := self._flows[_HEADER.unpack_from(data)[4]]) is flow:
            flow.heard_back = time.monotonic()
            flow.to_client.receive(_number(data), flow.heard_back)
        else:
            upstream = Endpoint.unpack(data[_DESTINATION])
            sent = sender.to_client.sent_at[_number(data)]
            self._has_strayed(TO_CLIENT, sender.index, flow.index, upstream, sent)

    def _read_transceiver(self, data: bytes, source: Endpoint) -> None:
        if data[0] == _RTP:
            flow = self._flows[_HEADER.unpack_from(data)[4]]
            tenant = self._upstreams.at(source)
            if tenant is not None and tenant.flow != flow.index:
                sent = flow.to_transceiver.sent_at[_number(data)]
                self._has_strayed(TO_TRANSCEIVER, flow.index, tenant.flow, source, sent)
                return
            flow.relay = relay_of(source).name
            flow.heard = time.monotonic()
            flow.to_transceiver.receive(_number(data), flow.heard)
            if tenant is not None:
                self._upstreams.heard(flow.index, source, flow.heard)
        elif is_announcement(data):
            self._follow(data, source)
        elif is_question(data):
            self._tell(data, source)
        else:
            self._answer(data, source)

    def _follow(self, data: bytes, source: Endpoint) -> None:
        try:
            told = Announcement.parse(data, self._site.keys)
        except AnnouncementError:
            return
        flow = self._by_client.get(told.client)
        if flow is not None:
            now = time.monotonic()
            self._upstreams.announced(flow.index, source, told.epoch, told.time, now)

    def _tell(self, data: bytes, source: Endpoint) -> None:
        try:
            asked = Question.parse(data, self._site.keys)
        except QuestionError:
            return
        flow = self._by_client.get(asked.client)
        upstream = self._upstreams.of(flow.index) if flow is not None else None
        if flow is not None and upstream is not None:
            route = read_ufrag(flow.username.partition(b":")[0]).raw
            told = Answer(asked.nonce, route, max(1, self._upstreams.epoch(flow.index)), upstream)
            _send(self._transceiver, told.serialize(self._site.keys), source)

    def _answer(self, data: bytes, source: Endpoint) -> None:
        message = binding.read(data)
        if message is None or message.message_class is not MessageClass.REQUEST:
            return
        flow = self._by_username.get(binding.username(message))
        if flow is not None:
            flow.checked = True
            self._upstreams.checked(flow.index, source, time.monotonic())
            _send(self._transceiver, binding.answer(message, source), source)

    def _has_strayed(
        self, way: str, flow: int, other: int, upstream: Endpoint, sent: float
    ) -> None:
        self.misdelivered += 1
        if len(self.strays) >= _MOST_STRAYS:
            return
        tenant = self._upstreams.at(upstream)
        told = tenant.since if tenant is not None and tenant.flow == other else None
        self.strays.append(
            Stray(
                way,
                flow,
                other,
                str(upstream),
                relay_of(upstream).name,
                sent=round(sent - self._began, 4),
                arrived=round(self.age, 4),
                told=None if told is None else round(told - self._began, 4),
            )
        )


def _judged(account: Account, first: float, last: float) -> Way:
    """One direction, by when its packets were sent: this process may read them late."""
    sent = [
        (at, bool(arrived))
        for at, arrived in zip(account.sent_at, account.arrived, strict=False)
        if first <= at <= last
    ]
    heard = [at for at, arrived in sent if arrived]
    if not heard:
        return Way(last - first, len(sent))
    times = [sent[0][0], *heard, sent[-1][0]]  # what is lost first or last is silence, too
    silence = max((after - before for before, after in pairwise(times)), default=0.0)
    return Way(silence, len(sent) - len(heard))


def _is_heard(account: Account, since: float) -> bool:
    return any(
        arrived
        for at, arrived in zip(account.sent_at, account.arrived, strict=False)
        if at >= since
    )


def _packet(flow: int, number: int, to: Endpoint) -> bytes:
    header = _HEADER.pack(_RTP, _TYPE, number % _NUMBERS, number, flow)
    return header + to.packed + _VOICE


def _number(data: bytes) -> int:
    number: int = _HEADER.unpack_from(data)[3]
    return number


def _send(udp: socket.socket, data: bytes, to: Endpoint) -> None:
    try:
        udp.sendto(data, to)
    except OSError:  # the link is down: the packet counts as sent and lost
        return
