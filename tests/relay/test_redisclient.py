"""URLs of Redis: what each reaches."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import RedisCluster
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from relay.redisclient import FAILURES, connect, in_words, is_elsewhere
from tests.ports import free_port
from tests.relay.conftest import RedisServer
from tests.relay.redisgroups import redis_cluster, redis_sentinels


async def test_one_server(redis_server: RedisServer) -> None:
    async with connect(redis_server.url, 2.0) as client:
        assert await client.ping()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    with redis_cluster(tmp_path) as url:
        yield url


async def test_a_cluster_by_any_of_its_nodes(cluster: str) -> None:
    async with connect(cluster, 2.0) as client:
        assert isinstance(client, RedisCluster)
        for number in range(20):
            await client.set(f"key {number}", number)
        assert [await client.get(f"key {each}") for each in range(20)] == [
            str(each).encode() for each in range(20)
        ]


async def test_a_cluster_by_those_of_its_nodes_that_live(cluster: str) -> None:
    way, _, node = cluster.partition("://")
    async with connect(f"{way}://127.0.0.1:{free_port()},{node}", 2.0) as client:
        assert await client.set("key", 1)


async def test_a_cluster_of_which_nobody_answers_is_a_failure() -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    client = connect(url, 2.0)
    with pytest.raises(FAILURES):
        await client.get("key")
    await client.aclose()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RedisTimeoutError("Timeout reading from unix:///redis.sock"), "it does not answer"),
        (TimeoutError(), "it does not answer"),
        (OSError(), "it cannot be reached: OSError"),
        (BusyLoadingError("Redis is loading the dataset in memory"), "it still loads its data"),
        (OutOfMemoryError("command not allowed"), "it is full, and takes nothing new"),
        (ReadOnlyError("You can't write against a read only replica."), "it is a replica"),
        (AuthenticationError("invalid password"), "it refuses the user or password of the URL"),
        (NoPermissionError("no permissions to run 'get'"), "it does not permit it: no permissions"),
        (ResponseError("MISCONF Redis is configured to save"), "it cannot save to its disk"),
        (ResponseError("NOREPLICAS Not enough good replicas"), "it lacks replicas"),
        (RedisConnectionError("Error 111"), "it cannot be reached: Error 111"),
    ],
    ids=repr,
)
def test_an_operator_is_told_in_words_why_it_cannot_be_asked(error: Exception, said: str) -> None:
    assert said in in_words(error)


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (ReadOnlyError("You can't write against a read only replica."), True),
        (ResponseError("NOREPLICAS Not enough good replicas"), True),
        (OutOfMemoryError("command not allowed"), False),
        (RedisTimeoutError(), False),
    ],
    ids=repr,
)
def test_a_master_that_is_one_no_more_is_told_from_other_faults(
    error: Exception, elsewhere: bool
) -> None:
    assert is_elsewhere(error) is elsewhere


async def test_the_master_that_sentinels_know(tmp_path: Path) -> None:
    with redis_sentinels(tmp_path) as (url, *_):
        async with connect(url, 2.0) as client:
            assert await client.set("key", 1)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://127.0.0.1:26379", "names no master"),
        ("redis+sentinel://127.0.0.1:26379/calls/x", "invalid literal"),
        ("http://127.0.0.1", "scheme"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        connect(url, 2.0)
