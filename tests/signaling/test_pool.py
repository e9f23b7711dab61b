import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from signaling.control import LOAD
from signaling.errors import (
    CallBrokeError,
    CrowdError,
    NoTransceiverError,
    OfferRejectedError,
    SessionNotFoundError,
)
from tests.signaling.conftest import POOL
from tests.signaling.pools import SELDOM, pool, until


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
        with pytest.raises(NoTransceiverError, match="full, draining or behind") as caught:
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
        with pytest.raises(NoTransceiverError, match="full, draining or behind"):
            await known.place("v=0", [], "client")
        api.health["sessions"] = 9  # a call has ended, and nobody has told
        assert (await known.place("v=0", [], "client")).id == "rtc_1-1-0-abc"


async def test_nobody_is_asked_again_who_drains(control: Any) -> None:
    gone = {"sessions": 0, "capacity": 10, "draining": True}
    async with control(health=gone).running() as api, pool(api.url, config=SELDOM) as known:
        with pytest.raises(NoTransceiverError):
            await known.place("v=0", [], "client")
        assert api.asked == 1


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


@pytest.mark.parametrize("call_id", ["rtc_abc", "rtc_1-7-0-abc", "rtc_1-1-1-abc"])
async def test_an_id_of_no_transceiver_is_no_call(control: Any, call_id: str) -> None:
    async with control().running() as api, pool(api.url) as known:
        with pytest.raises(SessionNotFoundError):
            await known.hang_up(call_id)
