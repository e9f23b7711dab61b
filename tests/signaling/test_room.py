"""Who gets room within a quota; sessions and calls that take it are in test_websockets.py."""

import os
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from relay.config.registry import Transceiver
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from signaling.auth.apikeys import ApiKey, Quota, new_key
from signaling.auth.limits import Quotas
from signaling.errors import ApiError
from signaling.members import Members
from signaling.room import room_for
from tests.signaling.conftest import SELDOM, Control

TARGET = Target(1, 1, 1)


def key(calls: int) -> ApiKey:
    made, _ = new_key("alice", os.urandom(32), datetime.now(UTC), quota=Quota(calls=calls))
    return made


def members_of(api: Control) -> Members:
    there = Transceiver(TARGET, Endpoint("127.0.0.1", 5000), api.url)
    return Members([there], random=Random(1), config=SELDOM)


def health(calls: int) -> dict[str, Any]:
    return {"sessions": 9, "capacity": 99, "draining": False, "principals": {"alice": calls}}


async def test_what_is_being_placed_counts_until_the_transceiver_counts_it() -> None:
    quotas, alice = Quotas(), key(2)
    async with Control(health=health(0)).running() as api, members_of(api) as members:
        async with room_for(alice, quotas, members), room_for(alice, quotas, members):
            with pytest.raises(ApiError, match="2 calls may be had at a time"):
                async with room_for(alice, quotas, members):
                    pass
        members.note_principal(TARGET, "alice")
        async with room_for(alice, quotas, members):
            pass


async def test_transceivers_are_asked_again_before_somebody_is_refused() -> None:
    quotas, alice = Quotas(), key(2)
    async with Control(health=health(2)).running() as api, members_of(api) as members:
        with pytest.raises(ApiError, match="The quota of this API key is used up"):
            async with room_for(alice, quotas, members):
                pass
        api.health = health(1)
        asked = api.asked
        async with room_for(alice, quotas, members):
            pass
        assert api.asked == asked + 1


async def test_where_nobody_has_a_quota_nobody_is_counted() -> None:
    async with Control(health=health(9)).running() as api, members_of(api) as members:
        async with room_for(None, Quotas(), members):
            pass
        assert api.asked == 1
