"""Clients and a transceiver that talk through a relay: calls that go on, and calls that begin.

All clients share a raw socket, and the transceiver has one socket, as a real one has. It answers
the checks of its own clients alone: a real one refuses copies, whose transaction it has seen from
elsewhere.
"""

import secrets
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from relay.wire.endpoint import Endpoint
from relay.wire.stun import BINDING, HEADER_SIZE, Message, MessageClass
from tests.bench.compare.benchmarks.sessions import RETRANSMIT_SECONDS, Requests
from tests.bench.compare.testbed.system import Flow, Leg
from tests.bench.compare.traffic import packets
from tests.bench.compare.traffic.checks import LARGEST, MARK_SIZE, PASSWORD

PACKET_EVERY = 0.02  # seconds, of each call in each direction
DRAIN_SECONDS = 1.0  # in which what is under way arrives
GIVES_UP = 10.0  # seconds that clients have at the end, before those without an answer have failed

_RTP = b"\x80\x6f"  # what a payload begins with
_MARK_SIZE = 16  # bytes behind that, which tell this run's packets from late ones of another
_SIZE = 160  # bytes of a payload
_LOOK_EVERY = 0.002


@dataclass(slots=True)
class Heard:
    """What became of calls.

    Attributes:
        sent: Media packets, both ways.
        arrived: Those of them that came.
        begun: Calls that were to begin.
        waits: How long each waited for its first answer, in seconds.
        retransmitted: Checks that were sent again.
    """

    sent: int = 0
    arrived: int = 0
    begun: int = 0
    waits: list[float] = field(default_factory=list)
    retransmitted: int = 0

    @property
    def lost(self) -> int:
        """Media packets that did not come."""
        return self.sent - self.arrived

    @property
    def failed(self) -> int:
        """Calls that did not begin."""
        return self.begun - len(self.waits)


class Conversation:
    """Calls through a relay.

    Args:
        clients: The clients' raw socket.
        transceiver: The transceiver's socket.
        flows: The calls that go on.
        requests: The checks of those that begin.
    """

    def __init__(
        self,
        clients: socket.socket,
        transceiver: socket.socket,
        flows: Sequence[Flow],
        requests: Requests,
    ) -> None:
        self._clients = clients
        self._transceiver = transceiver
        self._flows = flows
        self._requests = requests
        self._next = iter(range(len(requests.packets)))
        self._sequence = count()
        self._mark = secrets.token_bytes(_MARK_SIZE)

    def run(self, seconds: float, begin_every: float, *, gives_up: float = GIVES_UP) -> Heard:
        """Talk for so long, and let a call begin every so often.

        Args:
            seconds: How long.
            begin_every: Seconds from one new call to the next.
            gives_up: Seconds after the end after which a call that has not begun has failed.
        """
        heard = Heard()
        waiting: dict[int, tuple[float, float]] = {}  # when each was sent first and last
        now = time.perf_counter()
        ends, media, begin = now + seconds, now, now + begin_every / 2
        latest = ends + gives_up
        while now < ends + DRAIN_SECONDS or (waiting and now < latest):
            if media <= now < ends:
                media += PACKET_EVERY
                self._talk(heard)
            if begin <= now < ends and (number := next(self._next, None)) is not None:
                begin += begin_every
                heard.begun += 1
                waiting[number] = now, now
                self._check(number)
            for number, (first, last) in waiting.items():
                if now > last + RETRANSMIT_SECONDS:
                    waiting[number] = first, now
                    heard.retransmitted += 1
                    self._check(number)
            select.select([self._clients, self._transceiver], [], [], _LOOK_EVERY)
            self._listen(heard, waiting)
            now = time.perf_counter()
        return heard

    def _talk(self, heard: Heard) -> None:
        """Each call's next packet, in both directions."""
        sequence = next(self._sequence)
        for number, flow in enumerate(self._flows):
            payload = _RTP + self._mark + number.to_bytes(4, "big") + sequence.to_bytes(4, "big")
            payload = payload.ljust(_SIZE, b"\0")
            there, back = flow.to_transceiver, flow.to_client
            packet = packets.packet(there.source, there.destination, _prefixed(there, payload))
            heard.sent += 2
            with suppress(BlockingIOError):
                self._clients.sendto(packet, (there.destination.host, 0))
            with suppress(BlockingIOError):
                self._transceiver.sendto(_prefixed(back, payload), back.destination)

    def _check(self, number: int) -> None:
        with suppress(BlockingIOError):  # it is sent again
            self._clients.sendto(self._requests.packets[number], (self._requests.host, 0))

    def _listen(self, heard: Heard, waiting: dict[int, tuple[float, float]]) -> None:
        while (came := _received(self._clients)) is not None:
            heard.arrived += self._mark in came[0]  # behind whatever headers
            number = self._requests.answered(came[0])
            if number in waiting:
                heard.waits.append(time.perf_counter() - waiting.pop(number)[0])
        while (came := _received(self._transceiver)) is not None:
            data, source = came
            heard.arrived += self._mark in data
            if answer := answered(data, self._requests.mark):
                self._transceiver.sendto(answer, source)


def answered(data: bytes, mark: bytes) -> bytes | None:
    """The transceiver's answer to a check of its own clients; None to all else."""
    if data[:2] != b"\0\x01" or data[8 : 8 + MARK_SIZE] != mark:
        return None
    transaction = data[8:HEADER_SIZE]
    return Message(MessageClass.SUCCESS, BINDING, transaction).serialize(PASSWORD)


def _prefixed(leg: Leg, payload: bytes) -> bytes:
    return leg.prefix + len(payload).to_bytes(2, "big") + payload if leg.prefix else payload


def _received(udp: socket.socket) -> tuple[bytes, Endpoint] | None:
    try:
        data, source = udp.recvfrom(LARGEST)
    except BlockingIOError:
        return None
    return data, Endpoint(*source[:2])
