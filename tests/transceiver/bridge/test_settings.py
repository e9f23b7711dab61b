"""What a service is told again after its connection was lost."""

from transceiver.bridge.events import Fault
from transceiver.bridge.settings import MAX_SIZE, SessionSettings


def test_nothing_is_told_where_nothing_is_asked_for() -> None:
    assert SessionSettings({}).all() is None
    assert SessionSettings({"model": "gpt", "id": "x"}).all() is None


def test_the_default_voice_counts_less_than_the_clients() -> None:
    assert SessionSettings({}, "marin").all() == {
        "type": "realtime",
        "audio": {"output": {"voice": "marin"}},
    }
    mine = {"audio": {"output": {"voice": "cedar"}, "input": {"x": 1}}, "model": "gpt"}
    assert SessionSettings(mine, "marin").all() == {"type": "realtime", "audio": mine["audio"]}


def test_updates_add_up_and_those_that_were_refused_do_not() -> None:
    settings = SessionSettings({"instructions": "a", "audio": {"input": {"noise": None}}})
    settings.ask("1", {"instructions": "b", "audio": {"output": {"speed": 1.5}}})
    settings.ask("2", {"instructions": "bad"})
    settings.ask("", {"tools": [1]})
    settings.ask("", {"voice": "bad"})
    settings.refuse(Fault("invalid_value", "", "2"))
    settings.confirm()
    settings.confirm()
    settings.refuse(Fault("invalid_value", "", "", "item.content"))
    settings.refuse(Fault("invalid_value", "", "", "session.voice"))
    assert settings.all() == {
        "type": "realtime",
        "instructions": "b",
        "audio": {"input": {"noise": None}, "output": {"speed": 1.5}},
        "tools": [1],
    }


def test_what_a_service_never_confirms_counts() -> None:
    settings = SessionSettings({})
    for number in range(40):
        settings.ask("", {"speed": number})
    assert settings.all() == {"type": "realtime", "speed": 39}


def test_letters_that_are_no_ascii_count_as_their_bytes() -> None:
    said = {"instructions": "ж" * (MAX_SIZE // 2 - 100), "half": "\ud800"}
    assert SessionSettings(said).all() == {"type": "realtime", **said}


def test_what_would_be_too_large_is_not_remembered() -> None:
    settings = SessionSettings({"a": 1})
    settings.ask("", {"instructions": "x" * MAX_SIZE})
    settings.ask("", {"b": 2})
    assert settings.all() == {"type": "realtime", "a": 1, "b": 2}
