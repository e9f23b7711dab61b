import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from relay.config.registry import Transceiver
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from signaling.control import LOAD, ControlClient
from signaling.errors import (
    CallBrokeError,
    CrowdError,
    NoTransceiverError,
    OfferRejectedError,
    SessionNotFoundError,
)
from signaling.members import PoolConfig
from signaling.placement import Load, Near
from signaling.pool import TransceiverPool
from tests.signaling.conftest import POOL

SELDOM = replace(POOL, poll_interval=60.0)  # only what a test does changes the loads


def pool(*urls: str | None, config: PoolConfig = POOL) -> TransceiverPool:
    transceivers = [
        Transceiver(Target(1, slot, 0), Endpoint("127.0.0.1", 5000 + slot), url)
        for slot, url in enumerate(urls, 1)
    ]
    return TransceiverPool(transceivers, random=Random(1), config=config)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what is waited for knows no events
            await asyncio.sleep(0.005)


async def test_a_draining_transceiver_gets_nothing(control: Any) -> None:
    async with AsyncExitStack() as stack:
        draining = await stack.enter_async_context(
            control(health={"sessions": 0, "capacity": 9, "draining": True}).running()
        )
        room = {"sessions": 0, "capacity": 99, "draining": False}
        other = await stack.enter_async_context(control(health=room).running())
        known = await stack.enter_async_context(pool(draining.url, other.url))
        for _ in range(10):
            await known.place("v=0", [], "client")
        assert (len(draining.offers), len(other.offers)) == (0, 10)
        assert (known.members.size, known.members.reachable, known.members.with_room) == (2, 2, 1)


async def test_an_unreachable_transceiver_gets_nothing_until_it_answers(
    control: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    silent = control(delay=5)
    hasty = replace(POOL, poll_timeout=0.2)
    async with silent.running(), pool(silent.url, config=hasty) as known:
        with pytest.raises(NoTransceiverError, match="none of the 1 transceivers"):
            await known.place("v=0", [], "client")
        silent.delay = 0
        await until(lambda: known.members.reachable == 1)
        assert (await known.place("v=0", [], "client")).id == "rtc_1-1-0-abc"
        silent.delay = 5
        await until(lambda: known.members.reachable == 0)
    told = [record.getMessage() for record in caplog.records if "signaling" in record.name]
    assert [each.split(":")[0] for each in told] == [
        "transceiver 1/1/0 is unreachable",
        "transceiver 1/1/0 is reachable again",
        "transceiver 1/1/0 is unreachable",
    ]


@pytest.mark.parametrize("answer", [(503, {}), (500, {}), (201, {})])
async def test_another_one_is_tried_when_the_first_cannot(
    control: Any, answer: tuple[int, Any]
) -> None:
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(control(created=answer).running())
        # Busier, so that the bad one is always asked first.
        load = {"sessions": 5, "capacity": 10, "draining": False}
        good = await stack.enter_async_context(control(health=load).running())
        known = await stack.enter_async_context(pool(bad.url, good.url))
        assert (await known.place("v=0", [], "client")).id == "rtc_1-2-0-abc"
        assert len(bad.offers) == 1


async def test_when_everybody_is_full_the_shortest_wait_is_told(control: Any) -> None:
    async with AsyncExitStack() as stack:
        urls = []
        for wait in ("9", "4"):
            full = control(created=(503, {}), headers={"Retry-After": wait})
            urls.append((await stack.enter_async_context(full.running())).url)
        known = await stack.enter_async_context(pool(*urls))
        with pytest.raises(NoTransceiverError, match="full or draining") as caught:
            await known.place("v=0", [], "client")
        assert caught.value.retry_after == 4


async def test_a_bad_offer_is_not_offered_to_others(control: Any) -> None:
    refusal = (400, {"error": {"code": "no_dtls", "message": "there is no fingerprint"}})
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(control(created=refusal).running()) for _ in "ab"]
        known = await stack.enter_async_context(pool(*(api.url for api in apis)))
        with pytest.raises(OfferRejectedError, match="there is no fingerprint") as caught:
            await known.place("v=0", [], "client")
        assert caught.value.code == "no_dtls"
        assert sum(len(api.offers) for api in apis) == 1


async def test_placing_ends_within_its_bound_whatever_transceivers_do(control: Any) -> None:
    async with AsyncExitStack() as stack:
        slow = [control(thinking=5) for _ in range(6)]
        urls = [(await stack.enter_async_context(each.running())).url for each in slow]
        hasty = replace(POOL, control_timeout=0.2, placement_timeout=0.5)
        known = await stack.enter_async_context(pool(*urls, config=hasty))
        with pytest.raises(NoTransceiverError, match=r"within 0\.5 s"):
            await known.place("v=0", [], "client")
        # Six times the 0.2 s of a control API would be 1.2 s.
        assert sum(len(each.offers) for each in slow) < len(slow)


