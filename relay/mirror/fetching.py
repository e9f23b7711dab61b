"""Reads the one record of a client, for an operator: nothing acts on what it says."""

from typing import Any

from relay.core.flowtuple import FlowTuple
from relay.errors import MirrorError
from relay.mirror.record import Record, key_of
from relay.redisclient import FAILURES, Client, in_words, require_wanted
from relay.wire.keys import KeyRing


async def fetch(redis: Client, flow: FlowTuple, keys: KeyRing) -> dict[str, Any] | None:
    """The record of a flow's client and VIP, be it of this very flow or of another; None: none.

    Raises:
        MirrorError: Redis is away, or what is there is no record.
    """
    key = key_of(flow.client, flow.vip)
    try:
        value = await redis.get(key)
    except FAILURES as error:
        require_wanted()
        raise MirrorError(f"Redis is away: {in_words(error)}") from None
    require_wanted()
    if not isinstance(value, bytes):
        return None
    record = Record.parse(flow.client, flow.vip, value, keys)
    return {
        "key": key,
        "owner": record.owner,
        "epoch": record.epoch,
        "time": record.time,
        "upstream": str(record.flow.upstream),
        "transceiver": str(record.flow.transceiver),
        "is_this_flow": record.flow == flow,
    }
