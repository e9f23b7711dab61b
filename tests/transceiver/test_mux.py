"""The mux over real sockets on loopback: who gets which datagram."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Route, Target, mint
from relay.wire.stun import Attribute, Message, MessageClass, unxor_address
from relay.wire.transport import Transport
from transceiver.ice import Credentials, IceAgent
from transceiver.mux import ANNOUNCEMENT_LIFETIME, ANNOUNCEMENT_WINDOW, MAX_ANNOUNCEMENTS, Mux

CLIENT = Endpoint("203.0.113.99", 50000)
VIP = Endpoint("203.0.113.10", 3478)
PASSWORD = "server-password-of-24-ch"
DTLS = bytes([22, 254, 253]) + bytes(40)

Check = Callable[..., bytes]
Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Clock:
    """Monotonic and Unix time under the test's control."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return 1_800_000_000 + self.now


@dataclass
class Recorder:
    """A handler that notes what it is told."""

    agent: IceAgent
    datagrams: list[bytes] = field(default_factory=list)
    selections: int = 0

    def datagram(self, data: bytes) -> None:
        self.datagrams.append(data)

    def reachable(self) -> None:
        self.selections += 1


class Bench:
    """A mux on loopback, with sessions and relay sockets."""

    def __init__(self, keys: KeyRing, target: Target, host: str = "127.0.0.1") -> None:
        self.clock = Clock()
        self._host = host
        self.keys = keys
        self._target = target
        self._sockets: list[socket.socket] = []
        sock = self.socket()
        self.address = Endpoint.of(sock.getsockname())
        self.mux = Mux(sock, keys, target, clock=self.clock.monotonic, unix_time=self.clock.unix)
        self._nonce = 0

    def socket(self) -> socket.socket:
        anywhere = Endpoint(self._host, 0)
        sock = socket.socket(anywhere.family, socket.SOCK_DGRAM)
        sock.bind(anywhere)
        sock.setblocking(False)
        self._sockets.append(sock)
        return sock

    def route(self, target: Target | None = None) -> Route:
        self._nonce += 1
        return mint(
            target or self._target,
            self.keys,
            now=self.clock.unix(),
            lifetime=3600,
            nonce=self._nonce.to_bytes(4, "big"),
        )

    def session(self) -> Recorder:
        credentials = Credentials(self.route().ufrag, PASSWORD)
        recorder = Recorder(IceAgent(credentials))
        assert self.mux.bind(credentials.ufrag, recorder)
        return recorder

    def announcement(
        self,
        route: Route,
        client: Endpoint = CLIENT,
        time_: float | None = None,
        transport: Transport = Transport.UDP,
    ) -> bytes:
        at = self.clock.unix() if time_ is None else time_
        return Announcement(client, VIP, route.raw, at, transport).serialize(self.keys)

    def counted(self, reason: str) -> int:
        return self.mux.counters.as_dict().get(reason, 0)

    def close(self) -> None:
        self.mux.close()
        for sock in self._sockets:
            sock.close()


@pytest.fixture
async def bench(keys: KeyRing, target: Target) -> AsyncIterator[Bench]:
    made = Bench(keys, target)
    made.mux.open()
    yield made
    made.close()


async def exchange(sock: socket.socket, data: bytes, to: Endpoint) -> Message:
    sock.sendto(data, to)
    async with asyncio.timeout(5):
        return Message.parse(await asyncio.get_running_loop().sock_recv(sock, 2048))


def mapped(message: Message) -> Endpoint:
    assert message.message_class is MessageClass.SUCCESS
    value = message.get(Attribute.XOR_MAPPED_ADDRESS)
    assert value is not None
    return unxor_address(value, message.transaction_id)


async def test_the_ufrag_leads_to_the_session_and_the_source_to_it_later(
    bench: Bench, check: Check, until: Until
) -> None:
    one, other = bench.session(), bench.session()
    relay, stranger = bench.socket(), bench.socket()
    credentials = one.agent.credentials
    assert mapped(await exchange(relay, check(credentials=credentials), bench.address)) == (
        Endpoint.of(relay.getsockname())
    )
    stranger.sendto(DTLS, bench.address)
    relay.sendto(DTLS, bench.address)
    relay.sendto(b"\x80rtp", bench.address)
    await until(lambda: len(one.datagrams) == 2)
    assert one.datagrams == [DTLS, b"\x80rtp"]
    assert other.datagrams == []
    assert bench.counted("unknown_source") == 1
    assert (one.selections, other.selections) == (1, 0)
    assert one.agent.selected == Endpoint.of(relay.getsockname())


