"""Events for a client that takes few, short ones, or none."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from transceiver.backend import EVENTS_LABEL
from transceiver.bridge.outbox import MAX_EVENTS, MAX_WAITING, Outbox

Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Channel:
    """A channel that is full when a test says so."""

    label = EVENTS_LABEL

    def __init__(self, longest: int = 0) -> None:
        self.longest = longest
        self.is_open = True
        self.is_full = False
        self.sent: list[str | bytes] = []

    def send(self, message: str | bytes) -> bool:
        if self.is_full or not self.is_open:
            return False
        self.sent.append(message)
        return True


def outbox(fitted: Callable[[str, int], str] = lambda text, _: text) -> Outbox:
    return Outbox(fitted, lambda count: json.dumps({"lost": count}))


async def test_what_is_said_before_the_channel_opens_comes_first() -> None:
    box, channel = outbox(), Channel()
    box.send("1")
    box.send("2")
    box.opened(channel)
    box.send("3")
    assert channel.sent == ["1", "2", "3"]


async def test_what_a_full_channel_does_not_take_comes_later_in_order(until: Until) -> None:
    box, channel = outbox(), Channel()
    box.opened(channel)
    channel.is_full = True
    for text in "123":
        box.send(text)
    assert channel.sent == []
    channel.is_full = False
    await until(lambda: channel.sent == ["1", "2", "3"])


async def test_too_many_are_left_out_and_that_is_told(until: Until) -> None:
    box, channel = outbox(), Channel()
    box.opened(channel)
    channel.is_full = True
    for number in range(MAX_EVENTS + 10):
        box.send(str(number))
    channel.is_full = False
    await until(lambda: len(channel.sent) > MAX_EVENTS)
    assert channel.sent[-2:] == [str(MAX_EVENTS - 1), '{"lost": 10}']
    box.send("more")
    assert channel.sent[-1] == "more"


async def test_too_much_is_left_out() -> None:
    box, channel = outbox(), Channel()
    box.send("x" * MAX_WAITING)
    box.send("y")
    box.opened(channel)
    assert [len(each) for each in channel.sent] == [MAX_WAITING, len('{"lost": 1}')]


async def test_nothing_is_sent_before_it_was_told_what_is_missing() -> None:
    box, channel = outbox(), Channel()
    for text in ("x" * (MAX_WAITING - 1), "yy", "z"):
        box.send(text)
    box.opened(channel)
    assert channel.sent[1:] == ['{"lost": 2}']


async def test_what_is_too_long_is_fitted_and_what_cannot_be_does_not_stop_others() -> None:
    box, channel = outbox(lambda text, longest: text[: longest + 1]), Channel(longest=3)
    box.opened(channel)
    box.send("12345")
    box.send("12")
    assert channel.sent == ['{"lost": 1}', "12"]


async def test_nothing_is_kept_for_a_channel_that_is_closed() -> None:
    box, channel = outbox(), Channel()
    box.opened(channel)
    channel.is_full = True
    box.send("1")
    channel.is_open = False
    box.send("2")
    assert not box._waiting
    box.close()
    assert channel.sent == []
