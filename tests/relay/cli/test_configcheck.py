"""Everything that is wrong with a file, with file, line and what was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from relay.cli.configcheck import check, kind_of, located
from relay.cli.tree import TREE
from relay.config.example import example
from tests.relay.cli.commands import icelane

Checked = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a key file and a registry."""
    monkeypatch.chdir(tmp_path)
    assert icelane("keys", "new", "keys.toml").exit_code == 0
    Path("registry.toml").write_text(
        '[[relay]]\nvip = "203.0.113.10:3478"\n[[transceiver]]\ncluster = 1\nslot = 1\n'
        'generation = 1\naddress = "192.0.2.2:5000"\ncontrol = "http://192.0.2.2:9000"\n'
    )
    return tmp_path


RELAY = """
[relay]
vip = "203.0.113.10:3478"
upstream = "192.0.2.1"
keys = "keys.toml"
registry = "registry.toml"
"""


def errors(text: str, *sections: str, **environment: str) -> list[str]:
    """The errors of a file with this text."""
    Path("a.toml").write_text(text)
    return check(Path("a.toml"), environment, sections).errors


def warnings(text: str) -> list[str]:
    Path("a.toml").write_text(text)
    report = check(Path("a.toml"), {})
    assert report.errors == []
    return report.warnings


@pytest.mark.usefixtures("folder")
class TestSettings:
    def test_the_example_is_accepted(self) -> None:
        assert warnings(example(TREE)) == []

    def test_all_mistakes_are_told_with_their_lines(self) -> None:
        text = (
            RELAY.replace('"203.0.113.10:3478"', '"x"')
            + 'prots = "1-2"\nidle = 5\n[agent]\nx = 1\n'
        )
        assert [each.partition(" or ")[0] for each in errors(text)] == [
            "a.toml:7: [relay] unknown setting prots: did you mean ports?",
            "a.toml:10: [agent] unknown setting x: known are capacity, listen, recogniser",
            "a.toml:3: [relay] vip: 'x' is not a transport address: write 203.0.113.10:3478",
            "a.toml:8: [relay] idle: must be at least 120.0",
        ]

    def test_what_is_missing_is_told_with_its_section(self) -> None:
        (only,) = errors(RELAY.replace("keys =", "#"))
        assert only.startswith("a.toml: [relay] the setting keys is missing: the key file; `icel")

    def test_what_does_not_go_together_is_told_in_the_words_of_a_file(self) -> None:
        (only,) = errors(RELAY + "max-flows = 100000\n")
        assert only == (
            "a.toml: [relay] 20,000 upstream ports have no room for 100,000 flows: ask for fewer "
            "with `max-flows`, or leave it away, or for more ports with `ports`, or for another "
            "address with `upstream`"
        )

    def test_the_environment_counts(self) -> None:
        text = RELAY.replace("keys =", "#")
        assert errors(text, ICELANE_KEYS="keys.toml") == []
        assert "ICELANE_RELAY_IDLE: must be a number" in errors(RELAY, ICELANE_RELAY_IDLE="soon")

    def test_a_file_without_sections_is_of_the_service_that_it_is_enough_for(self) -> None:
        text = RELAY.replace("[relay]", "")
        Path("a.toml").write_text(text)
        assert check(Path("a.toml"), {}).sections == ["relay"]

    def test_of_an_unknown_service_values_are_looked_at(self) -> None:
        assert errors('keys = "keys.toml"\nidle = 5\n') == [
            "a.toml:2: idle: must be at least 120.0"
        ]

    def test_a_service_that_must_be_there(self) -> None:
        told = errors(RELAY, "relay", "transceiver")
        assert {each.split(" is missing")[0] for each in told} == {
            f"a.toml: [transceiver] the setting {name}" for name in ("listen", "control", "keys")
        }

    @pytest.mark.parametrize("section", ["relay", "transceiver", "signaling"])
    @pytest.mark.parametrize(
        "url",
        [
            *("redis+sentinel://h:1", "redis+sentinel://h:1/m/xx", "redis://h/0?foo=bar"),
            *("redis://h?socket_timeout=abc", "redis+cluster://", "redis://h/notadb"),
        ],
    )
    def test_no_service_starts_with_a_url_of_redis_that_is_none(
        self, section: str, url: str
    ) -> None:
        told = errors(f"[{section}]\nredis = '{url}'\n")
        start = f"a.toml:2: [{section}] redis: '{url.partition('?')[0]}' "
        assert len([each for each in told if each.startswith(start)]) == 1

    def test_one_key_for_all_services(self) -> None:
        text = 'keys = "keys.toml"\n' + RELAY.replace("keys =", "#")
        assert errors(text) == []


