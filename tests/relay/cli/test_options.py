"""Options of a command, made from the settings of its section."""

import os
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner, Result

from relay.cli.errors import Commands
from relay.cli.main import app
from relay.cli.options import with_settings
from relay.cli.output import AsJson
from relay.cli.tree import TREE
from relay.config.conflict import option
from relay.config.settings import Settings
from relay.dataplane.kernel.config import Mode
from relay.run.settings import RelaySettings
from tests.relay.cli.commands import ICELANE, LIMIT, icelane, refused, unboxed
from transceiver.settings import TransceiverSettings

LEAST = ["--vip", "203.0.113.10:3478", "--upstream", "192.0.2.1", "--keys", "k", "--registry", "r"]
COMMANDS = {
    "relay": ("relay", "run"),
    "transceiver": ("transceiver", "run"),
    "signaling": ("signaling", "run"),
    "up": ("up",),
}


class Probe:
    """A command that keeps the settings that it is given."""

    def __init__(self, model: type[Settings], only: Collection[str] | None = None) -> None:
        self.given: list[tuple[Settings, bool]] = []
        self.app = typer.Typer(cls=Commands)

        @self.app.callback()
        def root() -> None:
            pass

        @self.app.command()
        @with_settings(model, only=only)
        def probe(settings: Settings, *, as_json: AsJson = False) -> None:
            self.given.append((settings, as_json))

    def run(self, *arguments: str | Path, **environment: str) -> Result:
        runner = CliRunner(env={"COLUMNS": "200"} | environment)
        return runner.invoke(self.app, ["probe", *map(str, arguments)])

    def settings(self, *arguments: str | Path, **environment: str) -> Settings:
        result = self.run(*arguments, **environment)
        assert result.exit_code == 0, result.stderr
        return self.given[-1][0]


@pytest.fixture
def relay_probe() -> Probe:
    return Probe(RelaySettings)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("ICELANE_")]:
        monkeypatch.delenv(name)


class TestHelp:
    @pytest.mark.parametrize("section", COMMANDS)
    def test_every_setting_of_a_section_is_an_option_with_its_help(self, section: str) -> None:
        shown = unboxed(icelane(*COMMANDS[section], "--help", columns=1000).stdout)
        for name, info in TREE[section].model_fields.items():
            assert f"{option(name)} " in shown
            assert info.description
            assert f"{info.description[1:]}." in shown

    @pytest.mark.parametrize("section", COMMANDS)
    def test_what_is_not_needed_has_a_default_that_is_shown(self, section: str) -> None:
        options = options_of(*COMMANDS[section])
        for name, info in TREE[section].model_fields.items():
            default = options[option(name)].show_default
            assert bool(default) is not (info.is_required() or info.annotation is bool), name

    def test_defaults_are_shown_as_people_write_them(self) -> None:
        options = options_of("relay", "run")
        shown = {name: options[name].show_default for name in ("--ports", "--mode", "--redis")}
        assert shown == {"--ports": "10000-29999", "--mode": "auto", "--redis": "none"}
        assert options_of("up")["--listen"].show_default == "127.0.0.1:8080"

    def test_an_enumeration_names_its_values(self) -> None:
        assert options_of("relay", "run")["--mode"].metavar == "native|generic|auto"
        assert options_of("up")["--dataplane"].metavar == "xdp|userspace|auto"


