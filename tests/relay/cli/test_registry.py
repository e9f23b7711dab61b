"""`icelane registry` on a real Redis."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from relay.config.privatefiles import write_private
from relay.registry.entry import Heartbeat
from relay.registry.store import RegistryStore
from relay.wire.keys import KeyRing
from tests.relay.cli.commands import icelane, refused
from tests.relay.conftest import RedisServer
from tests.relay.registry.conftest import KEYS, OWNER, relay, transceiver


def wait_for(work: Coroutine[Any, Any, object]) -> None:
    asyncio.run(work)


async def announce(server: RedisServer, *, keys: KeyRing = KEYS) -> None:
    async with RegistryStore(server.url, keys) as store:
        await store.announce(Heartbeat(relay(flows=100), 1))
        await store.announce(Heartbeat(transceiver(sessions=3), 1), OWNER)


@pytest.fixture
def where(redis_server: RedisServer, tmp_path: Path) -> list[str]:
    path = tmp_path / "keys.toml"
    write_private(path, KEYS.dumps().encode())
    return ["--redis", redis_server.url, "--keys", str(path)]


def test_who_is_there_is_listed(redis_server: RedisServer, where: list[str]) -> None:
    wait_for(announce(redis_server))
    listed = icelane("registry", "list", *where)
    assert listed.exit_code == 0
    head, first, second = listed.stdout.splitlines()
    assert head.split() == ["kind", "name", "region", "address", "load", "state", "heard"]
    assert "fra-1" in first
    assert "100 of 100" in first
    assert "full" in first
    assert "1/7" in second
    assert "10.0.0.2:5000" in second
    assert "3 of 70" in second


def test_as_json_it_is_an_array(redis_server: RedisServer, where: list[str]) -> None:
    wait_for(announce(redis_server))
    told = json.loads(icelane("registry", "list", "--json", *where).stdout)
    assert [(each["kind"], each["name"]) for each in told] == [
        ("relay", "fra-1"),
        ("transceiver", "1/7"),
    ]
    assert told[1]["generation"] == 3


def test_one_is_shown(redis_server: RedisServer, where: list[str]) -> None:
    wait_for(announce(redis_server))
    shown = icelane("registry", "show", "1/7", *where).stdout
    assert "address            10.0.0.2:5000" in shown
    told = json.loads(icelane("registry", "show", "fra-1", "--json", *where).stdout)
    assert told["vips"][0]["vip"] == "203.0.113.10:3478"


def test_nobody_is_there(where: list[str]) -> None:
    listed = icelane("registry", "list", *where)
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert json.loads(icelane("registry", "list", "--json", *where).stdout) == []
    assert "has no 1/7" in refused(icelane("registry", "show", "1/7", *where), code=1)


def test_what_others_wrote_is_told_and_not_listed(
    redis_server: RedisServer, where: list[str]
) -> None:
    wait_for(announce(redis_server, keys=KeyRing({0: bytes(32)}, 0)))
    listed = icelane("registry", "list", *where)
    assert listed.stdout == ""
    assert "does not verify" in listed.stderr


def test_redis_that_is_away_is_told(redis_server: RedisServer, where: list[str]) -> None:
    redis_server.stop()
    refused(icelane("registry", "list", *where), code=1)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://x", "is no URL of Redis"),
        ("redis+sentinel://h:1", "names no master"),
        ("redis+sentinel://h:1/m/xx", "has no number of a database"),
        ("redis://h/0?foo=bar", "has foo, which nobody knows"),
        ("redis://h?socket_timeout=abc", "has socket_timeout behind its ?, which must be"),
        ("redis+cluster://", "names no host"),
        ("redis+cluster://:1", "is no URL of Redis"),
    ],
)
def test_a_url_that_is_none_is_told(where: list[str], url: str, says: str) -> None:
    said = refused(icelane("registry", "list", "--redis", url, *where[2:]))
    assert said.startswith(f"icelane: --redis: '{url.partition('?')[0]}' {says}")
