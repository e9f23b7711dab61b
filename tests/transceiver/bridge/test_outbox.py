"""Events for a client that takes few, short ones, or none."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

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
        size = len(message.encode() if isinstance(message, str) else message)
        if self.is_full or not self.is_open or 0 < self.longest < size:
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


@pytest.mark.parametrize("waiting", [[], ["1", "2"]])
async def test_one_event_may_be_longer_than_all_that_may_wait(waiting: list[str]) -> None:
    box, channel = outbox(), Channel()
    long = "x" * (MAX_WAITING + 1)
    for text in (*waiting, long, "one too many"):
        box.send(text)
    box.opened(channel)
    box.send(long)
    assert channel.sent == [*waiting, long, '{"lost": 1}', long]


async def test_what_is_too_long_counts_as_it_is_sent(until: Until) -> None:
    """A turn of 20 s that was recorded, to a client that takes 64 KiB, is a few words."""
    box, channel = outbox(lambda text, longest: text[:longest]), Channel(longest=1 << 16)
    long = "x" * (MAX_WAITING + 1)
    box.send(long)
    box.opened(channel)
    channel.is_full = True
    for _ in range(3):
        box.send(long)
    channel.is_full = False
    await until(lambda: len(channel.sent) == 4)
    assert {len(each) for each in channel.sent} == {1 << 16}


async def test_a_copy_has_the_same_and_goes_its_own_way() -> None:
    box, one, other = outbox(), Channel(), Channel()
    box.send("1")
    copy = box.copy()
    copy.opened(one)
    box.send("2")
    box.opened(other)
    copy.send("3")
    assert (one.sent, other.sent) == (["1", "3"], ["1", "2"])


async def test_nothing_is_sent_before_it_was_told_what_is_missing() -> None:
    box, channel = outbox(), Channel()
    for text in ("x" * MAX_WAITING, "yy", "z"):
        box.send(text)
    box.opened(channel)
    assert channel.sent[1:] == ['{"lost": 2}']


async def test_what_is_too_long_is_fitted_and_what_cannot_be_does_not_stop_others() -> None:
    box, channel = outbox(lambda text, longest: text[: longest + 1]), Channel(longest=3)
    box.opened(channel)
    for _ in range(2):
        box.send("12345")
        box.send("12")
        box.send("жж")
    assert channel.sent == ["12", "12"], "and that one is left out is too long to say"


async def test_who_takes_no_word_of_what_is_missing_gets_what_follows() -> None:
    box, channel = outbox(), Channel(longest=10)
    for _ in range(MAX_EVENTS + 1):
        box.send("1")
    box.opened(channel)
    box.send("2")
    assert channel.sent[-1] == "2"


async def test_what_is_missing_is_told_although_nothing_follows(until: Until) -> None:
    box, channel = outbox(), Channel()

    def send(message: str | bytes) -> bool:
        channel.is_full = len(channel.sent) == MAX_EVENTS
        return not channel.is_full and Channel.send(channel, message)

    for _ in range(MAX_EVENTS + 1):
        box.send("1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "send", send)
        box.opened(channel)
    assert len(channel.sent) == MAX_EVENTS
    channel.is_full = False
    await until(lambda: channel.sent[-1] == '{"lost": 1}')


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