async def test_ipv6_is_served(keys: KeyRing, target: Target, check: Check, until: Until) -> None:
    bench = Bench(keys, target, "::1")
    bench.mux.open()
    one, relay = bench.session(), bench.socket()
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == Endpoint.of(relay.getsockname())
    relay.sendto(bench.announcement(bench.route()), bench.address)
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == CLIENT, "an IPv4 client behind an IPv6 upstream address"
    relay.sendto(DTLS, bench.address)
    await until(lambda: one.datagrams == [DTLS])
    bench.close()


async def test_an_unknown_ufrag_gets_no_answer(bench: Bench, check: Check, until: Until) -> None:
    relay = bench.socket()
    relay.sendto(check(credentials=Credentials("unknown", PASSWORD)), bench.address)
    await until(lambda: bench.counted("unknown_ufrag") == 1)
    with pytest.raises(BlockingIOError):
        relay.recv(2048)


async def test_an_address_goes_to_the_session_that_validated_it_last(
    bench: Bench, check: Check, until: Until
) -> None:
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    source = Endpoint.of(relay.getsockname())
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    await exchange(relay, check(credentials=other.agent.credentials), bench.address)
    assert one.agent.destination(bench.clock.now) is None, "its packets would reach the other"
    assert other.agent.destination(bench.clock.now) == source
    relay.sendto(DTLS, bench.address)
    await until(lambda: other.datagrams == [DTLS])
    assert one.datagrams == []


async def test_a_failed_check_takes_no_address_away(
    bench: Bench, check: Check, until: Until
) -> None:
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    forged = Credentials(other.agent.credentials.ufrag, "not-the-password-of-24-c")
    answer = await exchange(relay, check(credentials=forged), bench.address)
    assert answer.message_class is MessageClass.ERROR
    relay.sendto(DTLS, bench.address)
    await until(lambda: one.datagrams == [DTLS])


async def test_a_released_session_leaves_nothing(bench: Bench, check: Check, until: Until) -> None:
    one = bench.session()
    relay = bench.socket()
    request = check(credentials=one.agent.credentials)
    await exchange(relay, request, bench.address)
    bench.mux.release(one)
    assert bench.mux.sources == 0
    relay.sendto(request, bench.address)
    relay.sendto(DTLS, bench.address)
    await until(lambda: bench.counted("unknown_source") == 1)
    assert bench.counted("unknown_ufrag") == 1


async def test_a_ufrag_in_use_cannot_be_taken(bench: Bench) -> None:
    one = bench.session()
    ufrag, other = one.agent.credentials.ufrag, Recorder(one.agent)
    assert not bench.mux.bind(ufrag, other)
    bench.mux.unbind(ufrag, other)
    assert not bench.mux.bind(ufrag, other)
    bench.mux.unbind(ufrag, one)
    assert bench.mux.bind(ufrag, other)


# --- announcements ---


async def test_an_announced_source_is_answered_with_the_client_address(
    bench: Bench, check: Check
) -> None:
    one = bench.session()
    relay = bench.socket()
    relay.sendto(bench.announcement(bench.route()), bench.address)
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == CLIENT
    assert one.agent.client == CLIENT


async def test_the_announcement_serves_the_next_session_on_the_same_flow(
    bench: Bench, check: Check, until: Until
) -> None:
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    relay.sendto(bench.announcement(bench.route()), bench.address)
    await until(lambda: bench.counted("announcement") == 1)
    for session in (one, other):
        bench.clock.now += ANNOUNCEMENT_LIFETIME - 1
        answer = await exchange(relay, check(credentials=session.agent.credentials), bench.address)
        assert mapped(answer) == CLIENT


async def test_an_unused_announcement_expires(bench: Bench, check: Check, until: Until) -> None:
    one = bench.session()
    relay = bench.socket()
    relay.sendto(bench.announcement(bench.route()), bench.address)
    await until(lambda: bench.counted("announcement") == 1)
    bench.clock.now += ANNOUNCEMENT_LIFETIME
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == Endpoint.of(relay.getsockname())


