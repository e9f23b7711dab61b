"""A steady load of numbered packets through one flow, counted at both ends.

Both ends of the flow are sockets of this process, in the namespaces of their hosts. The client
checks as an ICE client does; the far end is the least that a relay takes for a transceiver: it
answers Binding requests, and sends to where the last one came from. A capture could miss what a
socket got, or hold what it did not get; here, what is counted is what an application has.
"""

import secrets
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from relay.wire.endpoint import Endpoint
from relay.wire.errors import StunError
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, xor_address
from tests.lab.errors import LabError

RATE = 1000.0  # packets a second, each way
SIZE = 172  # bytes: 20 ms of G.711 in SRTP
CHECK_EVERY = 0.25  # seconds between two Binding requests of the client, as in a busy browser
CONNECT_SECONDS = 5.0
CATCH_UP = 0.05  # seconds; a sender that was held up longer leaves out what it missed
DRAIN_SECONDS = 0.5  # of silence, after which what has not arrived is lost

_HEADER = struct.Struct("!BBQ")
_RTP_VERSION = 0x80  # RFC 7983: the relay takes it for media
_PATTERN = bytes(range(251)) * 264  # 251 is prime: no two neighbours of a packet's words are alike
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
_BUFFER_BYTES = 8 << 20
_LARGEST = 65536
_PASSWORD = b"the password of both ends of a load"


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the packets that went one way.

    Attributes:
        sent: Packets sent.
        lost: Those that did not arrive.
        duplicated: Arrivals beyond the first of each packet.
        reordered: Arrivals with a number below one that arrived before them (RFC 4737).
        damaged: Arrivals that are not exactly what was sent.
        gap: The longest run of lost packets.
    """

    sent: int
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    damaged: int = 0
    gap: int = 0


def tally(sent: int, arrived: Sequence[int], damaged: int = 0) -> Tally:
    """Compare the numbers 0 to `sent` - 1 with those that arrived, in order of arrival."""
    seen: set[int] = set()
    highest = -1
    reordered = 0
    for number in arrived:
        reordered += number < highest
        highest = max(highest, number)
        seen.add(number)
    gap = longest = 0
    for number in range(sent):
        gap = 0 if number in seen else gap + 1
        longest = max(longest, gap)
    return Tally(
        sent=sent,
        lost=sent - len(seen),
        duplicated=len(arrived) - len(seen),
        reordered=reordered,
        damaged=damaged,
        gap=longest,
    )


def packet(number: int, size: int) -> bytes:
    """The packet of a number: the number, and contents that follow from it."""
    start = number % 251
    return _HEADER.pack(_RTP_VERSION, 0, number) + _PATTERN[start : start + size - _HEADER.size]


def number_in(data: bytes) -> int | None:
    """The number of a packet; None when it is not one, whole and unharmed."""
    if len(data) < _HEADER.size:
        return None
    number: int = _HEADER.unpack_from(data)[2]
    return number if packet(number, len(data)) == data else None


class _Way:
    """One direction: what was sent at one end, and what arrived at the other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0
        self.arrived: list[int] = []
        self.damaged = 0

    def next(self) -> bytes:
        self.sent += 1
        return packet(self.sent - 1, self.size)

    def take(self, data: bytes) -> None:
        number = number_in(data)
        if number is None or len(data) != self.size or number >= self.sent:
            self.damaged += 1
        else:
            self.arrived.append(number)

    def tally(self) -> Tally:
        return tally(self.sent, self.arrived, self.damaged)

    @property
    def complete(self) -> bool:
        return len(self.arrived) >= self.sent


