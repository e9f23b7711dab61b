"""Pools of transceivers for tests."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

from relay.config.registry import Transceiver
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from signaling.members import PoolConfig
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
