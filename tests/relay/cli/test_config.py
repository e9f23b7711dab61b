"""`icelane config`."""

import json
import os
from pathlib import Path

import pytest

from tests.relay.cli.commands import icelane, refused, unboxed


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all that the example names, and no settings of this machine."""
    for name in [each for each in os.environ if each.startswith("ICELANE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    assert icelane("keys", "new", "keys.toml").exit_code == 0
    Path("registry.toml").write_text(
        '[[relay]]\nvip = "203.0.113.10:3478"\n[[transceiver]]\ncluster = 1\nslot = 1\n'
        'generation = 1\naddress = "192.0.2.2:5000"\ncontrol = "http://192.0.2.2:9000"\n'
    )
    Path("a.toml").write_text(
        'redis = "redis://user:hidden@192.0.2.9/0"\n[relay]\nidle = 200\nmax-flows = 10\n'
    )
    return tmp_path


class TestCheck:
    def test_the_example_is_accepted(self) -> None:
        Path("example.toml").write_text(icelane("config", "example").stdout)
        result = icelane("config", "check", "--strict", "example.toml")
        assert result.stdout == (
            "example.toml: ok (settings of relay, transceiver, signaling, agent, up)\n"
        )
        assert result.exit_code == 0

    def test_what_is_wrong_ends_with_1(self) -> None:
        Path("b.toml").write_text("[agent]\ncapacity = 0\nlisten = 'x'\n")
        result = icelane("config", "check", "b.toml")
        assert result.exit_code == 1
        first, second, last = result.stdout.splitlines()
        assert (first[:9], second[:9]) == ("b.toml:3:", "b.toml:2:")
        assert last == "b.toml: 2 errors (settings of agent)"

    def test_warnings_count_if_one_is_strict(self) -> None:
        Path("b.toml").write_text("[up]\ninterface = 'eth0'\n")
        result = icelane("config", "check", "b.toml")
        assert result.stdout.splitlines() == [
            "b.toml:2: warning: [up] interface: has no effect: dataplane is userspace",
            "b.toml: 1 warning (settings of up)",
        ]
        assert result.exit_code == 0
        assert icelane("config", "check", "--strict", "b.toml").exit_code == 1

    def test_several_files_as_json(self) -> None:
        Path("b.toml").write_text("[agent]\ncapcity = 1\n")
        result = icelane("config", "check", "registry.toml", "b.toml", "--json")
        assert result.exit_code == 1
        registry, settings = json.loads(result.stdout)
        assert (registry["kind"], registry["errors"]) == ("registry", [])
        assert settings["errors"] == [
            {
                "file": "b.toml",
                "line": 2,
                "text": "[agent] unknown setting capcity: did you mean capacity?",
            }
        ]

    def test_an_unknown_section_is_a_usage_error(self) -> None:
        line = refused(icelane("config", "check", "a.toml", "--section", "realy"))
        assert line == "icelane: unknown section realy: did you mean relay?"


class TestExample:
    def test_one_section(self) -> None:
        text = icelane("config", "example", "agent").stdout
        assert "[agent]" in text
        assert "[relay]" not in text
        assert 'listen = "127.0.0.1:8090"' in text

    def test_an_unknown_one(self) -> None:
        assert "did you mean agent?" in refused(icelane("config", "example", "agnet"))


class TestShow:
    def rows(self, *arguments: str) -> dict[tuple[str, str], tuple[object, str, str | None]]:
        result = icelane("config", "show", *arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return {
            (row["section"], row["setting"]): (row["value"], row["source"], row["place"])
            for row in json.loads(result.stdout)
        }

    def test_each_value_says_where_it_comes_from(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ICELANE_RELAY_MAX_FLOWS", "20")
        monkeypatch.setenv("ICELANE_KEYS", "k")
        rows = self.rows("relay", "--config", "a.toml", "--ports", "1025-2000")
        assert rows["relay", "idle"] == (200, "file", "a.toml:3")
        assert rows["relay", "max-flows"][1:] == ("environment", "ICELANE_RELAY_MAX_FLOWS")
        assert rows["relay", "keys"] == ("k", "environment", "ICELANE_KEYS")
        assert rows["relay", "ports"] == ("1025-2000", "option", "--ports")
        assert rows["relay", "mode"] == ("auto", "default", None)
        assert rows["relay", "vip"] == (None, "missing", None)

    def test_secrets_are_masked(self) -> None:
        for arguments in (
            ["relay", "--config", "a.toml"],
            ["relay", "--config", "a.toml", "--json"],
        ):
            shown = icelane("config", "show", *arguments).stdout
            assert "hidden" not in shown
            assert "redis://...@192.0.2.9/0" in shown

    def test_without_a_section_those_of_the_file(self) -> None:
        assert {section for section, _ in self.rows("--config", "a.toml")} == {"relay"}
        assert {section for section, _ in self.rows()} == {
            *("relay", "transceiver", "signaling", "agent", "up")
        }

    def test_for_people(self) -> None:
        lines = icelane("config", "show", "relay", "--config", "a.toml").stdout.splitlines()
        assert lines[0] == "[relay]"
        told = {line.split()[0]: line.split()[1:] for line in lines[1:]}
        assert told["idle"] == ["a.toml:3", "200"]
        assert told["vip"] == ["missing", "-"]
        assert told["registry"] == ["default", "the", "registry", "in", "Redis"]

    def test_what_is_wrong_is_shown_and_told(self) -> None:
        result = icelane("config", "show", "relay", "--idle", "soon", "--config", "a.toml")
        assert result.exit_code == 2
        assert "--idle" in result.stdout
        assert result.stderr == "icelane: --idle: must be a number\n"

    def test_options_of_the_whole_stand_behind_a_section(self) -> None:
        line = refused(icelane("config", "show", "--json", "relay"))
        assert line == "icelane: write --config and --json behind the section"

    def test_a_section_has_the_options_of_its_service(self) -> None:
        shown = unboxed(icelane("config", "show", "transceiver", "--help").stdout)
        assert "--capacity NUMBER" in shown