def options_of(*path: str) -> dict[str, Any]:
    """What typer makes of the options of a command, by name."""
    command: Any = get_command(app)
    for name in path:
        command = command.commands[name]
    return {each.opts[0]: each for each in command.params}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("relay run --dataplane ", ["xdp", "userspace", "auto"]),
        ("relay run --dataplane u", ["userspace"]),
        ("relay run --mode n", ["native"]),
        ("up --dataplane x", ["xdp"]),
    ],
)
def test_a_shell_completes_the_values_of_an_enumeration(typed: str, offered: list[str]) -> None:
    words = f"icelane {typed}"
    environment = {
        "_ICELANE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    ran = subprocess.run(
        [ICELANE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert ran.stdout.split() == offered


class TestValues:
    def test_an_option_may_come_several_times_where_there_may_be_several(
        self, relay_probe: Probe
    ) -> None:
        settings = relay_probe.settings(*LEAST, "--interface", "eth0", "--interface", "eth1")
        assert isinstance(settings, RelaySettings)
        assert settings.interface == ("eth0", "eth1")

    def test_an_enumeration_a_number_and_a_flag(self, relay_probe: Probe) -> None:
        settings = relay_probe.settings(*LEAST, "--mode", "generic", "--idle", "150", "--force")
        assert isinstance(settings, RelaySettings)
        assert (settings.mode, settings.idle, settings.force) == (Mode.GENERIC, 150.0, True)

    def test_a_command_keeps_options_of_its_own(self, relay_probe: Probe) -> None:
        relay_probe.settings(*LEAST)
        relay_probe.settings(*LEAST, "--json")
        assert [as_json for _, as_json in relay_probe.given] == [False, True]

    def test_a_wrong_value_is_named_by_its_option(self, relay_probe: Probe) -> None:
        line = refused(relay_probe.run(*LEAST, "--max-flows", "many"))
        assert line == "icelane: --max-flows: must be a whole number"

    def test_all_that_is_missing_is_told_at_once(self, relay_probe: Probe) -> None:
        result = relay_probe.run()
        assert (result.exit_code, result.stdout) == (2, "")
        first, *problems = result.stderr.splitlines()
        assert first == "icelane: 3 settings are wrong:"
        assert [each.split()[0] for each in problems] == [*("--vip", "--upstream", "--keys")]


class TestSources:
    """Options outweigh the environment, and that outweighs the file."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "icelane.toml"
        path.write_text(
            'listen = "127.0.0.1:5000"\ncontrol = "127.0.0.1:9000"\nkeys = "keys.toml"\n'
            "[transceiver]\nslot = 1\ngeneration = 1\ncapacity = 1\n"
        )
        return path

    def numbers(self, *arguments: str | Path, **environment: str) -> tuple[int | None, int, int]:
        settings = Probe(TransceiverSettings).settings(*arguments, **environment)
        assert isinstance(settings, TransceiverSettings)
        return settings.slot, settings.generation, settings.capacity

    def test_a_file_that_config_names(self, file: Path) -> None:
        assert self.numbers("--config", file) == (1, 1, 1)

    def test_a_file_that_the_environment_names(self, file: Path) -> None:
        assert self.numbers(ICELANE_CONFIG=str(file)) == (1, 1, 1)

    def test_config_outweighs_the_environments(self, file: Path) -> None:
        assert self.numbers("--config", file, ICELANE_CONFIG="/nowhere.toml") == (1, 1, 1)

    def test_a_file_that_is_not_there_is_named(self) -> None:
        line = refused(Probe(TransceiverSettings).run(ICELANE_CONFIG="/nowhere.toml"))
        assert "cannot read settings /nowhere.toml: No such file" in line

    def test_their_weight(self, file: Path) -> None:
        environment = {
            "ICELANE_CONFIG": str(file),
            "ICELANE_TRANSCEIVER_GENERATION": "2",
            "ICELANE_TRANSCEIVER_CAPACITY": "2",
        }
        assert self.numbers("--capacity", "3", **environment) == (1, 2, 3)


class TestConflicts:
    """What does not go together is told with options that the command has, and with no others."""

    def test_a_command_with_few_settings(self) -> None:
        line = refused(icelane("up", "--vip", "127.0.0.1:23478"))
        assert line.endswith("the upstream ports 10000-29999: choose another port in --vip")

    def test_a_command_with_all_of_them(self) -> None:
        arguments = [*LEAST, "--vip", "192.0.2.1:20000"]
        line = refused(icelane("relay", "run", *arguments))
        assert line.endswith(
            "choose another port in --vip, or move the upstream ports with --ports"
        )

    def test_a_command_without_the_setting_that_is_in_the_way(self, tmp_path: Path) -> None:
        file = tmp_path / "relay.toml"
        file.write_text('workers = 2\ndataplane = "xdp"\ninterface = "eth0"\n')
        line = refused(icelane("relay", "load", *LEAST, "--config", file))
        assert "several workers are for userspace" in line
        assert "--" not in line


class TestOnly:
    """A command that has options for some settings reads the others all the same."""

    @pytest.fixture
    def probe(self) -> Probe:
        return Probe(RelaySettings, only={"vip", "upstream", "keys", "registry"})

    def test_others_have_no_option(self, probe: Probe) -> None:
        result = probe.run(*LEAST, "--idle", "150")
        assert result.exit_code == 2
        assert result.stderr.startswith("icelane: no such option: --idle")

    def test_others_come_from_file_and_environment(self, probe: Probe, tmp_path: Path) -> None:
        (tmp_path / "relay.toml").write_text("idle = 150\n")
        settings = probe.settings(
            *LEAST, "--config", tmp_path / "relay.toml", ICELANE_RELAY_INSTANCE="blue"
        )
        assert isinstance(settings, RelaySettings)
        assert (settings.idle, settings.instance) == (150.0, "blue")


@pytest.mark.parametrize(
    ("section", "own", "shared"),
    [
        ("transceiver", "--listen", "--records"),
        ("signaling", "--registry", "--tls-cert"),
        ("up", "--vip", "--records"),
    ],
)
def test_the_options_of_a_service_come_before_those_that_it_shares(
    section: str, own: str, shared: str
) -> None:
    shown = icelane(*COMMANDS[section], "--help").stdout
    assert shown.index(own) < shown.index(shared)
