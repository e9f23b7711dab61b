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
from signaling.errors import NoTransceiverError, OfferRejectedError, SessionNotFoundError
from signaling.pool import PoolConfig, TransceiverPool
from tests.signaling.conftest import POOL

FIRST, SECOND = Target(1, 1, 0), Target(1, 2, 0)


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
            await known.place("v=0", [])
        assert (len(draining.offers), len(other.offers)) == (0, 10)
        assert (known.size, known.reachable, known.with_room) == (2, 2, 1)


async def test_an_unreachable_transceiver_gets_nothing_until_it_answers(
    control: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    silent = control(delay=5)
    hasty = replace(POOL, poll_timeout=0.2)
    async with silent.running(), pool(silent.url, config=hasty) as known:
        with pytest.raises(NoTransceiverError, match="none of the 1 transceivers"):
            await known.place("v=0", [])
        silent.delay = 0
        await until(lambda: known.reachable == 1)
        assert (await known.place("v=0", [])).id == "rtc_1-1-0-abc"
        silent.delay = 5
        await until(lambda: known.reachable == 0)
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
        assert (await known.place("v=0", [])).id == "rtc_1-2-0-abc"
        assert len(bad.offers) == 1


async def test_when_everybody_is_full_the_shortest_wait_is_told(control: Any) -> None:
    async with AsyncExitStack() as stack:
        urls = []
        for wait in ("9", "4"):
            full = control(created=(503, {}), headers={"Retry-After": wait})
            urls.append((await stack.enter_async_context(full.running())).url)
        known = await stack.enter_async_context(pool(*urls))
        with pytest.raises(NoTransceiverError, match="full or draining") as caught:
            await known.place("v=0", [])
        assert caught.value.retry_after == 4


async def test_a_bad_offer_is_not_offered_to_others(control: Any) -> None:
    refusal = (400, {"error": {"code": "no_dtls", "message": "there is no fingerprint"}})
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(control(created=refusal).running()) for _ in "ab"]
        known = await stack.enter_async_context(pool(*(api.url for api in apis)))
        with pytest.raises(OfferRejectedError, match="there is no fingerprint") as caught:
            await known.place("v=0", [])
        assert caught.value.code == "no_dtls"
        assert sum(len(api.offers) for api in apis) == 1


async def test_placing_ends_within_its_bound_whatever_transceivers_do(control: Any) -> None:
    async with AsyncExitStack() as stack:
        slow = [control(thinking=5) for _ in range(6)]
        urls = [(await stack.enter_async_context(each.running())).url for each in slow]
        hasty = replace(POOL, control_timeout=0.2, placement_timeout=0.5)
        known = await stack.enter_async_context(pool(*urls, config=hasty))
        with pytest.raises(NoTransceiverError, match=r"within 0\.5 s"):
            await known.place("v=0", [])
        # Six times the 0.2 s of a control API would be 1.2 s.
        assert sum(len(each.offers) for each in slow) < len(slow)


async def test_sessions_placed_since_the_last_poll_count(control: Any) -> None:
    room_for_two = {"sessions": 8, "capacity": 10, "draining": False}
    slow = PoolConfig(poll_interval=60)
    async with control(health=room_for_two).running() as api:
        one = Transceiver(FIRST, Endpoint("127.0.0.1", 5000), api.url)
        async with TransceiverPool([one], random=Random(1), config=slow) as known:
            await known.place("v=0", [])
            await known.place("v=0", [])
            with pytest.raises(NoTransceiverError, match="full or draining"):
                await known.place("v=0", [])


async def test_one_without_a_control_api_is_left_out(control: Any) -> None:
    async with control().running() as api, pool(None, api.url) as known:
        assert known.size == 1
        assert (await known.place("v=0", [])).id == "rtc_1-2-0-abc"


@pytest.mark.parametrize("call_id", ["rtc_abc", "rtc_1-7-0-abc", "rtc_1-1-1-abc"])
async def test_an_id_of_no_transceiver_is_no_call(control: Any, call_id: str) -> None:
    async with control().running() as api, pool(api.url) as known:
        with pytest.raises(SessionNotFoundError):
            await known.hang_up(call_id)
