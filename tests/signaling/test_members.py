import asyncio
import logging
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
    NoTransceiverError,
    SessionNotFoundError,
)
from signaling.placement import Load, Near
from signaling.pool import TransceiverPool
from tests.signaling.conftest import POOL
from tests.signaling.pools import SELDOM, pool, until


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


async def test_one_without_a_control_api_is_left_out(control: Any) -> None:
    async with control().running() as api, pool(None, api.url) as known:
        assert known.members.size == 1
        assert (await known.place("v=0", [], "client")).id == "rtc_1-2-0-abc"


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


async def test_asking_again_is_done_for_all_at_once(control: Any) -> None:
    full = {"sessions": 10, "capacity": 10, "draining": False}
    async with control(health=full).running() as api, pool(api.url, config=SELDOM) as known:
        refused = await asyncio.gather(
            *(known.place("v=0", [], "client") for _ in range(200)), return_exceptions=True
        )
        assert all(isinstance(each, NoTransceiverError) for each in refused)
        assert api.asked == 2


async def test_one_that_cannot_be_connected_to_is_asked_for_its_health(control: Any) -> None:
    async with control().running() as other:
        async with control().running() as api:
            known = await _entered(pool(api.url, other.url, config=SELDOM))
        # The first one is gone; whoever meets it is served by the other.
        for _ in range(10):
            assert (await known.place("v=0", [], "client")).id == "rtc_1-2-0-abc"
        await until(lambda: known.members.reachable == 1)
        await known.__aexit__()


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
