"""Reads the records of a VIP from Redis, some at a time; what they say is for others to believe."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, cast

from relay.mirror import library
from relay.mirror.record import LONGEST, PREFIX, RecordError, client_of, key_of
from relay.redisclient import Client
from relay.wire.endpoint import Endpoint

# Keys, or records, that are asked for at a time. Datagrams wait while the client library makes one
# text of all requests, and reads the answers: some 3 ms.
BATCH = 100


class Held(NamedTuple):
    """What stands under a key.

    Attributes:
        client: The client that the key names.
        vip: The VIP that it names.
        value: The text, which is not verified.
    """

    client: Endpoint
    vip: Endpoint
    value: bytes


async def read(
    redis: Client, vip: Endpoint, wanted: Callable[[Endpoint], bool], counters: Counter[str]
) -> AsyncIterator[Sequence[Held]]:
    """All records of a VIP, in batches.

    Args:
        redis: The server, or a Redis Cluster.
        vip: The VIP.
        wanted: Which clients' records are of interest.
        counters: Where it is counted what is none.

    Raises:
        RedisError: The server is away.
    """
    # An IPv6 VIP is written in brackets, which a pattern would take for a set.
    pattern = f"{PREFIX}{vip}|*".replace("[", "\\[").replace("]", "\\]")
    clients: list[tuple[Endpoint, Endpoint]] = []
    async for key in redis.scan_iter(match=pattern, count=BATCH):
        try:
            ends = client_of(cast("bytes", key).decode("ascii", "replace"))
        except RecordError:
            counters["mirror_record_refused"] += 1
            continue
        if wanted(ends[0]):
            clients.append(ends)
        if len(clients) == BATCH:
            yield await _fetched(redis, clients, counters)
            clients = []
    if clients:
        yield await _fetched(redis, clients, counters)


async def _fetched(
    redis: Client, clients: Sequence[tuple[Endpoint, Endpoint]], counters: Counter[str]
) -> Sequence[Held]:
    # No transaction: each key is used alone, so that Redis Cluster works, too.
    async with redis.pipeline(transaction=False) as pipeline:
        for ends in clients:
            pipeline.get(key_of(*ends))
        values = await pipeline.execute(raise_on_error=False)
    held = []
    for ends, value in zip(clients, values, strict=True):
        if isinstance(value, bytes) and len(value) <= LONGEST:
            held.append(Held(*ends, value))
        elif isinstance(value, Exception) and not library.is_of_one_key(value):
            raise value
        elif value is not None:  # somebody else has put something there
            counters["mirror_record_refused"] += 1
    return held