async def test_a_fault_at_one_offer_is_none_of_the_transceiver(
    control: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in [(500, {}), (404, {}), (400, {}), (201, {}), (418, "?")]:
        async with control(created=answer).running() as api, pool(api.url, config=SELDOM) as known:
            with pytest.raises((CallBrokeError, OfferRejectedError)):
                await known.place("v=0", [], "client")
            assert known.members.reachable == 1
            api.created = (201, {"id": "rtc_abc", "sdp": "v=0"})
            assert (await known.place("v=0", [], "client")).id == "rtc_1-1-0-abc"
    assert not [each for each in caplog.records if each.exc_info]


async def test_an_offer_on_which_transceivers_break_is_not_shown_to_all(control: Any) -> None:
    async with AsyncExitStack() as stack:
        apis = [
            await stack.enter_async_context(control(created=(500, {})).running()) for _ in range(5)
        ]
        known = await stack.enter_async_context(pool(*(api.url for api in apis), config=SELDOM))
        with pytest.raises(CallBrokeError):
            await known.place("v=0", [], "client")
        assert sum(len(api.offers) for api in apis) == 2


async def test_a_refusal_that_says_the_load_gives_the_place_back(control: Any) -> None:
    load = '{"sessions": 0, "capacity": 10, "draining": false}'
    refusing = control(created=(400, {}), headers={LOAD: load})
    async with refusing.running() as api, pool(api.url, config=SELDOM) as known:
        for _ in range(25):
            with pytest.raises(OfferRejectedError):
                await known.place("v=0", [], "client")
        assert known.members.with_room == 1
        assert api.asked == 1


async def test_who_seems_full_is_asked_again_before_a_client_is_refused(control: Any) -> None:
    async with (
        control(health={"sessions": 10, "capacity": 10, "draining": False}).running() as api,
        pool(api.url, config=SELDOM) as known,
    ):
        with pytest.raises(NoTransceiverError, match="full or draining"):
            await known.place("v=0", [], "client")
        api.health["sessions"] = 9  # a call has ended, and nobody has told
        assert (await known.place("v=0", [], "client")).id == "rtc_1-1-0-abc"


async def test_asking_again_is_done_for_all_at_once(control: Any) -> None:
    full = {"sessions": 10, "capacity": 10, "draining": False}
    async with control(health=full).running() as api, pool(api.url, config=SELDOM) as known:
        refused = await asyncio.gather(
            *(known.place("v=0", [], "client") for _ in range(200)), return_exceptions=True
        )
        assert all(isinstance(each, NoTransceiverError) for each in refused)
        assert api.asked == 2


async def test_nobody_is_asked_again_who_drains(control: Any) -> None:
    gone = {"sessions": 0, "capacity": 10, "draining": True}
    async with control(health=gone).running() as api, pool(api.url, config=SELDOM) as known:
        with pytest.raises(NoTransceiverError):
            await known.place("v=0", [], "client")
        assert api.asked == 1


async def test_one_that_cannot_be_connected_to_is_asked_for_its_health(control: Any) -> None:
    async with control().running() as other:
        async with control().running() as api:
            known = await _entered(pool(api.url, other.url, config=SELDOM))
        # The first one is gone; whoever meets it is served by the other.
        for _ in range(10):
            assert (await known.place("v=0", [], "client")).id == "rtc_1-2-0-abc"
        await until(lambda: known.members.reachable == 1)
        await known.__aexit__()


async def _entered(known: TransceiverPool) -> TransceiverPool:
    return await known.__aenter__()


async def test_one_slow_health_check_is_no_illness(control: Any) -> None:
    hasty = replace(SELDOM, poll_timeout=0.1)
    async with control().running() as api, pool(api.url, config=hasty) as known:
        (target,) = known.members._clients
        api.delay = 0.5
        await known.members._poll(target)
        assert known.members.reachable == 1
        api.headers[LOAD] = '{"sessions": 1, "capacity": 10, "draining": false}'
        await known.place("v=0", [], "client")  # an answer: it was only slow
        await known.members._poll(target)
        assert known.members.reachable == 1
        await known.members._poll(target)
        assert known.members.reachable == 0
        api.delay = 0.0
        await known.members._poll(target)
        assert known.members.reachable == 1


async def test_a_call_for_which_nobody_waits_any_more_is_hung_up(control: Any) -> None:
    async with control(thinking=0.2).running() as api, pool(api.url, config=SELDOM) as known:
        placing = asyncio.ensure_future(known.place("v=0", [], "client"))
        await until(lambda: len(api.offers) == 1)
        placing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await placing
        await until(lambda: api.ended == ["rtc_abc"])


async def test_a_call_that_comes_too_late_is_hung_up_also_at_the_end(control: Any) -> None:
    hasty = replace(SELDOM, placement_timeout=0.1)
    async with control(thinking=0.3).running() as api:
        async with pool(api.url, config=hasty) as known:
            with pytest.raises(NoTransceiverError, match=r"within 0\.1 s"):
                await known.place("v=0", [], "client")
        assert api.ended == ["rtc_abc"]


async def test_a_crowd_is_told_so_if_everybody_says_it(control: Any) -> None:
    async with AsyncExitStack() as stack:
        crowded = [
            await stack.enter_async_context(control(created=(429, {})).running()) for _ in "ab"
        ]
        known = await stack.enter_async_context(pool(*(api.url for api in crowded)))
        with pytest.raises(CrowdError):
            await known.place("v=0", [], "client")
        crowded[0].created = (503, {})
        with pytest.raises(NoTransceiverError):
            await known.place("v=0", [], "client")


async def test_one_without_a_control_api_is_left_out(control: Any) -> None:
    async with control().running() as api, pool(None, api.url) as known:
        assert known.members.size == 1
        assert (await known.place("v=0", [], "client")).id == "rtc_1-2-0-abc"


@pytest.mark.parametrize("call_id", ["rtc_abc", "rtc_1-7-0-abc", "rtc_1-1-1-abc"])
async def test_an_id_of_no_transceiver_is_no_call(control: Any, call_id: str) -> None:
    async with control().running() as api, pool(api.url) as known:
        with pytest.raises(SessionNotFoundError):
            await known.hang_up(call_id)


async def test_poll_that_breaks_goes_on_and_nothing_is_placed_meanwhile(
    control: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    healthy, broken = ControlClient.health, True

    async def health(self: ControlClient) -> Load:
        if broken:
            raise ZeroDivisionError
        return await healthy(self)

    async with control().running() as running, pool(running.url) as known:
        assert known.members.with_room == 1
        monkeypatch.setattr(ControlClient, "health", health)
        await until(lambda: known.members.failing == ["poll 1/1/0"])
        assert known.members.reachable == 0
        broken = False
        await until(lambda: known.members.reachable == 1 and known.members.failing == [])
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "poll 1/1/0 failed: ZeroDivisionError" in errors[0].getMessage()


class TestUpdate:
    """Transceivers that come and go while calls are placed."""

    def at(self, slot: int, url: str, generation: int = 0) -> Transceiver:
        return Transceiver(Target(1, slot, generation), Endpoint("127.0.0.1", 5000 + slot), url)

    async def test_one_that_comes_gets_calls_and_one_that_goes_no_more(self, control: Any) -> None:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(control().running())
            second = await stack.enter_async_context(control().running())
            known = await stack.enter_async_context(pool(first.url, config=SELDOM))
            known.members.update([self.at(2, second.url)])
            assert known.members.size == 1
            await until(lambda: known.members.reachable == 1)
            await known.place("v=0", [], "client")
            assert (len(first.offers), len(second.offers)) == (0, 1)
            with pytest.raises(SessionNotFoundError):
                await known.hang_up("rtc_u1_1_0_abc")

    async def test_one_that_stays_is_not_asked_anew(self, control: Any) -> None:
        async with control().running() as one, pool(one.url, config=SELDOM) as known:
            asked = one.asked
            known.members.update([self.at(1, one.url)])
            await known.place("v=0", [], "client")
            assert one.asked == asked

    async def test_before_it_is_entered_it_takes_them_too(self, control: Any) -> None:
        async with control().running() as one:
            known = pool()
            known.members.update([self.at(1, one.url)])
            async with known:
                assert known.members.reachable == 1

    async def test_an_answer_of_one_that_has_gone_meanwhile_is_nobodys(self, control: Any) -> None:
        async with control(delay=0.3).running() as slow, control().running() as quick:
            config = replace(POOL, poll_interval=0.01)
            async with pool(slow.url, config=config) as known:
                known.members.update([self.at(1, quick.url)])
                known.members.update([self.at(2, quick.url)])
                await until(lambda: known.members.reachable == 1)
                await asyncio.sleep(0.4)  # the slow one answers meanwhile
                assert (known.members.size, known.members.reachable) == (1, 1)

    async def test_calls_are_placed_near_their_ingress(self, control: Any) -> None:
        async with AsyncExitStack() as stack:
            here = await stack.enter_async_context(control().running())
            there = await stack.enter_async_context(control().running())
            both = [self.at(1, here.url), self.at(2, there.url)]
            regional = [
                replace(each, region=name) for each, name in zip(both, ("eu", "us"), strict=True)
            ]
            known = TransceiverPool(regional, random=Random(1), config=SELDOM)
            await stack.enter_async_context(known)
            for _ in range(5):
                await known.place("v=0", [], "client", near=Near(("us",)))
            assert (len(here.offers), len(there.offers)) == (0, 5)
