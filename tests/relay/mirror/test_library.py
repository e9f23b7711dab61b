"""The functions in Redis."""

import pytest
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from relay.mirror import library
from relay.mirror.mirror import TIMEOUT
from relay.redisclient import connect
from tests.relay.conftest import RedisServer


async def test_a_user_who_may_only_call_them_is_enough(redis_server: RedisServer) -> None:
    client = redis_server.client()
    allowed = ("fcall", "get", "set", "del", "pexpire", "publish", "scan", "subscribe")
    client.acl_setuser(
        "relay",
        enabled=True,
        passwords=["+pass"],
        keys=["icelane:*"],
        channels=["icelane:*"],
        commands=[f"+{name}" for name in allowed],
    )
    url = redis_server.url.replace("://", "://relay:pass@")
    async with connect(url, TIMEOUT) as redis:
        with pytest.raises(NoPermissionError):
            await library.load(redis)  # nobody else has loaded them
        await library.load(connect(redis_server.url, TIMEOUT))
        async with redis.pipeline(transaction=False) as pipeline:
            library.call(pipeline, "refresh", "icelane:flow:x", "relay-a", 1000)
            assert await pipeline.execute() == [0]


async def test_those_of_the_release_before_stay_beside_them(redis_server: RedisServer) -> None:
    """Its relays share the server while the next one is rolled out, and get its answers."""
    before = "#!lua name=icelane_flows\nredis.register_function('icelane_flow_refresh', {})"
    client = redis_server.client()
    client.function_load(before.format("function() return '4' end"))
    async with connect(redis_server.url, TIMEOUT) as redis:
        await library.load(redis)
        async with redis.pipeline(transaction=False) as pipeline:
            library.call(pipeline, "refresh", "icelane:flow:x", "relay-a", 1000)
            assert await pipeline.execute() == [0]
    assert client.fcall("icelane_flow_refresh", 1, "icelane:flow:x", "relay-a", "1000") == b"4"


@pytest.mark.parametrize(
    ("error", "one"),
    [
        (ResponseError("WRONGTYPE Operation against a key"), True),
        (ResponseError("OOM command not allowed"), False),
        (RedisError("WRONGTYPE"), False),
        (b"WRONGTYPE", False),
    ],
    ids=repr,
)
def test_what_is_wrong_with_one_key_is_told_from_what_is_with_the_server(
    error: object, one: bool
) -> None:
    assert library.is_of_one_key(error) is one


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (ResponseError("Function not found"), True),
        (ResponseError("OOM command not allowed"), False),
        (RedisError("Function not found"), False),
        (None, False),
        (1, False),
    ],
    ids=repr,
)
def test_a_missing_function_is_told_from_other_answers(error: object, missing: bool) -> None:
    assert library.is_missing(error) is missing
