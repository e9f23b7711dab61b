"""Calls of many clients through one relay, every packet of which is accounted for.

Both ends are sockets of this process, in the namespaces of their hosts, and one thread serves all
of them. Clients check as ICE agents do, every 2.5 s; the other end answers, and sends to where a
client's last check came from.
"""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

from relay.wire.announcement import Announcement, is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.stun import MessageClass
from tests.lab import binding
from tests.lab.errors import LabError
from tests.lab.relay_testbed import RelayTestbed
from tests.soak.account import Way

CHECK_EVERY = 2.5  # seconds, as Chromium
CONNECT_SECONDS = 20.0
RECOVER_SECONDS = 10.0  # at least twice CHECK_EVERY, after which a check must have got through
DRAIN_SECONDS = 0.5  # without any packet, after which those that have not arrived are lost
DRAIN_LIMIT = 10.0  # seconds that this may take
CATCH_UP = 0.05  # seconds; a sender that was delayed for longer leaves out what it missed

_POLL_SECONDS = 0.01
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module does not name it
_BUFFER_BYTES = 8 << 20
_LARGEST = 2048
# An RTP packet's first byte, then flow, direction and number; and what makes it 20 ms of voice.
_HEADER = struct.Struct("!BBHI")
_RTP = 0x80
_VOICE = bytes(range(164))
_TO_TRANSCEIVER, _TO_CLIENT = 1, 2


@dataclass(slots=True, eq=False)
class Call:
    """One client's flow.

    Attributes:
        index: Its number.
        client: The client's socket.
        vip: Where the client sends to.
        transceiver: The transceiver's socket.
        username: Of its checks, as `Attribute.USERNAME`.
        upstream: Where the transceiver sends to; None until a check has come.
        answers: How many checks were answered.
        epoch: The highest that the relay has announced.
        told: When it said so, Unix seconds.
        moves: How often the upstream address became another one.
        to_transceiver: The client's packets.
        to_client: The transceiver's packets.
    """

    index: int
    client: socket.socket
    vip: Endpoint
    transceiver: socket.socket
    username: bytes
    upstream: Endpoint | None = None
    epoch: int = 1
    told: float = 0.0
    answers: int = 0
    moves: int = 0
    check_due: float = 0.0
    to_transceiver: Way = field(default_factory=Way)
    to_client: Way = field(default_factory=Way)


