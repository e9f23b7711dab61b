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
from tests.relay.redisgroups import (
    LockedSentinel,
    redis_cluster,
    redis_locked_sentinel,
    redis_sentinels,
)


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


async def test_of_a_url_database_user_and_options_are_taken(redis_server: RedisServer) -> None:
    redis_server.client().config_set("requirepass", "hid/den")
    url = redis_server.url.replace("unix://", "unix://:hid%2Fden@") + "?db=3&client_name=mine"
    async with connect(url, 2.0) as client:
        told = await client.client_info()
        assert (told["db"], told["name"]) == (3, "mine")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedSentinel]:
    with redis_locked_sentinel(tmp_path_factory.mktemp("locked")) as sentinel:
        yield sentinel


ASKED = "sentinel_password=of-sentinel"
BY_ACL = "sentinel_username=asks&sentinel_password=asks"


@pytest.mark.parametrize("query", [ASKED, BY_ACL])
async def test_sentinels_have_a_password_of_their_own(locked: LockedSentinel, query: str) -> None:
    url = f"redis+sentinel://:of-master@127.0.0.1:{locked.port}/calls/2?{query}"
    async with connect(url, 2.0) as client:
        assert (await client.client_info())["db"] == 2


@pytest.mark.parametrize("query", [ASKED, BY_ACL])
async def test_by_tls_both_sentinels_and_master_are_asked(
    locked: LockedSentinel, query: str
) -> None:
    url = (
        f"rediss+sentinel://:of-master@127.0.0.1:{locked.tls_port}/secured?{query}"
        f"&ssl_ca_certs={locked.certificate}"
    )
    async with connect(url, 2.0) as client:
        assert (await client.config_get("port"))["port"] == "0"  # but by TLS there is none


@pytest.mark.parametrize(
    ("scheme", "port", "says"),
    [
        ("redis", "nobody", "nobody listens there: start it"),
        ("rediss", "tls_port", "its certificate is not trusted here: name its CA by ?ssl_ca_certs"),
        ("rediss", "port", "it does not answer"),
        ("redis", "tls_port", "one that always does may want TLS (write rediss://)"),
    ],
)
async def test_why_no_sentinel_answers_is_told(
    locked: LockedSentinel, scheme: str, port: str, says: str
) -> None:
    there = free_port() if port == "nobody" else getattr(locked, port)
    client = connect(f"{scheme}+sentinel://127.0.0.1:{there}/calls?{ASKED}", 0.5)
    with pytest.raises(FAILURES) as failed:
        await client.get("key")
    await client.aclose()
    told = in_words(failed.value)
    assert told.startswith("no Sentinel answers that knows a master of that name: ")
    assert says in told


async def test_one_sentinel_that_answers_is_enough(locked: LockedSentinel) -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{locked.port}"
    async with connect(f"redis+sentinel://:of-master@{hosts}/calls?{ASKED}", 2.0) as client:
        assert await client.ping()
    client = connect(f"redis+sentinel://:of-master@{hosts}/other?{ASKED}", 2.0)
    with pytest.raises(FAILURES) as failed:
        await client.ping()
    await client.aclose()
    assert "tells their names; correct hosts or name in the URL" in in_words(failed.value)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("", "its Sentinels refuse who asks them: write ?sentinel_password=PASSWORD behind the"),
        (":of-sentinel@", "its Sentinels refuse who asks them"),
        ("?sentinel_password=wrong", "its Sentinels refuse who asks them"),
        (
            "?sentinel_username=nobody&sentinel_password=nobody",
            "its Sentinels do not permit it: this user has no permissions to run the 'sentinel",
        ),
        (f":wrong@?{ASKED}", "it refuses the user or password of the URL"),
        (f"?{ASKED}", "it refuses the user or password of the URL"),
        (f"/other?{ASKED}", "no Sentinel answers that knows a master of that name"),
    ],
)
async def test_who_refuses_whom_is_told_apart(locked: LockedSentinel, way: str, says: str) -> None:
    before, at, behind = way.rpartition("@")
    path = behind if behind.startswith("/") else f"/calls{behind}"
    client = connect(f"redis+sentinel://{before}{at}127.0.0.1:{locked.port}{path}", 2.0)
    with pytest.raises(FAILURES) as failed:
        await client.get("key")
    await client.aclose()
    told = in_words(failed.value)
    assert told.startswith(says) or says in told
    assert "of-sentinel" not in told


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://127.0.0.1:26379", "the URL names no master"),
        ("redis+sentinel://127.0.0.1:26379/calls/x", "the URL has no number of a database"),
        ("http://127.0.0.1", "the URL is no URL of Redis"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        connect(url, 2.0)
