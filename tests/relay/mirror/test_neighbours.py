"""What is heard of other relays, and what is not."""

import asyncio

from relay.core.flowtuple import Source
from tests.relay.conftest import ALICE, RTP, VIP, RedisServer, Scene, eventually
from tests.relay.mirror.test_mirror import Watched, mirroring, subscribers


async def test_what_nobody_heard_is_read_when_redis_is_back(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    async with (
        mirroring(redis_server, scene) as first,
        mirroring(redis_server, scene, owner="relay-b", listening=True) as second,
    ):
        await eventually(lambda: subscribers(redis_server) == 1, "it listens")
        redis_server.stop()
        redis_server.start()
        # What is written to a connection that has ended is lost; it may also be that the other one
        # does not listen yet.
        while not first.events:
            first.mirror.claim(flow, 1)
            await asyncio.sleep(0.1)
        await eventually(lambda: len(second.dormant) == 1, "it knows", limit=10.0)
        second.mirror.recall(Source(ALICE, VIP), RTP)
        assert second.has_found == [flow]


async def test_junk_on_the_channel_is_counted_and_listened_past(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene, owner="relay-b", listening=True) as watched:
        await eventually(lambda: subscribers(redis_server) == 1, "it listens")
        client = redis_server.client()
        for junk in (b"", b" ", b"\xff\xfe", b"icelane:flow:x y", bytes(1000)):
            client.publish(f"icelane:flows:{VIP}", junk)
        async with mirroring(redis_server, scene) as other:
            other.mirror.claim(flow, 1)
            await eventually(lambda: len(watched.dormant) == 1, "it listens on")
    assert watched.counters["mirror_record_refused"] == 5


async def test_cancellation_at_any_moment_ends_it(redis_server: RedisServer, scene: Scene) -> None:
    for steps in range(40):
        watched = Watched(redis_server, scene.keys, "relay-b", [VIP])
        task = asyncio.create_task(watched.neighbours.run(watched.accepting))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5.0)
        assert done, f"cancelled after {steps} steps, and still running"
