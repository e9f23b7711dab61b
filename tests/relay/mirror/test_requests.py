"""What is asked of Redis: one command about one key each, so that Redis Cluster works, too."""

import json

from redis.exceptions import ResponseError

from relay.mirror import library
from relay.mirror.mirror import TIMEOUT
from relay.mirror.record import LONGEST, key_of
from relay.mirror.requests import Claim, LookUp, Refresh, Release, Request, Writer
from relay.redisclient import connect
from tests.relay.conftest import ALICE, VIP, RedisServer, Scene


async def ask(
    server: RedisServer, scene: Scene, *requests: Request, owner: str = "a"
) -> list[object]:
    redis = connect(server.url, TIMEOUT)
    await library.load(redis)
    async with redis.pipeline(transaction=False) as pipeline:
        for request in requests:
            request.add(pipeline, Writer(owner, scene.keys, 60_000))
        answers: list[object] = await pipeline.execute(raise_on_error=False)
    await redis.aclose()
    return answers


async def test_a_flow_is_claimed_looked_up_refreshed_and_released(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    look_up = LookUp(ALICE, VIP)
    answers = await ask(
        redis_server,
        scene,
        *(look_up, Claim(flow, 2), look_up, Refresh(flow, 2), Release(flow, 2), look_up),
        Refresh(flow, 2),
    )
    found = answers.pop(2)
    assert answers == [None, 1, 1, 1, None, 0]
    assert isinstance(found, bytes)
    record = json.loads(found)
    assert (record["owner"], record["epoch"]) == ("a", 2)


async def test_another_relay_is_given_the_record_of_who_has_a_flow(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    await ask(redis_server, scene, Claim(flow, 4_000_000_000))
    told = await ask(redis_server, scene, Claim(flow, 3), Refresh(flow, 3), owner="b")
    assert told == [redis_server.client().get(key_of(flow.client, flow.vip))] * 2
    assert await ask(redis_server, scene, Release(flow, 4_000_000_000), owner="b") == [0]


async def test_what_does_not_verify_is_written_over_and_only_while_it_stands_there(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow, client = scene.connect().addresses, redis_server.client()
    key, junk = key_of(flow.client, flow.vip), b'{"owner": "x", "epoch": 9}'
    client.set(key, junk)
    assert await ask(redis_server, scene, Claim(flow, 1), Claim(flow, 1, junk=junk)) == [junk, 1]
    # Somebody has come before, and this junk has gone.
    assert await ask(redis_server, scene, Claim(flow, 1, junk=junk), owner="b") == [client.get(key)]


async def test_what_is_too_long_for_a_record_is_none(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    long = json.dumps({"owner": "x", "epoch": 9, "more": "y" * LONGEST})
    redis_server.client().set(key_of(flow.client, flow.vip), long)
    assert await ask(redis_server, scene, Refresh(flow, 1), Claim(flow, 1)) == [0, 1]


async def test_a_value_of_another_kind_is_an_error_of_that_request_only(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    redis_server.client().lpush(key_of(flow.client, flow.vip), b"junk")
    other = flow._replace(client=ALICE._replace(port=1))
    answers = await ask(redis_server, scene, Claim(flow, 1), Claim(other, 1))
    assert isinstance(answers[0], ResponseError)
    assert answers[1] == 1