class Calls:
    """Many calls, while entered.

    Args:
        testbed: What they go through.
        count: How many; all pairs of families take turns.
        rate: Packets a second, of each call in each direction.
    """

    def __init__(self, testbed: RelayTestbed, count: int, rate: float) -> None:
        self._keys = testbed.keys
        self._interval = 1 / (rate * count)
        self._stack = ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        try:
            ends = testbed.ends(count)
            for end in ends:
                for udp in (end.client, end.transceiver):
                    self._stack.callback(udp.close)
            self.calls = [
                Call(index, end.client, end.vip, end.transceiver, f"{end.ufrag}:{index}".encode())
                for index, end in enumerate(ends)
            ]
            for call in self.calls:
                self._register(call.client, self._client_reader(call))
            for udp in {call.transceiver for call in self.calls}:
                self._register(udp, self._transceiver_reader(udp))
        except BaseException:
            self._stack.close()
            raise
        self._running = True
        self._connected = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Connect all, and start sending.

        Raises:
            LabError: The checks of some were not answered.
        """
        self._thread.start()
        try:
            self._wait(
                lambda: all(call.answers for call in self.calls),
                CONNECT_SECONDS,
                lambda: f"{sum(not call.answers for call in self.calls)} calls did not connect",
            )
        except BaseException:
            self._stop()
            raise
        self._connected = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop sending, and wait for packets under way."""
        self._stop()

    def ways(self) -> Sequence[tuple[int, str, Way]]:
        """All directions of all calls; final once they have ended."""
        return [
            (call.index, name, way)
            for call in self.calls
            for name, way in (
                ("to the transceiver", call.to_transceiver),
                ("to the client", call.to_client),
            )
        ]

    def run_for(self, seconds: float) -> None:
        """Let them go on for some time.

        Raises:
            LabError: They have failed.
        """
        self._thread.join(seconds)
        if not self._thread.is_alive():
            raise LabError(f"The calls have failed: {self._failure}") from self._failure

    def wait_until_all_pass(self) -> None:
        """Wait until a packet that is sent from now on has arrived in each way.

        Raises:
            LabError: That takes more than `RECOVER_SECONDS`.
        """
        missing = [(name, index, way, len(way.arrived)) for index, name, way in self.ways()]

        def all_have_come() -> bool:
            missing[:] = [each for each in missing if not each[2].arrived_since(each[3])]
            return not missing

        self._wait(
            all_have_come,
            RECOVER_SECONDS,
            lambda: (
                f"{len(missing)} ways are silent, such as {missing[0][0]} of call {missing[0][1]}"
            ),
        )

    def _wait(
        self, condition: Callable[[], bool], seconds: float, problem: Callable[[], str]
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LabError(f"After {seconds:.0f} s {problem()}; the relay's log says why.")
            self.run_for(_POLL_SECONDS)

    def _register(self, udp: socket.socket, read: Callable[[bytes, Endpoint], None]) -> None:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._selector.register(udp, selectors.EVENT_READ, (udp, read))

    def _stop(self) -> None:
        self._running = False
        self._thread.join()
        self._stack.close()

    def _work(self) -> None:
        try:
            self._send_and_receive()
            # By what is there to read, not by the clock: this process may have stood still.
            limit = time.monotonic() + DRAIN_LIMIT
            while self._receive(DRAIN_SECONDS) and time.monotonic() < limit:
                pass
        except Exception as error:  # noqa: BLE001  # it is told by whoever waits for the calls
            self._failure = error

    def _send_and_receive(self) -> None:
        due, turn = time.monotonic(), 0
        for number, call in enumerate(self.calls):
            call.check_due = due + 1.0 * number / len(self.calls)
        while self._running:
            now = time.monotonic()
            if now - due > CATCH_UP:
                due = now
            while due <= now:
                self._take_turn(self.calls[turn], now)
                turn = (turn + 1) % len(self.calls)
                due += self._interval
            self._receive(due - time.monotonic())

    def _take_turn(self, call: Call, now: float) -> None:
        if now >= call.check_due:
            # Until it is answered, a check is sent again soon (RFC 8445, section 14).
            call.check_due = now + (CHECK_EVERY if call.answers else 0.5)
            _send(call.client, binding.check(call.username), call.vip)
        if not self._connected or call.upstream is None:
            return
        number = call.to_transceiver.send(now)
        _send(call.client, _packet(call.index, _TO_TRANSCEIVER, number), call.vip)
        number = call.to_client.send(now)
        _send(call.transceiver, _packet(call.index, _TO_CLIENT, number), call.upstream)

    def _receive(self, seconds: float) -> bool:
        """Read what has come, or comes in time; whether there was something."""
        ready = self._selector.select(max(seconds, 0.0))
        for key, _ in ready:
            udp, read = key.data
            while True:
                try:
                    data, source = udp.recvfrom(_LARGEST)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error about an earlier packet
                    continue
                read(data, Endpoint.of(source))
        return bool(ready)

    def _client_reader(self, call: Call) -> Callable[[bytes, Endpoint], None]:
        def read(data: bytes, source: Endpoint) -> None:
            if source != call.vip:
                call.to_client.refuse(f"from {source}", time.monotonic())
            elif _is_rtp(data):
                _receive(call.to_client, data, call.index, _TO_CLIENT)
            elif binding.read(data) is not None:
                call.answers += 1
            else:
                call.to_client.refuse("no packet of ours", time.monotonic())

        return read

    def _transceiver_reader(self, udp: socket.socket) -> Callable[[bytes, Endpoint], None]:
        calls = {call.username: call for call in self.calls if call.transceiver is udp}
        ends = {(Endpoint.of(call.client.getsockname()), call.vip): call for call in calls.values()}
        behind: dict[Endpoint, Call] = {}  # upstream addresses

        def read(data: bytes, source: Endpoint) -> None:
            if _is_rtp(data):
                flow = _HEADER.unpack_from(data)[2]
                call = self.calls[flow] if flow < len(self.calls) else self.calls[0]
                if call.transceiver is udp and call.upstream == source:
                    _receive(call.to_transceiver, data, call.index, _TO_TRANSCEIVER)
                else:
                    what = f"from {source}, not {call.upstream}"
                    call.to_transceiver.refuse(what, time.monotonic())
                return
            if is_announcement(data):
                told = Announcement.parse(data, self._keys)
                moved = ends.get((told.client, told.vip))
                # As our transceiver does it: there is one relay, of which the last word counts.
                later = moved is not None and (told.epoch, told.time) > (moved.epoch, moved.told)
                if moved is not None and later and moved.answers:
                    moved.epoch, moved.told = told.epoch, told.time
                    take(moved, source)
                return
            message = binding.read(data)
            if message is None or message.message_class is not MessageClass.REQUEST:
                return
            asking = calls.get(binding.username(message))
            if asking is None:  # forged or replayed: its MESSAGE-INTEGRITY would be wrong
                return
            take(asking, source)
            _send(udp, binding.answer(message, source), source)

        def take(asking: Call, source: Endpoint) -> None:
            asking.moves += asking.upstream not in (None, source)
            asking.upstream = source
            # Two calls may change places, when a relay that has lost all has them again in another
            # order: the other one is nowhere until its next check, as in our transceiver.
            before, behind[source] = behind.get(source), asking
            if before is not None and before is not asking and before.upstream == source:
                before.upstream = None

        return read


def _packet(flow: int, direction: int, number: int) -> bytes:
    return _HEADER.pack(_RTP, direction, flow, number) + _VOICE


def _is_rtp(data: bytes) -> bool:
    return len(data) >= _HEADER.size and data[0] == _RTP


def _receive(way: Way, data: bytes, flow: int, direction: int) -> None:
    """Count the arrival of what may be a packet of that flow and direction."""
    now = time.monotonic()
    _, _, other, number = _HEADER.unpack_from(data)
    if data == _packet(flow, direction, number):
        way.receive(number, now)
    else:
        way.refuse("damaged" if other == flow else f"a packet of call {other}", now)


def _send(udp: socket.socket, data: bytes, to: Endpoint) -> None:
    try:
        udp.sendto(data, to)
    except OSError:  # the link is down: the packet counts as sent and lost
        return
