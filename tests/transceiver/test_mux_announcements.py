"""What a relay's announcement tells the mux, and which it refuses."""

import asyncio
import logging

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from relay.wire.transport import Transport
from tests.transceiver.muxbench import CLIENT, DTLS, Bench, Check, Until, exchange, mapped
from transceiver.announcements import LIFETIME, MOST


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
