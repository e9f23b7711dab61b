"""The mux over real sockets on loopback: who gets which datagram."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.question import Answer, Question
from relay.wire.route import Route, Target, mint, read_ufrag
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, unxor_address
from relay.wire.transport import Transport
from transceiver.announcements import LIFETIME, MOST
from transceiver.backlog import STALE
from transceiver.datagrams import BATCH
from transceiver.ice import ADDRESS_KEPT, IceAgent
from transceiver.mux import (
    MOST_QUESTIONS,
    WORTH_A_BATCH,
    Mux,
)
from transceiver.plan import Credentials

CLIENT = Endpoint("203.0.113.99", 50000)
STRANGER = Endpoint("198.51.100.7", 1000)
VIP = Endpoint("203.0.113.10", 3478)
PASSWORD = "server-password-of-24-ch"
DTLS = bytes([22, 254, 253]) + bytes(40)
RTP = bytes([128]) + bytes(20)

Check = Callable[..., bytes]
Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Clock:
    """Monotonic and Unix time under the test's control, which begins when the test does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._began = time.time() - self.now

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self._began + self.now


@dataclass
class Recorder:
    """A handler that notes what it is told."""

    agent: IceAgent
    clock: Clock
    datagrams: list[bytes] = field(default_factory=list)
    selections: int = 0

    def datagram(self, data: bytes, source: Endpoint) -> None:
        self.datagrams.append(data)
        self.agent.heard(source, self.clock.now)

    def reachable(self) -> None:
        self.selections += 1


Sender = socket.socket | Endpoint


class Bench:
    """A mux on loopback, with sessions and relay sockets."""

    def __init__(self, keys: KeyRing, target: Target, host: str = "127.0.0.1") -> None:
        self.clock = Clock()
        self._host = host
        self.keys = keys
        self.target = target
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
            target or self.target,
            self.keys,
            now=self.clock.unix(),
            lifetime=3600,
            nonce=self._nonce.to_bytes(4, "big"),
        )

    def session(self) -> Recorder:
        credentials = Credentials(self.route().ufrag, PASSWORD)
        recorder = Recorder(IceAgent(credentials), self.clock)
        assert self.mux.bind(credentials.ufrag, recorder)
        return recorder

    def announcement(
        self,
        relay: Sender,
        route: Route,
        client: Endpoint = CLIENT,
        time_: float | None = None,
        transport: Transport = Transport.UDP,
        *,
        epoch: int = 1,
    ) -> bytes:
        at = self.clock.unix() if time_ is None else time_
        upstream = relay if isinstance(relay, Endpoint) else Endpoint.of(relay.getsockname())
        said = Announcement(client, VIP, upstream, route.raw, at, transport, epoch)
        return said.serialize(self.keys)

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


async def test_sound_that_has_waited_for_too_long_is_dropped_and_nothing_else(
    bench: Bench, check: Check, until: Until
) -> None:
    one, relay = bench.session(), bench.socket()
    credentials = one.agent.credentials
    await exchange(relay, check(credentials=credentials), bench.address)
    bench.clock.now += STALE + 30  # as if it had been in the socket for so long
    for each in (RTP, DTLS, check(credentials=credentials), RTP):
        relay.sendto(each, bench.address)
    await until(lambda: bench.counted("stale") == 2)
    assert one.datagrams == [DTLS]
    assert bench.counted("stun") == 2, "a check is answered, however late"
    assert (bench.mux.backlog.waits.quantile(1.0) or 0) > STALE

    bench.clock.now = time.time() - bench.clock.unix() + bench.clock.now
    relay.sendto(RTP, bench.address)
    await until(lambda: one.datagrams == [DTLS, RTP])
    assert bench.counted("stale") == 2


async def test_sound_that_is_too_old_is_gone_through_in_few_turns(
    bench: Bench, check: Check
) -> None:
    one, relay = bench.session(), bench.socket()
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    bench.clock.now += STALE + 30
    for _ in range(6 * BATCH):
        relay.sendto(RTP, bench.address)
    for _ in range(2):
        await asyncio.sleep(0)
    assert bench.counted("stale") == 6 * BATCH


async def test_ipv6_is_served(keys: KeyRing, target: Target, check: Check, until: Until) -> None:
    bench = Bench(keys, target, "::1")
    bench.mux.open()
    one, relay = bench.session(), bench.socket()
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == Endpoint.of(relay.getsockname())
    relay.sendto(bench.announcement(relay, bench.route()), bench.address)
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


def _has(datagrams: list[bytes], count: int) -> bool:
    return len(datagrams) == count


def _counted(bench: Bench, reason: str, count: int) -> bool:
    return bench.counted(reason) == count


