"""Settings from a file, the environment and options, in rising weight; all mistakes at once."""

from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from relay.config.fields import FilePath, Names, Number, WholeNumber, setting
from relay.config.settings import Settings, Tree
from relay.errors import ConfigError


class Server(Settings):
    section: ClassVar[str] = "server"

    keys: FilePath = setting(help="the key file", metavar="FILE")
    workers: Annotated[WholeNumber, Field(ge=1, le=64)] = setting(1, help="how many")
    table: FilePath | None = setting(None, help="a file that may be missing")
    idle: Number = setting(5.0, help="seconds")
    interface: Names = setting((), help="interfaces")
    force: bool = setting(False, help="by force")


class Client(Settings):
    section: ClassVar[str] = "client"

    keys: FilePath = setting(help="the key file", metavar="FILE")
    spare: FilePath | None = setting(None, help="another one", metavar="FILE", shown="none")
    seconds: WholeNumber = setting(10, help="how long")


TREE: Tree = {"server": Server, "client": Client}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "icelane.toml"


def mistakes(file: Path, text: str, **options: object) -> list[str]:
    """What is said of a file, without the file's name: the line comes first."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Server.load({"keys": None} | options, tree=TREE, file=file)
    return [each.removeprefix(f"{file}:") for each in caught.value.problems]


def test_options_outweigh_the_environment_and_that_outweighs_the_file(file: Path) -> None:
    file.write_text("keys = '/a'\n[server]\nworkers = 2\nidle = 6\nforce = true\n")
    environment = {"ICELANE_SERVER_WORKERS": "3", "ICELANE_SERVER_IDLE": "7"}
    settings = Server.load({"workers": "4"}, tree=TREE, file=file, environment=environment)
    assert (settings.workers, settings.idle, settings.force) == (4, 7.0, True)
    assert settings.interface == ()


def test_a_file_for_one_service_needs_no_section(file: Path) -> None:
    file.write_text("keys = '/a'\nworkers = 2\n")
    assert Server.load({}, tree=TREE, file=file).workers == 2
    # The same file serves another command, which has no use for workers.
    assert Client.load({}, tree=TREE, file=file).keys == Path("/a")


def test_a_section_outweighs_what_holds_for_all(file: Path) -> None:
    file.write_text("keys = '/a'\n[server]\nkeys = '/b'\n[client]\nseconds = 3\n")
    assert Server.load({}, tree=TREE, file=file).keys == Path("/b")
    assert Client.load({}, tree=TREE, file=file).keys == Path("/a")


def test_a_path_that_need_not_be_there_does_so_too(file: Path) -> None:
    file.write_text("keys = '/a'\nspare = 'sub/spare.toml'\n")
    assert Client.load({}, tree=TREE, file=file).spare == file.parent / "sub" / "spare.toml"


def test_a_path_in_a_file_starts_where_the_file_is(file: Path) -> None:
    file.write_text("keys = 'sub/keys.toml'\n")
    assert Server.load({}, tree=TREE, file=file).keys == file.parent / "sub" / "keys.toml"
    assert Server.load({"keys": "here"}, tree=TREE, file=file).keys == Path("here")
    file.write_text("keys = 'keys.toml'\ntable = 'table.toml'\n")
    assert Server.load({}, tree=TREE, file=file).table == file.parent / "table.toml"


def test_home_is_home_in_a_file_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    file.write_text("keys = '~/keys.toml'\n")
    assert Server.load({}, tree=TREE, file=file).keys == Path("/home/ann/keys.toml")


def test_a_list_of_the_environment_has_commas() -> None:
    environment = {"ICELANE_KEYS": "k", "ICELANE_SERVER_INTERFACE": "eth0,eth1"}
    assert Server.load({}, tree=TREE, environment=environment).interface == ("eth0", "eth1")


def test_a_variable_of_the_section_outweighs_one_for_all() -> None:
    environment = {"ICELANE_SERVER_KEYS": "mine", "ICELANE_KEYS": "all"}
    assert Server.load({}, tree=TREE, environment=environment).keys == Path("mine")


def test_dashes_and_underscores_are_the_same_in_a_file(file: Path) -> None:
    class Flows(Settings):
        section: ClassVar[str] = "flows"
        max_flows: WholeNumber = setting(1, help="how many")

    for text in ("max-flows = 5", "max_flows = 5"):
        file.write_text(text)
        assert Flows.load({}, tree={"flows": Flows}, file=file).max_flows == 5


def test_all_mistakes_are_told_at_once_each_with_its_place(file: Path) -> None:
    environment = {"ICELANE_SERVER_IDEL": "5", "ICELANE_SERVER_FORCE": "perhaps"}
    file.write_text("kyes = 'a'\n[server]\nworkers = 'many'\n[client]\nsecond = 3\n")
    with pytest.raises(ConfigError) as caught:
        Server.load({"keys": None, "idle": "soon"}, tree=TREE, file=file, environment=environment)
    assert caught.value.problems == (
        f"{file}:1: unknown setting kyes: did you mean keys?",
        f"{file}:5: [client] unknown setting second: did you mean seconds?",
        "unknown variable ICELANE_SERVER_IDEL: did you mean ICELANE_SERVER_IDLE?",
        "--keys FILE is missing: the key file",
        f"{file}:3: [server] workers: must be a whole number",
        "--idle: must be a number",
        "ICELANE_SERVER_FORCE: must be true or false",
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("workers = 0", "must be at least 1"),
        ("workers = 65", "must be at most 64"),
        ("workers = 1.5", "must be a whole number"),
        ("workers = true", "must be a number"),
        ("workers = [1]", "must be a whole number"),
        ("idle = 'x'", "must be a number"),
        ("idle = nan", "must be a number"),
        ("idle = inf", "must be a number"),
        ("force = 5", "must be true or false"),
        ("keys = 5", "must be a text"),
        ("keys = ''", "must be a text"),
        ("interface = [5]", "must be a text"),
    ],
)
def test_a_wrong_value_is_refused_in_words(file: Path, line: str, says: str) -> None:
    setting_name = line.split(" ", maxsplit=1)[0]
    head = "" if setting_name == "keys" else "keys = '/a'\n"
    assert mistakes(file, f"{head}[server]\n{line}\n") == [
        f"{3 if head else 2}: [server] {setting_name}: {says}"
    ]


def test_a_section_that_is_none_is_refused(file: Path) -> None:
    assert "1: write [server] above the settings of server" in mistakes(file, "server = 5")


def test_a_setting_that_a_command_cannot_give_is_named_without_an_option() -> None:
    with pytest.raises(ConfigError, match=r"^the setting keys is missing: the key file$"):
        Server.load({"workers": None}, tree=TREE)
