"""The mux over real sockets on loopback: who gets which datagram."""

import asyncio
import time
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.transceiver.muxbench import (
    CLIENT,
    DTLS,
    PASSWORD,
    RTP,
    STRANGER,
    Bench,
    Check,
    Recorder,
    Until,
    exchange,
    mapped,
)
from transceiver.backlog import STALE
from transceiver.datagrams import BATCH
from transceiver.ice import ADDRESS_KEPT
from transceiver.mux import WORTH_A_BATCH
from transceiver.plan import Credentials


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


@pytest.mark.parametrize("seconds", [-300, 300, 86_400])
async def test_a_clock_that_was_set_costs_no_sound(
    bench: Bench, check: Check, until: Until, seconds: float
) -> None:
    one, relay = bench.session(), bench.socket()
    await exchange(relay, check(credentials=one.agent.credentials), bench.address)
    bench.clock.set_by(seconds)
    for _ in range(3):
        relay.sendto(RTP, bench.address)
    await until(lambda: one.datagrams == [RTP] * 3)
    assert bench.counted("stale") == 0
    assert (bench.mux.backlog.waits.quantile(1.0) or 0) < STALE


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
