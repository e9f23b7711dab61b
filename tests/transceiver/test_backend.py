"""The echo back end."""

import json
from typing import Any

import pytest

from relay.jsontext import length
from transceiver.backend import EVENTS_LABEL, MAX_SESSION, EchoBackend


class Channel:
    """A data channel that keeps what is sent.

    Args:
        label: Its name.
        longest: The longest message that its client takes, in characters.
    """

    def __init__(self, label: str = EVENTS_LABEL, longest: int = 1 << 20) -> None:
        self.label = label
        self.is_open = True
        self.sent: list[str | bytes] = []
        self.longest = longest

    def send(self, message: str | bytes) -> bool:
        if not self.is_open or len(message) > self.longest:
            return False
        self.sent.append(message)
        return True

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.sent]


def test_what_is_heard_is_said_once() -> None:
    echo = EchoBackend("rtc_x")
    assert echo.speak() is None
    echo.hear(b"first")
    echo.hear(b"second")
    assert (echo.speak(), echo.speak()) == (b"second", None)


def test_the_events_channel_speaks_the_realtime_api() -> None:
    echo, channel = EchoBackend("rtc_x"), Channel()
    echo.channel(channel)
    for session in ({"voice": "marin"}, {"speed": 1.5, "id": "rtc_y"}, "no object"):
        echo.message(channel, json.dumps({"type": "session.update", "session": session}))
    created, first, second, third = channel.events()
    assert created["type"] == "session.created"
    assert created["session"] == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "rtc_x",
        "model": "echo",
    }
    assert (first["type"], first["session"]["voice"]) == ("session.updated", "marin")
    updated = {name: second["session"][name] for name in ("voice", "speed", "id")}
    assert updated == {"voice": "marin", "speed": 1.5, "id": "rtc_x"}, "updates add up"
    assert third["type"] == "error"
    assert len({event["event_id"] for event in channel.events()}) == 4


@pytest.mark.parametrize(
    "message", ["hello", b"\0\xff", '{"type": "response.create"}', "[" * 100_000, "[]", "null"]
)
def test_what_an_echo_does_not_answer_comes_back(message: str | bytes) -> None:
    echo, channel = EchoBackend("rtc_x"), Channel()
    echo.channel(channel)
    echo.message(channel, message)
    assert channel.sent[1:] == [message]


def test_who_looks_on_takes_part_in_the_events_whatever_the_name() -> None:
    echo, onlooker = EchoBackend("rtc_x"), Channel("beside")
    echo.look_on(onlooker)
    echo.message(onlooker, '{"type": "session.update", "session": {}}')
    kinds = [event["type"] for event in onlooker.events()]
    assert kinds == ["session.created", "session.updated"]


def test_another_channel_is_an_echo_only() -> None:
    echo, channel = EchoBackend("rtc_x"), Channel("chat")
    echo.channel(channel)
    update = json.dumps({"type": "session.update", "session": {}})
    echo.message(channel, update)
    assert channel.sent == [update]


@pytest.mark.parametrize(
    "letter", ["y", "\N{CYRILLIC SMALL LETTER YA}", "\N{CJK UNIFIED IDEOGRAPH-8A9E}"]
)
def test_a_session_has_bytes_of_utf_8_whatever_the_language(letter: str) -> None:
    echo, channel = EchoBackend("rtc_x"), Channel()
    echo.channel(channel)
    text = letter * ((MAX_SESSION - 200) // len(letter.encode()))
    for more in ("", letter * 200):
        update = {"type": "session.update", "session": {"instructions": text + more}}
        echo.message(channel, json.dumps(update))
    kinds = [event["type"] for event in channel.events()]
    assert kinds == ["session.created", "session.updated", "error"]
    assert channel.events()[1]["session"]["instructions"] == text
    assert length(str(channel.sent[1])) < MAX_SESSION + 200


@pytest.mark.parametrize("session", [f'{{"x": "{"y" * MAX_SESSION}"}}', '{"x": 1e999}'])
def test_a_session_that_cannot_be_is_refused_and_the_old_one_stays(session: str) -> None:
    echo, channel = EchoBackend("rtc_x"), Channel()
    echo.channel(channel)
    for each in ('{"a": 1}', session, "{}"):
        echo.message(channel, f'{{"type": "session.update", "session": {each}}}')
    assert [event["type"] for event in channel.events()] == [
        "session.created",
        "session.updated",
        "error",
        "session.updated",
    ]
    last = channel.events()[-1]["session"]
    assert (last["a"], "x" in last) == (1, False)


def test_what_the_client_does_not_take_is_told_where_events_are_read() -> None:
    echo, events, chat = EchoBackend("rtc_x"), Channel(longest=300), Channel("chat", longest=3)
    echo.channel(events)
    echo.channel(chat)
    echo.message(events, "x" * 301)
    echo.message(chat, "long")
    assert [event["type"] for event in events.events()] == ["session.created", "error"]
    assert chat.sent == []


def test_an_error_of_the_call_is_told_on_open_channels_of_events() -> None:
    echo, events, chat = EchoBackend("rtc_x"), Channel(), Channel("chat")
    echo.channel(events)
    echo.channel(chat)
    echo.error(None, "the call ends")
    echo.error(chat, "a text message must be UTF-8")
    assert [event["type"] for event in events.events()] == ["session.created", "error"]
    assert events.events()[1]["error"]["message"] == "the call ends"
    assert chat.sent == []
    echo.close()
    echo.error(None, "nobody listens")
    assert len(events.sent) == 2
