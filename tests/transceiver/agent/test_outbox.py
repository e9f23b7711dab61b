"""Events on their way to a client."""

import asyncio
import json

from transceiver.agent.outbox import ENOUGH, Outbox


async def test_events_leave_in_their_order_and_then_it_ends() -> None:
    outbox = Outbox()
    outbox.put({"n": 1})
    outbox.put({"n": 2})
    outbox.end()
    outbox.put({"n": 3})
    assert [await outbox.next(), await outbox.next(), await outbox.next()] == [
        '{"n":1}',
        '{"n":2}',
        None,
    ]


async def test_letters_are_themselves_and_half_of_one_is_an_escape() -> None:
    outbox = Outbox()
    for text in ("你好" * 50_000, "a pattern with \ud800 in it"):
        outbox.put({"text": text})
        message = await outbox.next()
        assert message is not None
        assert len(message.encode()) <= 3 * len(text) + 20
        assert json.loads(message) == {"text": text}


async def test_whoever_reads_waits_for_what_comes() -> None:
    outbox = Outbox()
    reading = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    outbox.put({})
    assert await reading == "{}"
    reading = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    outbox.end()
    assert await reading is None


async def test_there_is_room_until_much_waits() -> None:
    outbox = Outbox()
    await outbox.room()
    outbox.put({"x": "x" * ENOUGH})
    waiting = asyncio.create_task(outbox.room())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert json.loads(await outbox.next() or "")["x"]
    await waiting
