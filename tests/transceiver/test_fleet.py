"""A transceiver in the registry of a real Redis."""

import asyncio
import signal
from dataclasses import replace

import pytest

from relay.registry import announcer
from relay.registry.entry import TransceiverEntry
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.ports import free_port
from tests.relay.conftest import RedisServer, eventually, redis_server
from tests.relay.registry.conftest import Watcher, following
from transceiver.fleet import announced, claimed
from transceiver.server import Place, Transceiver, TransceiverConfig

__all__ = ["redis_server"]  # a fixture

LOOPBACK = "127.0.0.0/8"


@pytest.fixture
def config(keys: KeyRing, redis_server: RedisServer) -> TransceiverConfig:
    media, control = (Endpoint("127.0.0.1", free_port()) for _ in range(2))
    place = Place(redis_server.url, slot=9, region="eu")
    return TransceiverConfig(media, control, Target(1, 1, 1), keys, capacity=5, place=place)


def entry(watcher: Watcher) -> TransceiverEntry:
    found = watcher.first()
    assert isinstance(found, TransceiverEntry)
    return found


def test_without_a_place_it_is_what_its_settings_say(config: TransceiverConfig) -> None:
    alone = replace(config, place=None)
    assert claimed(alone) is alone


def test_it_gets_its_slot_again_with_the_next_generation(config: TransceiverConfig) -> None:
    first, second = claimed(config).target, claimed(config).target
    assert (first.slot, second.slot) == (9, 9)
    assert second.generation == (first.generation + 1) % 256


async def test_it_is_known_while_it_serves(
    config: TransceiverConfig, keys: KeyRing, redis_server: RedisServer
) -> None:
    config = await asyncio.to_thread(claimed, config)
    async with following(redis_server.url, keys, LOOPBACK) as watcher:
        async with announced(Transceiver(config)) as transceiver:
            await eventually(lambda: len(watcher.known) == 1, "it is known")
            told = entry(watcher)
            assert (told.target, told.address) == (config.target, transceiver.address)
            assert (told.control, told.region) == (transceiver.control, "eu")
            assert (told.sessions, told.capacity, told.draining) == (0, 5, False)
            transceiver.calls.admission.draining = True
            await eventually(lambda: entry(watcher).draining, "that it drains is known")
        await eventually(lambda: watcher.first() is None, "it has gone")


async def test_a_control_api_on_all_addresses_is_told_by_that_of_media(
    config: TransceiverConfig, keys: KeyRing, redis_server: RedisServer
) -> None:
    everywhere = replace(config, control=Endpoint("0.0.0.0", config.control.port))
    everywhere = await asyncio.to_thread(claimed, everywhere)
    serving = announced(Transceiver(everywhere))
    async with following(redis_server.url, keys, LOOPBACK) as watcher, serving:
        await eventually(lambda: len(watcher.known) == 1, "it is known")
        assert entry(watcher).control == config.control


async def test_whoever_has_lost_his_slot_takes_no_calls(
    config: TransceiverConfig, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "BEAT_EVERY", 0.1)
    config = await asyncio.to_thread(claimed, config)
    async with announced(Transceiver(config)) as transceiver:
        claims = "icelane:registry:{1}:claims"
        redis_server.client().hset(claims, "slot:9", "1 200 10.0.0.9:5000")
        await eventually(lambda: transceiver.calls.admission.draining, "it drains")


async def test_it_serves_whatever_becomes_of_redis(
    config: TransceiverConfig, redis_server: RedisServer
) -> None:
    config = await asyncio.to_thread(claimed, config)
    async with announced(Transceiver(config)) as transceiver:
        redis_server.signal(signal.SIGSTOP)
        _, writer = await asyncio.open_connection(*transceiver.control)
        writer.close()
        redis_server.signal(signal.SIGCONT)


async def test_that_redis_is_away_is_told_among_its_tasks(
    config: TransceiverConfig, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "BEAT_EVERY", 0.1)
    config = await asyncio.to_thread(claimed, config)
    async with announced(Transceiver(config)) as transceiver:
        assert "announcement 1" in transceiver.supervisor.states()
        redis_server.stop()
        failing = ["announcement 1"]
        await eventually(lambda: transceiver.supervisor.failing == failing, "Redis is away")
