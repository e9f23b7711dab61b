"""Records of a VIP in a real Redis server."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from relay.mirror import reading
from relay.mirror.mirror import TIMEOUT
from relay.mirror.reading import Held, read
from relay.mirror.record import LONGEST, PREFIX, key_of
from relay.redisclient import FAILURES, Client, connect
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import ALICE, MALLORY, VIP, RedisServer

V6_VIP = Endpoint("2001:db8:1::10", 3478)


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    made = connect(redis_server.url, TIMEOUT)
    yield made
    await made.aclose()


async def held(client: Client, vip: Endpoint, counters: Counter[str]) -> list[list[Held]]:
    """Of all clients but Mallory, by batch."""
    return [list(each) async for each in read(client, vip, lambda who: who != MALLORY, counters)]


@pytest.mark.parametrize("vip", [VIP, V6_VIP], ids=["IPv4", "IPv6"])
async def test_those_of_other_vips_and_clients_are_left_alone(
    client: Client, redis_server: RedisServer, vip: Endpoint
) -> None:
    server, counters = redis_server.client(), Counter[str]()
    for who in (ALICE, MALLORY):
        server.set(key_of(who, vip), b"a text")
        server.set(key_of(who, vip._replace(port=1)), b"of another")
    server.set(f"{PREFIX}{vip}|nobody", b"of no client")
    server.rpush(key_of(ALICE._replace(port=7), vip), b"a list")
    server.set(key_of(ALICE._replace(port=8), vip), bytes(LONGEST + 1))
    assert await held(client, vip, counters) == [[Held(ALICE, vip, b"a text")]]
    assert counters == {"mirror_record_refused": 3}


async def test_many_come_in_batches(
    client: Client, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH", 2)
    clients = [ALICE._replace(port=port) for port in range(1, 6)]
    for each in clients:
        redis_server.client().set(key_of(each, VIP), str(each.port))
    batches = await held(client, VIP, Counter())
    assert [len(each) for each in batches] == [2, 2, 1]
    assert sorted(each.client.port for batch in batches for each in batch) == [1, 2, 3, 4, 5]


async def test_a_server_that_is_away_is_an_error(client: Client, redis_server: RedisServer) -> None:
    redis_server.stop()
    with pytest.raises(FAILURES):
        await held(client, VIP, Counter())
