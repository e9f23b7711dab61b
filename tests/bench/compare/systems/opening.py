"""Opening of flows through a system: a real Binding request from every client.

A transceiver of this process answers, and sees from which of the system's addresses a client's
packets come: that is where its own packets to this client have to go. So it works alike for all
that forward from the client's side, whether they know ICE or not.
"""

import secrets
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.errors import StunError
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.bench.compare.testbed.system import Flow, Leg
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic import packets
from tests.bench.compare.traffic.checks import (
    LARGEST,
    MARK_SIZE,
    PASSWORD,
    binding_request,
    prepared,
    raw_socket,
)
from tests.lab.errors import LabError
from tests.lab.topology import TRANSCEIVER

NO_UFRAG = "nobody"  # for systems that forward whatever comes
WINDOW = 128  # requests under way at a time: a system's first packets are its slowest
RETRANSMIT_SECONDS = 0.25  # after which a request is sent again
BASE_SECONDS, FLOW_SECONDS = 10.0, 0.004  # how long opening may take: altogether, and for each flow


def open_flows(
    testbed: Testbed, vip: Endpoint, new_ufrag: Callable[[], str], count: int
) -> list[Flow]:
    """Open the flows of the first `count` clients.

    Args:
        testbed: Where.
        vip: Where clients send to.
        new_ufrag: Makes what each names as the server's ufrag; only Icelane looks at it.
        count: How many.

    Raises:
        LabError: Some do not open in time.
    """
    with raw_socket(testbed) as clients, _transceiver_socket(testbed) as transceiver:
        opening = Opening(testbed.client, vip, new_ufrag, count)
        deadline = time.monotonic() + BASE_SECONDS + FLOW_SECONDS * count
        with selectors.DefaultSelector() as selector:
            selector.register(clients, selectors.EVENT_READ)
            selector.register(transceiver, selectors.EVENT_READ)
            while not opening.done:
                now = time.monotonic()
                if now > deadline:
                    raise LabError(
                        f"Of {count} flows {opening.opened} opened in time. "
                        f"The transceiver has got requests of {opening.requested}."
                    )
                for data in opening.due(now):
                    with suppress(BlockingIOError):  # it is sent again
                        clients.sendto(data, (vip.host, 0))
                selector.select(opening.wait(now))
                _answer_all(transceiver, opening)
                _receive_all(clients, opening)
    return [
        Flow(Leg(testbed.client(number), vip), Leg(testbed.transceiver, upstream))
        for number, upstream in opening.upstreams()
    ]


@dataclass(slots=True)
class _Pending:
    """A request without an answer: when it was sent last, in seconds of the caller's clock."""

    data: bytes
    sent: float


class Opening:
    """Which flows are open, which are under way. Pure; time is an argument.

    Args:
        client: The transport address of the client with a number.
        vip: Where clients send to.
        new_ufrag: Makes what each names as the server's ufrag.
        count: How many flows.
    """

    def __init__(
        self,
        client: Callable[[int], Endpoint],
        vip: Endpoint,
        new_ufrag: Callable[[], str],
        count: int,
    ) -> None:
        self._client = client
        self._vip = vip
        self._new_ufrag = new_ufrag
        self._count = count
        self._mark = secrets.token_bytes(MARK_SIZE)
        self._next = 0
        self._pending: dict[int, _Pending] = {}
        self._upstreams: dict[int, Endpoint] = {}
        self.opened = 0

    @property
    def done(self) -> bool:
        """Whether all are open."""
        return self.opened == self._count

    @property
    def requested(self) -> int:
        """How many flows' requests the transceiver has got."""
        return len(self._upstreams)

    def due(self, now: float) -> list[bytes]:
        """The packets to send now, from the IPv4 header on."""
        packets_due = []
        for pending in self._pending.values():
            if now >= pending.sent + RETRANSMIT_SECONDS:
                pending.sent = now
                packets_due.append(pending.data)
        while self._next < self._count and len(self._pending) < WINDOW:
            client = self._client(self._next)
            data = binding_request(client, self._vip, self._new_ufrag(), self._mark, self._next)
            self._pending[self._next] = _Pending(data, now)
            packets_due.append(data)
            self._next += 1
        return packets_due

    def wait(self, now: float) -> float:
        """For how many seconds nothing is due."""
        earliest = min((each.sent for each in self._pending.values()), default=now)
        return max(0.0, earliest + RETRANSMIT_SECONDS - now)

    def answer(self, data: bytes, source: Endpoint) -> bytes | None:
        """The transceiver's answer to what came from an address; None when it is no request."""
        number = self._number(data, MessageClass.REQUEST)
        if number is None:
            return None
        self._upstreams[number] = source
        transaction = data[8 : stun.HEADER_SIZE]
        mapped = (int(Attribute.XOR_MAPPED_ADDRESS), stun.xor_address(source, transaction))
        return Message(MessageClass.SUCCESS, BINDING, transaction, (mapped,)).serialize(PASSWORD)

    def receive(self, packet: bytes) -> None:
        """Take what came to the clients' host, from the IPv4 header on."""
        udp = packet[(packet[0] & 0x0F) * 4 :]
        if packet[12:16] + udp[:2] != self._vip.packed[12:]:
            return
        number = self._number(udp[packets.UDP_SIZE :], MessageClass.SUCCESS)
        if number is None or packet[16:20] + udp[2:4] != self._client(number).packed[12:]:
            return
        if self._pending.pop(number, None) is not None:
            self.opened += 1

    def upstreams(self) -> list[tuple[int, Endpoint]]:
        """Where each flow's packets came from, by number, in order."""
        return sorted(self._upstreams.items())

    def _number(self, data: bytes, message_class: MessageClass) -> int | None:
        """The flow that a message is of; None when it is none of these."""
        try:
            header = stun.header(data)
        except StunError:
            return None
        mark, number = header.transaction_id[:MARK_SIZE], header.transaction_id[MARK_SIZE:]
        ours = header.message_class is message_class and mark == self._mark
        return int.from_bytes(number, "big") if ours else None


def _transceiver_socket(testbed: Testbed) -> socket.socket:
    with testbed.hosts[TRANSCEIVER].inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.bind(testbed.transceiver)
    except OSError as error:
        udp.close()
        raise LabError(f"{testbed.transceiver} is taken: {error.strerror}.") from None
    return prepared(udp)


def _answer_all(transceiver: socket.socket, opening: Opening) -> None:
    while True:
        try:
            data, source = transceiver.recvfrom(LARGEST)
        except BlockingIOError:
            return
        answer = opening.answer(data, Endpoint.of(source))
        if answer is not None:
            transceiver.sendto(answer, source)


def _receive_all(clients: socket.socket, opening: Opening) -> None:
    while True:
        try:
            opening.receive(clients.recv(LARGEST))
        except BlockingIOError:
            return