async def test_an_address_belongs_to_the_session_that_lives_there(
    bench: Bench, check: Check, until: Until
) -> None:
    """Who writes a victim's address into a check of a session of their own is answered only."""
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    source = Endpoint.of(relay.getsockname())
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    for count in (1, 2):
        bench.clock.now += ADDRESS_KEPT - 1
        relay.sendto(DTLS, bench.address)
        await until(partial(_has, one.datagrams, count))
        mapped(await exchange(relay, check(credentials=other.agent.credentials), bench.address))
        assert one.agent.destination(bench.clock.now) == source
        assert other.agent.destination(bench.clock.now) is None
        assert bench.counted("address_in_use") == count


async def test_an_address_is_free_at_once_when_its_session_has_ended(
    bench: Bench, check: Check
) -> None:
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    bench.mux.release(one)
    await exchange(relay, check(credentials=other.agent.credentials), bench.address)
    assert other.agent.destination(bench.clock.now) == Endpoint.of(relay.getsockname())


async def test_a_relays_newer_word_says_who_is_at_an_address(
    bench: Bench, check: Check, until: Until
) -> None:
    """A relay that has lost all its state may give a port to another client than before."""
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    for count, (session, client) in enumerate(
        ((one, CLIENT), (other, CLIENT._replace(port=7))), start=1
    ):
        bench.clock.now += 1
        relay.sendto(bench.announcement(relay, bench.route(), client), bench.address)
        await until(partial(_counted, bench, "announcement", count))
        await exchange(relay, check(credentials=session.agent.credentials), bench.address)
    assert one.agent.destination(bench.clock.now) is None
    assert other.agent.destination(bench.clock.now) == Endpoint.of(relay.getsockname())


async def test_a_relays_newer_word_takes_an_address_away_though_nobody_moves_there(
    bench: Bench, check: Check, until: Until
) -> None:
    """The other client has gone on to another relay: what it says counts for more."""
    one, other = bench.session(), bench.session()
    relay, second_relay = bench.socket(), bench.socket()
    relay.sendto(bench.announcement(relay, bench.route()), bench.address)
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    client, route = CLIENT._replace(port=7), bench.route()
    bench.mux.bind(route.ufrag, other)
    second_relay.sendto(bench.announcement(second_relay, route, client, epoch=5), bench.address)
    await exchange(second_relay, check(credentials=other.agent.credentials), bench.address)
    bench.clock.now += 1
    relay.sendto(bench.announcement(relay, route, client, epoch=2), bench.address)
    await until(partial(_counted, bench, "announcement", 3))
    assert one.agent.destination(bench.clock.now) is None, "its packets would reach the other"
    assert other.agent.destination(bench.clock.now) == Endpoint.of(second_relay.getsockname())
    bench.mux.release(one)
    assert bench.counted("goodbye") == 0, "it would end the other's flow"


async def test_a_silent_sessions_address_goes_to_the_one_that_validates_it(
    bench: Bench, check: Check, until: Until
) -> None:
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    source = Endpoint.of(relay.getsockname())
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    bench.clock.now += ADDRESS_KEPT
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
    relay.sendto(check(credentials=forged), bench.address)
    relay.sendto(DTLS, bench.address)
    await until(lambda: one.datagrams == [DTLS])
    assert bench.counted("stun_unauthenticated") == 1


@pytest.mark.parametrize("username", [(), ((Attribute.USERNAME, b"theirs:ours"),)])
async def test_an_answer_is_for_the_session_that_lives_there(
    bench: Bench, check: Check, until: Until, username: tuple[tuple[int, bytes], ...]
) -> None:
    """libnice's has a USERNAME, with the client's ufrag before ours."""
    one = bench.session()
    relay = bench.socket()
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    answer = Message(MessageClass.SUCCESS, BINDING, bytes(12), username)
    relay.sendto(answer.serialize(b"their-password-of-24-cha"), bench.address)
    await until(lambda: bench.counted("stun_not_a_check") == 1)
    assert bench.counted("unknown_ufrag") == 0


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


