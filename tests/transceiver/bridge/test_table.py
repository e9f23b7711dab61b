"""The table of back ends: what an operator writes, and what is said when it is wrong."""

import base64
from pathlib import Path
from typing import Any

import pytest

from relay.errors import ConfigError
from transceiver.bridge.table import Auth, Service, Table
from transceiver.errors import ModelError

OPENAI = """
[[backend]]
name = "openai"
url = "wss://api.example/v1/realtime"
key-env = "KEY"
models = ["gpt-realtime", "gpt-realtime-mini"]
voice = "marin"
principals = ["alice"]
"""
LOCAL = """
[[backend]]
name = "local"
url = "ws://127.0.0.1:8765/v1/realtime?x=1"
"""


def table(tmp_path: Path, text: str, **environment: str) -> Table:
    file = tmp_path / "backends.toml"
    file.write_text(text)
    return Table.load(file, environment)


def test_a_table_is_read(tmp_path: Path) -> None:
    found = table(tmp_path, OPENAI + LOCAL + '[[backend]]\nname = "e"\nurl = "echo"\n', KEY="sk-1")
    assert found.services == (
        Service(
            *("openai", "wss://api.example/v1/realtime", "sk-1", Auth.BEARER),
            *(("gpt-realtime", "gpt-realtime-mini"), "marin", ("alice",)),
        ),
        Service("local", "ws://127.0.0.1:8765/v1/realtime?x=1"),
        Service("e", None),
    )
    assert "sk-1" not in repr(found)


@pytest.mark.parametrize(
    ("auth", "headers", "query"),
    [
        ("bearer", {"Authorization": "Bearer sk-1"}, ""),
        ("api-key", {"api-key": "sk-1"}, ""),
        ("query", {}, "&key=sk-1"),
    ],
)
def test_a_key_is_told_as_the_service_wants_it(
    tmp_path: Path, auth: str, headers: dict[str, str], query: str
) -> None:
    key = tmp_path / "secret"
    key.write_text("sk-1\n")
    key.chmod(0o600)
    text = f'{LOCAL}key-file = "secret"\nauth = "{auth}"\nmodels = ["m"]\n'
    (service,) = table(tmp_path, text).services
    assert service.headers() == headers
    assert service.address("m") == f"ws://127.0.0.1:8765/v1/realtime?x=1&model=m{query}"


def test_the_model_is_in_the_address_unless_it_is_there_already() -> None:
    plain, fixed = Service("a", "ws://h/p"), Service("a", "wss://h/p?model=x")
    assert plain.address(None) == "ws://h/p"
    assert plain.address("a b") == "ws://h/p?model=a+b"
    assert fixed.address("m") == "wss://h/p?model=x"
    several = Service("a", "ws://h/p", models=("m", "n"))
    assert [several.address(each) for each in ("n", "a", None)] == [
        *("ws://h/p?model=n", "ws://h/p?model=m", "ws://h/p?model=m")
    ]