@pytest.mark.usefixtures("folder")
class TestFilesThatAreNamed:
    def test_those_that_are_not_there_are_warned_of(self) -> None:
        Path("keys.toml").unlink()
        assert warnings(RELAY) == ["a.toml:5: [relay] keys: keys.toml is not there"]

    def test_a_key_file_that_others_can_read(self) -> None:
        Path("keys.toml").chmod(0o644)
        (only,) = errors(RELAY)
        assert only.endswith("others can read key file keys.toml (mode 0644): chmod 600 keys.toml")

    def test_mistakes_in_them_have_lines_of_their_own(self) -> None:
        with Path("registry.toml").open("a") as file:
            file.write("reigon = 'eu'\n[[cluster]]\nnumber = 2\n")
        assert errors(RELAY) == [
            'registry registry.toml:10: cluster 1: vip = "IP:PORT" is missing',
            "registry registry.toml:9: transceiver 1: unknown key reigon: did you mean region?",
        ]

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("keys-file", "[[key]]\n", "API keys"),
            ("secret-file", "short", "of at least 32 characters"),
            ("regions", "spil = 1", "regions f:1: unknown key spil: did you mean spill?"),
        ],
    )
    def test_those_of_signaling(self, name: str, content: str, says: str) -> None:
        Path("f").write_text(content)
        Path("f").chmod(0o600)
        text = f'[signaling]\nlisten = "127.0.0.1:80"\nregistry = "registry.toml"\n{name} = "f"\n'
        (only,) = errors(text)
        assert says in only

    def test_those_of_a_transceiver(self) -> None:
        Path("b.toml").write_text("[[backend]]\nname = 'x'\nurl = 'http://x'\n")
        text = (
            '[transceiver]\nlisten = "192.0.2.2:5000"\ncontrol = "192.0.2.2:9000"\n'
            'keys = "keys.toml"\nbackends = "b.toml"\nwebhook = "https://example.net"\n'
        )
        table, webhook = errors(text)
        assert table.startswith("table of back ends b.toml:3: back end x: the URL of a back end")
        assert webhook.startswith("a.toml: [transceiver] webhook needs a secret that signs")

    def test_who_may_call_by_oversight(self) -> None:
        text = '[signaling]\nlisten = "0.0.0.0:80"\nregistry = "registry.toml"\n'
        assert "everybody who reaches 0.0.0.0:80 could call" in errors(text)[0]
        assert (
            "there are two certificates"
            in errors(
                f'{text}open = true\ntls-self-signed = true\ntls-cert = "keys.toml"\n'
                'tls-key = "keys.toml"\n'
            )[0]
        )

    def test_up(self) -> None:
        (only,) = errors('[up]\ndataplane = "xdp"\n')
        assert only == (
            "a.toml: [up] the XDP dataplane needs the public interface: name it with `interface`"
        )