async def test_a_goodbye_is_said_twice_unless_the_flow_has_another_call(
    bench: Bench, check: Check, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transceiver.mux.GOODBYE_AGAIN", 0.05)
    relay, loop = bench.socket(), asyncio.get_running_loop()
    source = Endpoint.of(relay.getsockname())
    relay.sendto(bench.announcement(relay, bench.route()), bench.address)

    async def hang_up() -> bytes:
        one = bench.session()
        await exchange(relay, check(credentials=one.agent.credentials), bench.address)
        bench.mux.release(one)
        return await asyncio.wait_for(loop.sock_recv(relay, 2048), 5)

    first = await hang_up()
    assert await asyncio.wait_for(loop.sock_recv(relay, 2048), 5) == first
    assert bench.mux._goodbyes == {}
    await hang_up()
    other = bench.session()
    await exchange(relay, check(credentials=other.agent.credentials), bench.address)
    await until(lambda: bench.mux._goodbyes == {})
    bench.mux.send(b"after", source)
    assert await asyncio.wait_for(loop.sock_recv(relay, 2048), 5) == b"after"


async def test_a_mux_that_closes_repeats_no_goodbye(bench: Bench, check: Check) -> None:
    one, relay = bench.session(), bench.socket()
    relay.sendto(bench.announcement(relay, bench.route()), bench.address)
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    bench.mux.release(one)
    assert len(bench.mux._goodbyes) == 1
    bench.mux.close()
    assert bench.mux._goodbyes == {}


async def test_a_ufrag_in_use_cannot_be_taken(bench: Bench) -> None:
    one = bench.session()
    ufrag, other = one.agent.credentials.ufrag, Recorder(one.agent, bench.clock)
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
    relay.sendto(bench.announcement(relay, bench.route()), bench.address)
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == CLIENT
    assert one.agent.announced
    assert one.agent.announced.client == CLIENT


async def test_the_announcement_serves_the_next_session_on_the_same_flow(
    bench: Bench, check: Check, until: Until
) -> None:
    one, other = bench.session(), bench.session()
    relay = bench.socket()
    relay.sendto(bench.announcement(relay, bench.route()), bench.address)
    await until(lambda: bench.counted("announcement") == 1)
    for session in (one, other):
        bench.clock.now += LIFETIME - 1
        answer = await exchange(relay, check(credentials=session.agent.credentials), bench.address)
        assert mapped(answer) == CLIENT


async def test_a_released_session_says_goodbye_to_its_relay(
    bench: Bench, check: Check, until: Until
) -> None:
    one = bench.session()
    announced, other = bench.socket(), bench.socket()
    route = bench.route()
    announced.sendto(bench.announcement(announced, route), bench.address)
    await until(lambda: bench.counted("announcement") == 1)
    for relay in (announced, other):
        await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    bench.mux.release(one)
    async with asyncio.timeout(5):
        data = await asyncio.get_running_loop().sock_recv(announced, 2048)
    upstream = Endpoint.of(announced.getsockname())
    assert Goodbye.parse(data, bench.keys) == Goodbye(route.raw, CLIENT, upstream)
    bench.mux.release(one)  # again: nothing is left to say
    assert bench.counted("goodbye") == 1
    with pytest.raises(BlockingIOError):  # whom no relay has announced is no relay's
        other.recv(2048)


async def test_an_unused_announcement_expires(bench: Bench, check: Check, until: Until) -> None:
    one = bench.session()
    relay = bench.socket()
    relay.sendto(bench.announcement(relay, bench.route()), bench.address)
    await until(lambda: bench.counted("announcement") == 1)
    bench.clock.now += LIFETIME
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == Endpoint.of(relay.getsockname())


async def test_a_client_over_tcp_is_told_its_address_and_moves_nobody_of_udp(
    bench: Bench, check: Check, until: Until
) -> None:
    one = bench.session()
    route = bench.route()
    bench.mux.bind(route.ufrag, one)
    over_udp, over_tcp = bench.socket(), bench.socket()
    over_udp.sendto(bench.announcement(over_udp, route), bench.address)
    await exchange(over_udp, check(credentials=one.agent.credentials, nominate=True), bench.address)
    bench.clock.now += 1
    over_tcp.sendto(bench.announcement(over_tcp, route, transport=Transport.TCP), bench.address)
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
    relay.sendto(bench.announcement(relay, route), bench.address)
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    second_relay.sendto(bench.announcement(second_relay, route, epoch=2), bench.address)
    second_relay.sendto(DTLS, bench.address)
    await until(lambda: one.datagrams == [DTLS])
    assert one.agent.destination(bench.clock.now) == Endpoint.of(second_relay.getsockname())


async def test_a_client_that_moves_after_an_ice_restart_is_known_by_its_path(
    bench: Bench, check: Check, until: Until
) -> None:
    """Its flow goes on with the route of its first ufrag, which is forgotten in the end."""
    one = bench.session()
    route = bench.route()
    relay, second_relay = bench.socket(), bench.socket()
    relay.sendto(bench.announcement(relay, route), bench.address)
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    second_relay.sendto(bench.announcement(second_relay, route, epoch=2), bench.address)
    await until(lambda: bench.counted("announcement") == 2)
    assert one.agent.destination(bench.clock.now) == Endpoint.of(second_relay.getsockname())


@pytest.mark.parametrize("offset", [-86_400.0, -301.0, 301.0, 86_400.0])
async def test_an_announcement_counts_whatever_the_clocks_say(
    bench: Bench,
    check: Check,
    caplog: pytest.LogCaptureFixture,
    offset: float,
) -> None:
    one = bench.session()
    relay = bench.socket()
    at = bench.clock.unix() + offset
    relay.sendto(bench.announcement(relay, bench.route(), time_=at), bench.address)
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == CLIENT
    alarmed = "one of the two is wrong" in caplog.text
    assert alarmed == (abs(offset) > 600)


async def test_an_announcement_for_another_transceiver_is_refused(
    bench: Bench, target: Target, until: Until
) -> None:
    other = target._replace(generation=target.generation + 1)
    relay = bench.socket()
    relay.sendto(bench.announcement(relay, bench.route(other)), bench.address)
    await until(lambda: bench.counted("announcement_target") == 1)


async def test_a_forged_announcement_is_refused(bench: Bench, check: Check, until: Until) -> None:
    one = bench.session()
    relay = bench.socket()
    forged = bytearray(bench.announcement(relay, bench.route()))
    forged[20] ^= 1  # inside the client's address
    relay.sendto(bytes(forged), bench.address)
    await until(lambda: bench.counted("announcement_invalid") == 1)
    answer = await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    assert mapped(answer) == Endpoint.of(relay.getsockname())


async def test_an_announcement_from_elsewhere_moves_nothing(
    bench: Bench, check: Check, until: Until
) -> None:
    """Who overhears relay and transceiver and sends both datagrams again gets no media by it."""
    one = bench.session()
    route = bench.route()
    bench.mux.bind(route.ufrag, one)
    relay, spy = bench.socket(), bench.socket()
    credentials = one.agent.credentials
    announcement = bench.announcement(relay, route)
    request = check(credentials=credentials, nominate=True)
    relay.sendto(announcement, bench.address)
    await exchange(relay, request, bench.address)
    spy.sendto(announcement, bench.address)
    spy.sendto(request, bench.address)
    await until(lambda: bench.counted("announcement_source") == 1)
    await until(lambda: bench.counted("stun_replayed") == 1)
    assert one.agent.destination(bench.clock.now) == Endpoint.of(relay.getsockname())


async def test_an_announcement_of_another_version_is_refused_in_words(
    bench: Bench, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    relay = bench.socket()
    data = bytearray(bench.announcement(relay, bench.route()))
    data[1] = 0
    relay.sendto(bytes(data[:75]), bench.address)
    await until(lambda: bench.counted("announcement_invalid") == 1)
    assert "let relays and transceivers be of the same release" in caplog.text


async def test_a_replayed_announcement_is_refused(bench: Bench, until: Until) -> None:
    relay = bench.socket()
    data = bench.announcement(relay, bench.route())
    relay.sendto(data, bench.address)
    relay.sendto(data, bench.address)
    await until(lambda: bench.counted("announcement_old") == 1)
    assert bench.counted("announcement") == 1


def test_announcements_are_bounded(keys: KeyRing, target: Target) -> None:
    bench = Bench(keys, target)
    route = bench.route()
    for number in range(MOST + 100):
        relay = Endpoint(f"10.0.{number >> 8}.{number & 255}", 20000)
        bench.mux.receive(bench.announcement(relay, route), relay)
    assert len(bench.mux._announcements) == MOST
    bench.close()


# --- questions ---


class Asking:
    """A session whose client is behind a relay, and another relay that asks for him."""

    def __init__(self, bench: Bench, check: Check) -> None:
        self.bench = bench
        self.session = bench.session()
        self.relay, self.asker = bench.socket(), bench.socket()
        self._check = check

    async def connect(self, transport: Transport = Transport.UDP, epoch: int = 1) -> None:
        route = self.bench.route()
        said = self.bench.announcement(self.relay, route, transport=transport, epoch=epoch)
        self.relay.sendto(said, self.bench.address)
        credentials = self.session.agent.credentials
        await exchange(
            self.relay, self._check(credentials=credentials, nominate=True), self.bench.address
        )

    def question(self, client: Endpoint = CLIENT, vip: Endpoint = VIP) -> bytes:
        asker = Endpoint.of(self.asker.getsockname())
        asked = Question(b"12345678", self.bench.target.cluster, client, vip, asker)
        return asked.serialize(self.bench.keys)

    def ask(self, *args: Endpoint) -> None:
        self.asker.sendto(self.question(*args), self.bench.address)

    async def answer(self) -> Answer:
        loop = asyncio.get_running_loop()
        data = await asyncio.wait_for(loop.sock_recv(self.asker, 2048), 5)
        return Answer.parse(data, self.bench.keys)


@pytest.fixture
def asking(bench: Bench, check: Check) -> Asking:
    return Asking(bench, check)


async def test_who_has_a_client_tells_a_relay_that_asks(bench: Bench, asking: Asking) -> None:
    await asking.connect(epoch=3)
    asking.ask()
    ufrag = asking.session.agent.credentials.ufrag
    upstream = Endpoint.of(asking.relay.getsockname())
    # The route of its ufrag now, by which a take-over finds the session.
    assert await asking.answer() == Answer(b"12345678", read_ufrag(ufrag).raw, 3, upstream)
    assert bench.counted("question_answered") == 1


@pytest.mark.parametrize("why", ["stranger", "vip", "silent", "released", "tcp"])
async def test_who_has_not_is_silent(bench: Bench, asking: Asking, until: Until, why: str) -> None:
    await asking.connect(Transport.TCP if why == "tcp" else Transport.UDP)
    if why == "silent":
        bench.clock.now += ADDRESS_KEPT
    if why == "released":
        bench.mux.release(asking.session)
    asking.ask(STRANGER if why == "stranger" else CLIENT, STRANGER if why == "vip" else VIP)
    await until(lambda: bench.counted("question") == 1)
    assert bench.counted("question_answered") == 0


async def test_a_question_that_is_forged_or_comes_from_elsewhere_is_refused(
    bench: Bench, asking: Asking, until: Until
) -> None:
    await asking.connect()
    question = asking.question()
    asking.relay.sendto(question, bench.address)  # overheard, and sent again
    await until(lambda: bench.counted("question_source") == 1)
    asking.asker.sendto(question[:-1] + bytes([question[-1] ^ 1]), bench.address)
    await until(lambda: bench.counted("question_invalid") == 1)
    assert bench.counted("question_answered") == 0


async def test_questions_are_bounded(bench: Bench, asking: Asking) -> None:
    await asking.connect()
    asker = Endpoint.of(asking.asker.getsockname())
    for _ in range(MOST_QUESTIONS + 5):
        bench.mux.receive(asking.question(STRANGER), asker)
    assert bench.counted("question") == MOST_QUESTIONS
    assert bench.counted("question_limited") == 5


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
    announcement = bench.announcement(STRANGER, bench.route())
    for data, port, disguised in datagrams:
        junk = announcement[: len(data)] + data if disguised else data
        bench.mux.receive(junk, STRANGER._replace(port=1000 + port))
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


# --- batches ---


@pytest.mark.parametrize("count", [2, WORTH_A_BATCH, 100])
async def test_many_datagrams_go_out_at_once_and_a_bad_one_costs_itself(
    bench: Bench, count: int
) -> None:
    relay = bench.socket()
    place = Endpoint.of(relay.getsockname())
    todo = [(number.to_bytes(2, "big"), place) for number in range(count)]
    bench.mux.send_many([*todo[:1], (b"lost", Endpoint("127.0.0.1", 0)), *todo[1:]])
    loop = asyncio.get_running_loop()
    got = [await asyncio.wait_for(loop.sock_recv(relay, 100), 5) for _ in todo]
    assert got == [data for data, _ in todo]
    assert bench.counted("send_failed") == 1


async def test_a_handler_that_fails_does_not_cost_the_rest_of_a_batch(
    bench: Bench, check: Check, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.session()
    relay = bench.socket()
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["exception"])
    )
    fault, got = RuntimeError("broken"), []

    def datagram(data: bytes, _: Endpoint) -> None:
        got.append(data)
        if len(got) == 1:
            raise fault

    monkeypatch.setattr(one, "datagram", datagram)
    for _ in range(3):
        relay.sendto(DTLS, bench.address)
    await until(lambda: len(got) == 3)
    assert reported == [fault]
    assert bench.counted("handler_failed") == 1


# --- SPED ---


async def test_dtls_in_a_check_reaches_the_handler_once(
    bench: Bench, check: Check, until: Until
) -> None:
    one = bench.session()
    relay = bench.socket()
    for _ in range(3):
        embedded = check((Attribute.DTLS_IN_STUN, DTLS), credentials=one.agent.credentials)
        answer = await exchange(relay, embedded, bench.address)
        assert answer.get(Attribute.DTLS_IN_STUN) == b""
    await until(lambda: bench.counted("stun") == 3)
    assert one.datagrams == [DTLS]
    assert one.selections == 1