class Load:
    """A load on a flow, from entering to leaving.

    Args:
        client: The client's socket; it is closed in the end.
        transceiver: The transceiver's socket; it is closed in the end.
        vip: Where the client sends to.
        ufrag: The route to the transceiver.
        rate: Packets a second, each way.
        sizes: Bytes of a packet to the transceiver, and of one to the client.
    """

    def __init__(
        self,
        client: socket.socket,
        transceiver: socket.socket,
        vip: Endpoint,
        ufrag: str,
        *,
        rate: float = RATE,
        sizes: tuple[int, int] = (SIZE, SIZE),
    ) -> None:
        self._client, self._transceiver = client, transceiver
        self._vip = vip
        self._username = f"{ufrag}:load".encode()
        self._interval = 1 / rate
        self._there, self._back = _Way(sizes[0]), _Way(sizes[1])
        self.upstreams: list[Endpoint] = []  # those that the transceiver has seen, in order
        self.answers = 0  # to the client's checks
        self._connected = threading.Event()
        self._running = True
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._selector = selectors.DefaultSelector()
        readers = ((client, self._at_client), (transceiver, self._at_transceiver))
        for udp, reader in readers:
            udp.setblocking(False)
            udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            self._selector.register(udp, selectors.EVENT_READ, (udp, reader))

    def __enter__(self) -> Self:
        """Connect, and start sending.

        Raises:
            LabError: The relay lets no check through.
        """
        self._thread.start()
        if not self._connected.wait(CONNECT_SECONDS):
            self._stop()
            raise LabError(f"No check of {self._vip} was answered in {CONNECT_SECONDS:.0f} s.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop sending, and wait for what is under way."""
        self._stop()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def there(self) -> Tally:
        """What became of the packets to the transceiver; of use once the load has ended."""
        return self._there.tally()

    @property
    def back(self) -> Tally:
        """What became of the packets to the client; of use once the load has ended."""
        return self._back.tally()

    def last_seconds(self, seconds: float) -> None:
        """Go on for some time.

        Raises:
            LabError: An end has failed.
        """
        self._thread.join(seconds)
        if not self._thread.is_alive():
            raise LabError(f"The load has ended: {self._failure}") from self._failure

    @property
    def arrived(self) -> int:
        """How many packets have arrived at the transceiver so far."""
        return len(self._there.arrived)

    def passes_again(self, packets: int = 20, seconds: float = CONNECT_SECONDS) -> None:
        """Wait until some more packets have arrived at both ends.

        Raises:
            LabError: They do not in that many seconds.
        """
        ways = (self._there, self._back)
        enough = [len(way.arrived) + packets for way in ways]
        deadline = time.monotonic() + seconds
        while any(len(way.arrived) < least for way, least in zip(ways, enough, strict=True)):
            if time.monotonic() > deadline:
                raise LabError(f"Nothing passed for {seconds:.0f} s.")
            self.last_seconds(0.01)

    def _stop(self) -> None:
        self._running = False
        self._thread.join()
        self._selector.close()
        self._client.close()
        self._transceiver.close()

    def _work(self) -> None:
        try:
            self._send_and_receive()
            self._drain()
        except OSError as error:
            self._failure = error

    def _send_and_receive(self) -> None:
        due = check_due = time.monotonic()
        while self._running:
            now = time.monotonic()
            if now >= check_due:
                self._send(self._client, self._check(), self._vip)
                check_due = now + CHECK_EVERY
            if not self._connected.is_set() or now - due > CATCH_UP:
                due = now
            while self._connected.is_set() and due <= now:
                self._send(self._client, self._there.next(), self._vip)
                self._send(self._transceiver, self._back.next(), self.upstreams[-1])
                due += self._interval
            self._receive(min(due, check_due) - time.monotonic())

    def _drain(self) -> None:
        heard = time.monotonic()
        while time.monotonic() - heard < DRAIN_SECONDS:
            if self._there.complete and self._back.complete:
                # What comes twice comes at once: one more look is enough.
                self._receive(0.01)
                return
            if self._receive(0.01):
                heard = time.monotonic()

    def _receive(self, seconds: float) -> bool:
        events = self._selector.select(max(seconds, 0.001))
        for key, _ in events:
            self._read(*key.data)
        return bool(events)

    def _read(self, udp: socket.socket, reader: Callable[[bytes, Endpoint], None]) -> None:
        while True:
            try:
                data, source = udp.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about an earlier packet
                continue
            reader(data, Endpoint.of(source))

    def _send(self, udp: socket.socket, data: bytes, to: Endpoint) -> None:
        try:
            udp.sendto(data, to)
        except OSError:  # the link is down: the packet counts as sent, and is lost
            return

    def _check(self) -> bytes:
        request = Message(
            MessageClass.REQUEST,
            BINDING,
            secrets.token_bytes(12),
            ((Attribute.USERNAME, self._username),),
        )
        return request.serialize(_PASSWORD)

    def _at_client(self, data: bytes, source: Endpoint) -> None:
        if source != self._vip:
            self._back.damaged += 1
        elif _message(data) is not None:
            self.answers += 1
            self._connected.set()
        else:
            self._back.take(data)

    def _at_transceiver(self, data: bytes, source: Endpoint) -> None:
        message = _message(data)
        if message is not None:
            if source not in self.upstreams[-1:]:
                self.upstreams.append(source)
            self._send(self._transceiver, _answer(message, source), source)
        elif data[:1] >= b"\x80":  # not the relay's announcement
            self._there.take(data)


def _message(data: bytes) -> Message | None:
    try:
        return Message.parse(data)
    except StunError:
        return None


def _answer(request: Message, source: Endpoint) -> bytes:
    address = xor_address(source, request.transaction_id)
    return Message(
        MessageClass.SUCCESS,
        BINDING,
        request.transaction_id,
        ((Attribute.XOR_MAPPED_ADDRESS, address),),
    ).serialize(_PASSWORD)