def test_a_transcription_is_an_intent_and_needs_no_model() -> None:
    several = Service("a", "ws://h/p", models=("m", "n"))
    assert several.address(None, transcribes=True) == "ws://h/p?intent=transcription"
    assert several.address("n", transcribes=True) == "ws://h/p?model=n&intent=transcription"
    fixed = Service("a", "ws://h/p?intent=x")
    assert fixed.address(None, transcribes=True) == "ws://h/p?intent=x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write [[backend]] above the settings of each back end"),
        ("[backends]\n", "unknown table backends: did you mean backend?"),
        ("backend = 1\n", "write [[backend]]"),
        ("[[backend]]\n", "back end 1: name is missing"),
        ('[[backend]]\nname = "a"\n', "back end a: url is missing"),
        (LOCAL.replace("ws:", "http:"), "the URL of a back end is ws://HOST... or wss://HOST..."),
        (LOCAL.replace("127.0.0.1:8765", "[::1"), "the URL of a back end is"),
        (LOCAL + 'modles = ["x"]', "back end local: unknown key modles: did you mean models?"),
        (LOCAL + 'models = "x"', "back end local: models must be a list of texts"),
        (LOCAL + "voice = 1", "back end local: voice must be a text"),
        (LOCAL + 'auth = "basic"', "auth 'basic' is none of bearer, api-key, query"),
        (LOCAL + 'key-env = "NOKEY"', "back end local: the environment has no NOKEY"),
        (LOCAL + 'key-env = "BAD"', "back end local: its key is no key: one word of ASCII"),
        (LOCAL + 'key-file = "missing"', "No such file or directory; write the key into it"),
        (LOCAL + 'key-file = "a"\nkey-env = "KEY"', "give key-file or key-env, not both"),
        (LOCAL + LOCAL, "two back ends are called local"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table(tmp_path, text, KEY="sk-1", BAD="two words")
    assert says in str(caught.value)
    assert "backends.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        ("sk-1", 0o604, "can be read by everybody: chmod 600"),
        ("\n", 0o600, "is empty"),
        (b"\xff", 0o600, "is not text"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named_and_its_key_is_not(
    tmp_path: Path, content: Any, mode: int, says: str
) -> None:
    key = tmp_path / "secret"
    key.write_bytes(content if isinstance(content, bytes) else content.encode())
    key.chmod(mode)
    with pytest.raises(ConfigError, match=says) as caught:
        table(tmp_path, LOCAL + 'key-file = "secret"')
    assert "sk-1" not in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        table(tmp_path, LOCAL + "voice = 1\nmodels = 2\n[[backend]]\n")
    assert len(caught.value.problems) == 4


def test_who_answers_is_chosen_by_model_and_principal(tmp_path: Path) -> None:
    found = table(tmp_path, OPENAI + LOCAL, KEY="k")
    assert found.choose("gpt-realtime-mini", "alice").name == "openai"
    assert found.choose("openai", "alice").name == "openai"
    assert found.choose(None, "alice").name == "openai"
    assert found.choose(None, "bob").name == "local"
    assert found.choose("local", "alice").name == "local"
    assert found.choose("anything", "alice").name == "local", "it takes any model"
    assert found.choose("gpt-realtime", "bob").name == "local"
    assert list(found.models("alice")) == [
        *(("gpt-realtime", "openai"), ("gpt-realtime-mini", "openai"), ("local", "local"))
    ]
    assert list(found.models(None)) == [("local", "local")]


def test_a_model_that_nobody_has_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    found = table(tmp_path, OPENAI, KEY="k")
    with pytest.raises(ModelError, match="no model 'gpt-5' here: known are gpt-realtime, gpt"):
        found.choose("gpt-5", "alice")
    with pytest.raises(ModelError, match="no back end that you may use"):
        found.choose("gpt-realtime", "bob")
    with pytest.raises(ModelError, match="no back end that you may use"):
        found.choose(None, None)


def test_the_operator_chooses_who_answers_those_that_ask_for_none(tmp_path: Path) -> None:
    file = tmp_path / "backends.toml"
    file.write_text(OPENAI + LOCAL)
    of = {"KEY": "k"}
    assert Table.of(None, None, {}).choose(None, None) == Service("echo", None)
    assert Table.of("echo", None, {}).choose("gpt-realtime", None).url is None
    there = "wss://user:secret@h:8/p"
    assert Table.of(there, None, {}).choose("x", None) == Service("h:8", there)
    assert Table.of(None, file, of).choose(None, "alice").name == "openai"
    assert Table.of("local", file, of).choose(None, "alice").name == "local"
    assert Table.of("echo", file, of).choose(None, "alice").name == "echo"
    assert Table.of("echo", file, of).choose("gpt-realtime", "alice").name == "openai"


@pytest.mark.parametrize("choice", ["opnai", "http://h", "ws://", "wss://h:x/"])
def test_a_choice_that_is_none_is_named(tmp_path: Path, choice: str) -> None:
    file = tmp_path / "backends.toml"
    file.write_text(OPENAI)
    with pytest.raises(ConfigError, match=r"--backend: .*wss://"):
        Table.of(choice, file, {"KEY": "k"})


def test_user_name_and_password_of_a_url_are_a_header(tmp_path: Path) -> None:
    (service,) = table(
        tmp_path, '[[backend]]\nname = "a"\nurl = "wss://us%40er:p%3Aw@api.example/v1?x=1"\n'
    ).services
    assert service.address("m") == "wss://api.example/v1?x=1&model=m"
    told = base64.b64encode(b"us@er:p:w").decode()
    assert service.headers() == {"Authorization": f"Basic {told}"}
    assert "p%3Aw" not in repr(service)
    assert "p:w" not in repr(service)


def test_a_url_has_user_name_and_password_or_a_key(tmp_path: Path) -> None:
    url = '[[backend]]\nname = "a"\nkey-env = "KEY"\nurl = "wss://user:secret@api.example/"\n'
    with pytest.raises(ConfigError, match="give one of them") as raised:
        table(tmp_path, url, KEY="sk-1")
    assert "secret" not in str(raised.value)
    (service,) = table(tmp_path, url + 'auth = "api-key"\n', KEY="sk-1").services
    assert set(service.headers()) == {"Authorization", "api-key"}


def test_a_chosen_url_with_a_password_is_called_by_its_host() -> None:
    chosen = Table.of("wss://user:secret@api.example:99/v1", None, {})
    assert chosen.services[0].name == "api.example:99"
    assert "secret" not in repr(chosen)
