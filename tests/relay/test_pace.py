"""Long work gives way to others, and only when it was long."""

import asyncio

from relay.pace import TURN, Pace


async def test_others_have_their_turn_after_a_long_one_only() -> None:
    now, turns = [0.0], list[str]()
    pace = Pace(lambda: now[0])
    asyncio.get_running_loop().call_soon(turns.append, "other")
    await pace.rest()
    assert turns == []
    now[0] += TURN
    await pace.rest()
    assert turns == ["other"]
