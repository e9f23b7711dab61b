"""A client that begins a call while somebody replays its ufrag: in simulated time, without sockets.

The session table is the real one. Whoever replays knows the ufrag, and sends a copy each time from
another address; no copy is answered, because the transceiver refuses a transaction that it has seen
from elsewhere. The client checks as RFC 8445 has a check repeated, and the transceiver answers it.
"""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from random import Random

from relay.config.registry import Registry, Transceiver
from relay.core.admission import Admission
from relay.core.flow import Flow, Install, Instant, SendToTransceiver, State
from relay.core.flowtuple import Source
from relay.core.limits import Limits
from relay.core.ports import UpstreamPool
from relay.core.rates import Rates
from relay.core.session import SessionTable
from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.transport import Transport

COPIES = (1, 10, 100, 1_000)  # a second
ANSWERS = (0.002, 0.02)  # seconds from a check to its answer
CHECK_EVERY = 0.5  # seconds; the RTO of RFC 8445 section 14.3, without backing off
GIVES_UP = 15.0  # seconds; Chromium
WARMING, WARMING_BY_FEW = 1.5, 12.0  # seconds of replaying before the client begins

_VIP = Endpoint("203.0.113.10", 3478)
_CLIENT = Endpoint("198.51.100.7", 40_000)
_TARGET = Target(1, 1, 1)
_PORTS = range(10_000, 30_000)
_UNIX = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the client, in so many trials.

    Attributes:
        copies: Copies a second.
        answer: Seconds from a check to its answer.
        replacements: `Limits.replacements`, flows of a ufrag that give way in a second.
        seconds: Until it was confirmed, in the trials in which it was.
        trials: How many.
    """

    copies: int
    answer: float
    replacements: float
    seconds: tuple[float, ...]
    trials: int


def run(trials: int, replacements: float, seed: int) -> Iterator[Row]:
    """The client against each rate of copies, for each time that an answer takes."""
    limits = replace(Limits(), replacements=replacements)
    for answer in ANSWERS:
        for copies in COPIES:
            found = [
                _Trial(Random(f"{seed}.{number}"), copies, answer, limits).run()
                for number in range(trials)
            ]
            confirmed = tuple(seconds for seconds in found if seconds is not None)
            yield Row(copies, answer, replacements, confirmed, trials)


class _Trial:
    """One client, and one who replays its ufrag."""

    def __init__(self, random: Random, copies: int, answer: float, limits: Limits) -> None:
        self._random = random
        self._copies = copies
        self._answer = answer
        keys = KeyRing({0: bytes(range(32))}, 0)
        self._table = SessionTable(
            vips=frozenset({_VIP}),
            upstreams={
                (Transport.UDP, socket.AF_INET): UpstreamPool(
                    ["192.0.2.1"], _PORTS, keys.port_key(1)
                )
            },
            registry=Registry((Transceiver(_TARGET, Endpoint("192.0.2.2", 5000)),)),
            keys=keys,
            randbelow=random.randrange,
            limits=limits,
            admission=Admission(Rates()),
        )
        route = mint(_TARGET, keys, now=_UNIX, lifetime=3600.0, nonce=b"abcd")
        self._username = f"{route.ufrag}:peer".encode()
        self._transactions = count(1)
        self._strangers = count(1 << 24)
        self._now = Instant(0.0, _UNIX)
        self._order = count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []

    def run(self) -> float | None:
        """Seconds until the client is confirmed; None if it gives up."""
        begin = (WARMING if self._copies >= 100 else WARMING_BY_FEW) + self._random.random()
        self._at(0.0, self._copy, self._check())  # the one that was seen
        self._at(0.0, self._sweep)
        self._at(begin, self._client)
        while self._events[0][0] < begin + GIVES_UP:
            moment, _, happens, arguments = heappop(self._events)
            self._now = Instant(moment, _UNIX + moment)
            happens(*arguments)
            if self._table.count(State.CONFIRMED):
                return moment - begin
        return None

    def _at(self, moment: float, happens: Callable[..., None], *arguments: object) -> None:
        heappush(self._events, (moment, next(self._order), happens, arguments))

    def _copy(self, copy: bytes) -> None:
        self._table.from_client(copy, Source(self._stranger(), _VIP), self._now)
        wait = 2 * self._random.random() / self._copies
        self._at(self._now.monotonic + wait, self._copy, copy)

    def _sweep(self) -> None:
        self._table.sweep(self._now)
        self._at(self._now.monotonic + 5.0, self._sweep)

    def _client(self) -> None:
        check = self._check()
        for command in self._table.from_client(check, Source(_CLIENT, _VIP), self._now):
            if isinstance(command, SendToTransceiver) and command.data is check:
                at = self._now.monotonic + self._answer
                self._at(at, self._answered, command.flow, check[8:20])
        wait = CHECK_EVERY * self._random.uniform(0.9, 1.1)
        self._at(self._now.monotonic + wait, self._client)

    def _answered(self, flow: Flow, transaction: bytes) -> None:
        if flow not in set(self._table):  # its socket is closed
            return
        success = stun.Message(stun.MessageClass.SUCCESS, stun.BINDING, transaction)
        for command in self._table.from_transceiver(
            success.serialize(b"password"), flow, self._now
        ):
            if isinstance(command, Install):
                self._table.lifecycle.installed(command.flow, self._now)

    def _check(self) -> bytes:
        return stun.Message(
            stun.MessageClass.REQUEST,
            stun.BINDING,
            next(self._transactions).to_bytes(12, "big"),
            ((stun.Attribute.USERNAME, self._username),),
        ).serialize(b"password")

    def _stranger(self) -> Endpoint:
        number = next(self._strangers)
        return Endpoint(".".join(str(each) for each in number.to_bytes(4, "big")), 1024)
