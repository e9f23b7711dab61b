"""`icelane keys api`."""

import json
from pathlib import Path

import pytest

from signaling.auth.privatefiles import load_api_keys
from tests.relay.cli.commands import icelane, refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def made(file: Path, name: str, *options: str) -> str:
    result = icelane("keys", "api", "new", name, "--keys-file", file, *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def test_a_key_is_shown_once_and_works(file: Path) -> None:
    result = icelane("keys", "api", "new", "alice", "--keys-file", file)
    assert "of alice. Keep it: it is not shown again" in result.stderr
    found = load_api_keys(file).find(result.stdout.strip())
    assert found is not None
    assert found.name == "alice"
    listed = icelane("keys", "api", "list", "--keys-file", file)
    assert "alice" in listed.stdout
    assert result.stdout.strip() not in listed.stdout + file.read_text()


def test_what_a_key_may_do(file: Path) -> None:
    options = ["--days", "30", "--model", "a", "--model", "b", "--calls", "3"]
    options += ["--setups-per-second", "0.5", "--requests-per-second", "20"]
    made(file, "alice", *options)
    (row,) = json.loads(icelane("keys", "api", "list", "--keys-file", file, "--json").stdout)
    assert row["expires"][:4].isdigit()
    assert row | {"created": "", "expires": ""} == {
        "name": "alice",
        "created": "",
        "expires": "",
        "expired": False,
        "models": ["a", "b"],
        "calls": 3,
        "setups_per_second": 0.5,
        "requests_per_second": 20,
    }


def test_json_has_the_key(file: Path) -> None:
    told = json.loads(made(file, "alice", "--json"))
    assert told["name"] == "alice"
    assert load_api_keys(file).find(told["key"])


def test_a_key_that_is_revoked_is_gone(file: Path) -> None:
    made(file, "alice")
    made(file, "bob")
    assert "revoked alice" in icelane("keys", "api", "revoke", "alice", "--keys-file", file).stdout
    assert [each.name for each in load_api_keys(file)] == ["bob"]
    told = icelane("keys", "api", "revoke", "bob", "--keys-file", file, "--json").stdout
    assert json.loads(told) == {"name": "bob", "revoked": True}
    listed = icelane("keys", "api", "list", "--keys-file", file)
    assert "has no keys: make one with `icelane keys api new`" in listed.stdout
    assert icelane("keys", "api", "list", "--keys-file", file, "--json").stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("new", "alice"), "there is a key alice: revoke it first"),
        (("new", "a b"), "is no name"),
        (("revoke", "bob"), "there is no key bob"),
    ],
)
def test_what_cannot_be_is_explained(file: Path, arguments: tuple[str, ...], reason: str) -> None:
    made(file, "alice")
    assert reason in refused(icelane("keys", "api", *arguments, "--keys-file", file))


def test_a_file_that_cannot_be_used_is_explained(file: Path, tmp_path: Path) -> None:
    for command in (("list",), ("revoke", "alice")):
        line = refused(icelane("keys", "api", *command, "--keys-file", file))
        assert "No such file or directory; make one with `icelane keys api new`" in line
        assert not file.exists()
    made(file, "alice")
    file.chmod(0o644)
    line = refused(icelane("keys", "api", "new", "bob", "--keys-file", file))
    assert "chmod 600" in line
    line = refused(icelane("keys", "api", "new", "bob", "--keys-file", tmp_path / "no" / "k"))
    assert "make its directory first" in line


def test_the_environment_names_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICELANE_KEYS_FILE", str(file))
    assert icelane("keys", "api", "new", "alice").exit_code == 0
    assert len(load_api_keys(file)) == 1