async def test_a_client_over_tcp_is_told_its_address_and_moves_nobody_of_udp(
    bench: Bench, check: Check, until: Until
) -> None:
    one = bench.session()
    route = bench.route()
    bench.mux.bind(route.ufrag, one)
    over_udp, over_tcp = bench.socket(), bench.socket()
    over_udp.sendto(bench.announcement(route), bench.address)
    await exchange(over_udp, check(credentials=one.agent.credentials, nominate=True), bench.address)
    bench.clock.now += 1
    over_tcp.sendto(bench.announcement(route, transport=Transport.TCP), bench.address)
    await until(lambda: bench.counted("announcement") == 2)
    assert one.agent.destination(bench.clock.now) == Endpoint.of(over_udp.getsockname())
    answer = await exchange(over_tcp, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == CLIENT
    assert one.agent.destination(bench.clock.now) == Endpoint.of(over_udp.getsockname())


async def test_an_announcement_moves_a_known_client_to_another_relay(
    bench: Bench, check: Check, until: Until
) -> None:
    one = bench.session()
    route = bench.route()
    bench.mux.bind(route.ufrag, one)
    relay, second_relay = bench.socket(), bench.socket()
    relay.sendto(bench.announcement(route), bench.address)
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    bench.clock.now += 1
    second_relay.sendto(bench.announcement(route), bench.address)
    second_relay.sendto(DTLS, bench.address)
    await until(lambda: one.datagrams == [DTLS])
    assert one.agent.destination(bench.clock.now) == Endpoint.of(second_relay.getsockname())


@pytest.mark.parametrize(
    ("offset", "reason"),
    [
        (-ANNOUNCEMENT_WINDOW - 1, "announcement_time"),
        (ANNOUNCEMENT_WINDOW + 1, "announcement_time"),
    ],
)
async def test_an_announcement_out_of_its_time_is_refused(
    bench: Bench, until: Until, offset: float, reason: str
) -> None:
    late = bench.announcement(bench.route(), time_=bench.clock.unix() + offset)
    bench.socket().sendto(late, bench.address)
    await until(lambda: bench.counted(reason) == 1)


async def test_an_announcement_for_another_transceiver_is_refused(
    bench: Bench, target: Target, until: Until
) -> None:
    other = target._replace(generation=target.generation + 1)
    bench.socket().sendto(bench.announcement(bench.route(other)), bench.address)
    await until(lambda: bench.counted("announcement_target") == 1)


async def test_a_forged_announcement_is_refused(bench: Bench, check: Check, until: Until) -> None:
    one = bench.session()
    relay = bench.socket()
    forged = bytearray(bench.announcement(bench.route()))
    forged[20] ^= 1  # inside the client's address
    relay.sendto(bytes(forged), bench.address)
    await until(lambda: bench.counted("announcement_invalid") == 1)
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == Endpoint.of(relay.getsockname())


async def test_a_replayed_announcement_is_refused(bench: Bench, until: Until) -> None:
    relay = bench.socket()
    data = bench.announcement(bench.route())
    relay.sendto(data, bench.address)
    relay.sendto(data, bench.address)
    await until(lambda: bench.counted("announcement_old") == 1)
    assert bench.counted("announcement") == 1


def test_announcements_are_bounded(keys: KeyRing, target: Target) -> None:
    bench = Bench(keys, target)
    data = bench.announcement(bench.route())
    for number in range(MAX_ANNOUNCEMENTS + 100):
        bench.mux.receive(data, Endpoint(f"10.0.{number >> 8}.{number & 255}", 20000))
    assert len(bench.mux._announcements) == MAX_ANNOUNCEMENTS
    bench.close()


# --- junk ---


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    datagrams=st.lists(
        st.tuples(st.binary(max_size=120), st.integers(0, 3), st.booleans()), max_size=20
    )
)
def test_junk_makes_no_state(
    keys: KeyRing, target: Target, datagrams: list[tuple[bytes, int, bool]]
) -> None:
    bench = Bench(keys, target)
    session = bench.session()
    announcement = bench.announcement(bench.route())
    for data, port, disguised in datagrams:
        junk = announcement[: len(data)] + data if disguised else data
        bench.mux.receive(junk, Endpoint("198.51.100.7", 1000 + port))
    assert bench.mux.sources == 0
    assert not bench.mux._announcements
    assert session.datagrams == []
    bench.close()


def test_a_flood_writes_one_line_per_reason_and_second(
    keys: KeyRing, target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="transceiver")
    bench = Bench(keys, target)
    for number in range(3000):
        bench.clock.now = 1000.0 + number / 1000
        bench.mux.receive(DTLS, Endpoint("198.51.100.7", 1000 + number))
    assert bench.counted("unknown_source") == 3000
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "refused 1000 " in lines[1]
    bench.close()
