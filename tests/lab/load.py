"""A steady load of numbered packets through one flow, counted at both ends.

Both ends of the flow are sockets of this process, in the namespaces of their hosts. The client
sends connectivity checks as an ICE client does. The other end is a minimal transceiver: it answers
Binding requests, and sends media to where the last one came from. Packets are counted where an
application receives them; a capture may contain packets that the socket did not get, or miss some.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Self

from relay.wire.endpoint import Endpoint
from tests.lab import binding
from tests.lab.delivery import Delivery, count_delivery, numbered_packet, packet_number
from tests.lab.errors import LabError

RATE = 1000.0  # packets a second, each way
SIZE = 172  # bytes: 20 ms of G.711 in SRTP
CHECK_EVERY = 0.25  # seconds between two Binding requests of the client, as in a busy browser
CONNECT_SECONDS = 5.0
ENOUGH_PACKETS = 20  # that a path is seen to work
CATCH_UP = 0.05  # seconds; a sender that was delayed for longer skips the packets it missed
DRAIN_SECONDS = 0.5  # without any packet, after which those that have not arrived are lost

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
_BUFFER_BYTES = 8 << 20
_LARGEST = 65536


class _Direction:
    """One direction: what was sent at one end, and what arrived at the other."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0
        self.arrived: list[int] = []
        self.damaged = 0

    def next_packet(self) -> bytes:
        self.sent += 1
        return numbered_packet(self.sent - 1, self.size)

    def receive(self, data: bytes) -> None:
        number = packet_number(data)
        if number is None or len(data) != self.size:
            self.damaged += 1
        else:
            self.arrived.append(number)

    def delivery(self) -> Delivery:
        return count_delivery(range(self.sent), self.arrived, damaged=self.damaged)

    @property
    def complete(self) -> bool:
        return len(self.arrived) >= self.sent


class Load:
    """A load on a flow, while entered.

    Args:
        client: The client's socket; it is closed at the end.
        transceiver: The transceiver's socket; it is closed at the end.
        vip: The relay's VIP, where the client sends to.
        ufrag: The ufrag that routes to the transceiver.
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
        self._to_transceiver = _Direction(sizes[0])
        self._to_client = _Direction(sizes[1])
        self.upstreams: list[Endpoint] = []  # seen by the transceiver, in order
        self.checks = 0  # Binding requests that the client sent
        self.answers = 0  # Binding responses that it got
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
            LabError: No connectivity check was answered.
        """
        self._thread.start()
        if not self._connected.wait(CONNECT_SECONDS):
            self._stop()
            raise LabError(
                f"No connectivity check to {self._vip} was answered within "
                f"{CONNECT_SECONDS:.0f} s; the relay's log says why."
            )
        return self

    def __exit__(self, _: object, error: object, *__: object) -> None:
        """Stop sending, and wait for packets in flight."""
        self._stop()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def to_transceiver(self) -> Delivery:
        """Delivery of the packets to the transceiver; final once the load has ended."""
        return self._to_transceiver.delivery()

    @property
    def to_client(self) -> Delivery:
        """Delivery of the packets to the client; final once the load has ended."""
        return self._to_client.delivery()

    def run_for(self, seconds: float) -> None:
        """Keep sending for some time.

        Raises:
            LabError: The load has failed.
        """
        self._thread.join(seconds)
        if not self._thread.is_alive():
            raise LabError(f"The load has failed: {self._failure}") from self._failure

    @property
    def arrived(self) -> int:
        """How many packets have arrived at the transceiver so far."""
        return len(self._to_transceiver.arrived)

    def wait_for_packets(self, seconds: float = CONNECT_SECONDS) -> None:
        """Wait until some more packets have arrived at both ends.

        Raises:
            LabError: They do not arrive within that many seconds.
        """
        directions = (self._to_transceiver, self._to_client)
        enough = [len(each.arrived) + ENOUGH_PACKETS for each in directions]
        deadline = time.monotonic() + seconds
        while any(
            len(each.arrived) < least for each, least in zip(directions, enough, strict=True)
        ):
            if time.monotonic() > deadline:
                raise LabError(f"No packets passed in both directions for {seconds:.0f} s.")
            self.run_for(0.01)

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
                self._send(self._client, binding.check(self._username), self._vip)
                check_due = now + CHECK_EVERY
                self.checks += 1
            if not self._connected.is_set() or now - due > CATCH_UP:
                due = now
            while self._connected.is_set() and due <= now:
                self._send(self._client, self._to_transceiver.next_packet(), self._vip)
                self._send(self._transceiver, self._to_client.next_packet(), self.upstreams[-1])
                due += self._interval
            self._receive(min(due, check_due) - time.monotonic())

    def _drain(self) -> None:
        last_packet = time.monotonic()
        while time.monotonic() - last_packet < DRAIN_SECONDS:
            if self._to_transceiver.complete and self._to_client.complete:
                # Duplicates come at once: reading once more is enough.
                self._receive(0.01)
                return
            if self._receive(0.01):
                last_packet = time.monotonic()

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
        except OSError:  # the link is down: the packet counts as sent and lost
            return

    def _at_client(self, data: bytes, source: Endpoint) -> None:
        if source != self._vip:
            self._to_client.damaged += 1
        elif binding.read(data) is not None:
            self.answers += 1
            self._connected.set()
        else:
            self._to_client.receive(data)

    def _at_transceiver(self, data: bytes, source: Endpoint) -> None:
        message = binding.read(data)
        if message is not None:
            if source not in self.upstreams[-1:]:
                self.upstreams.append(source)
            self._send(self._transceiver, binding.answer(message, source), source)
        elif data[:1] >= b"\x80":  # not the relay's announcement
            self._to_transceiver.receive(data)