@pytest.mark.usefixtures("folder")
class TestOtherFiles:
    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("[[transceiver]]\nslto = 1\n", "registry"),
            ("[[backend]]\n", "back ends"),
            ("[next]\neu = 5\n", "regions"),
            ("signing = 0\n[kyes]\n", "keys"),
            ("[[key]]\n", "API keys"),
        ],
    )
    def test_each_kind_is_told_by_its_tables(self, text: str, kind: str) -> None:
        Path("a.toml").write_text(text)
        Path("a.toml").chmod(0o600)
        report = check(Path("a.toml"), {})
        assert report.kind == kind
        assert report.errors

    def test_those_that_are_right(self) -> None:
        for name, kind in (("registry.toml", "registry"), ("keys.toml", "keys")):
            report = check(Path(name), {})
            assert (report.kind, report.errors) == (kind, [])

    def test_a_registry_and_a_section_are_not_the_same(self) -> None:
        assert kind_of({"relay": {}}) == "settings"
        assert kind_of({"relay": [{}]}) == "registry"

    @pytest.mark.parametrize("content", [None, "a = ", "a = 1\na = 2\n"])
    def test_what_cannot_be_read(self, content: str | None) -> None:
        if content is not None:
            Path("a.toml").write_text(content)
        report = check(Path("a.toml"), {})
        (only,) = report.errors
        assert "a.toml" in only


@pytest.mark.usefixtures("folder")
def test_contradictions_are_warned_of_at_their_line() -> None:
    rate, mode = warnings(RELAY + "setup-rate = 100\nmode = 'native'\n")
    assert rate.startswith("a.toml: [relay] setup-rate-per-prefix: 5000 is never reached")
    assert mode == "a.toml:8: [relay] mode: has no effect: interface is not set"


@pytest.mark.parametrize(
    ("problem", "place", "text"),
    [
        ("registry a/b.toml:7: relay 1: vip", ("a/b.toml", 7), "relay 1: vip"),
        ("my conf/b.toml:7: [relay] idle: 5", ("my conf/b.toml", 7), "[relay] idle: 5"),
        ("registry my conf/b.toml:7: relay 1", ("my conf/b.toml", 7), "relay 1"),
        ("a: 3: b.toml:9: [relay] x", ("a: 3: b.toml", 9), "[relay] x"),
        ("a/b.toml: [relay] keys is missing", ("a/b.toml", None), "[relay] keys is missing"),
        ("cannot read registry a/b.toml: No", (None, None), "cannot read registry a/b.toml: No"),
        ("ICELANE_IDLE: must be a number", (None, None), "ICELANE_IDLE: must be a number"),
    ],
)
def test_a_problem_is_taken_apart_for_programs(
    problem: str, place: tuple[str | None, int | None], text: str
) -> None:
    files = map(Path, ["conf/b.toml", "a/b.toml", "my conf/b.toml", "a: 3: b.toml", "b.toml"])
    found = located(problem, files)
    assert ((found.file, found.line), found.text) == (place, text)


@pytest.mark.parametrize("name", ["my conf", "a: 3: b", "x--keys"])
def test_a_directory_may_have_any_name(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    for each in ("keys.toml", "registry.toml"):
        (folder / each).rename(Path(name, each))
    with Path(name, "registry.toml").open("a") as registry:
        registry.write("reigon = 'eu'\n")
    Path(name, "a.toml").write_text(RELAY + "edge-keys = 'none.toml'\nmode = 'native'\n")
    told = check(Path(name, "a.toml"), {}).as_json()
    assert [(each["file"], each["line"]) for each in told["errors"]] == [
        (f"{name}/registry.toml", 9)
    ]
    assert [(each["file"], each["line"]) for each in told["warnings"]] == [
        (f"{name}/a.toml", 7),
        (f"{name}/a.toml", 8),
    ]
    printed = icelane("config", "check", f"{name}/a.toml").stdout
    assert f"{name}/a.toml:8: warning: [relay] mode: has no effect" in printed


def test_options_are_settings_in_the_words_of_a_file_and_paths_stay(folder: Path) -> None:
    text = (folder / "registry.toml").read_text().replace("192.0.2.2:5000", "127.0.0.1:5000")
    (folder / "x--keys.toml").write_text(text)
    (only,) = errors(RELAY.replace('"registry.toml"', '"x--keys.toml"'))
    assert only.startswith("registry x--keys.toml:7: transceiver 1: 127.0.0.1:5000 is on the loop")
    assert "say so with allow 127.0.0.0/8" in only
