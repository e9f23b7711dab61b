"""An agent that runs, towards one that is to take its place."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from relay import linux
from relay.core.handoff import LAYOUT
from relay.errors import TakeoverError
from relay.run.takeover import offer
from relay.run.takeover.channel import Channel
from relay.run.takeover.handed import HandedSockets

LIMIT = 20.0  # seconds
REQUEST = {"layout": LAYOUT, "workers": 1, "netns": linux.netns_inode()}


class Agent:
    """Offers its place, and notes what becomes of it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.offer = offer.Offer(
            workers=1,
            sockets=HandedSockets,
            give=self._give,
            leave=lambda: self.done.append("leave"),
            about=lambda: {"seed": 7},
            asked=lambda: self.done.append("asked"),
            resumed=lambda: self.done.append("resumed"),
        )

    def _give(self, channel: Channel) -> None:
        self.done.append("give")
        channel.send({"end": True})


async def meet(
    successor: Callable[[Channel], object], agent: Agent, **changes: Any
) -> tuple[list[str], object]:
    """Let one ask to take over; what the agent has done then, and what the one has got."""
    here, there = socket.socketpair()
    channel = Channel(there, LIMIT)
    loop = asyncio.get_running_loop()
    asking = loop.run_in_executor(None, successor, channel)
    try:
        await asyncio.wait_for(agent.offer.serve(REQUEST | changes, here), LIMIT)
        return agent.done, await asyncio.wait_for(asking, LIMIT)
    finally:
        channel.close()


def takes_over(channel: Channel) -> list[dict[str, Any]]:
    said = [channel.receive()[0]]
    channel.send({"hold": True})
    said += [channel.receive()[0], channel.receive()[0]]
    channel.send({"serving": True})
    return said


async def test_who_asks_gets_sockets_then_all_else_and_then_the_place() -> None:
    done, said = await meet(takes_over, Agent())
    assert said == [{"sockets": [], "seed": 7}, {"held": True}, {"end": True}]
    assert done == ["asked", "give", "leave"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layout": LAYOUT + 1}, "it is of another version"),
        ({"workers": 4}, "it has 1 workers"),
        ({"netns": 1}, "it is in another network namespace"),
    ],
)
async def test_who_does_not_fit_is_told_why_and_gets_nothing(
    changes: dict[str, int], reason: str
) -> None:
    done, said = await meet(lambda channel: channel.receive()[0], Agent(), **changes)
    assert isinstance(said, dict)
    assert said["error"].startswith(reason)
    assert done == []


async def test_another_user_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    done, said = await meet(lambda channel: channel.receive()[0], Agent())
    assert (done, said) == ([], {"error": "its user is another one"})


@pytest.mark.parametrize("says", [0, 1])
async def test_who_ends_on_the_way_has_changed_nothing(says: int) -> None:
    def ends(channel: Channel) -> None:
        channel.receive()
        for _ in range(says):
            channel.send({"hold": True})
        channel.close()

    done, _ = await meet(ends, Agent())
    assert done[-1] == "resumed"
    assert "leave" not in done


async def test_who_takes_too_long_cannot_serve_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer, "HOLD_SECONDS", 0.1)

    def slow(channel: Channel) -> None:
        channel.receive()
        channel.send({"hold": True})
        channel.receive()
        channel.receive()
        with pytest.raises(TakeoverError):
            channel.receive()
        with pytest.raises(TakeoverError, match="Broken pipe"):
            channel.send({"serving": True})

    done, _ = await meet(slow, Agent())
    assert done == ["asked", "give", "resumed"]
