"""The `icelane` command as a whole: it explains itself, and ends in words, never in a traceback."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from relay.cli.main import app
from relay.config.privatefiles import write_private

ICELANE = Path(sys.executable).with_name("icelane")
KEYS = f'signing = 0\n[keys]\n0 = "{"00" * 32}"\n'
REGISTRY = """
[[transceiver]]
cluster = 1
slot = 1
generation = 1
address = "127.0.0.1:5000"
"""


def commands(group: TyperGroup, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, *path, name)


def installed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ICELANE, *arguments], check=False, capture_output=True, text=True, timeout=30
    )


def root() -> TyperGroup:
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    return command


COMMANDS = sorted(commands(root()))
LISTINGS = [
    *(("flows",), ("ufrag", "show"), ("maps", "list"), ("maps", "dump"), ("relay", "status")),
    ("keys", "api", "list"),
]


def test_the_commands_that_the_documentation_names_are_there() -> None:
    assert {path[0] for path in COMMANDS} >= {
        *(
            "up",
            "call",
            "calls",
            "relay",
            "transceiver",
            "signaling",
            "flows",
            "top",
            "maps",
            "keys",
        ),
        *("ufrag", "dataplane"),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        result = CliRunner().invoke(app, [*path, option])
        assert result.exit_code == 0
        assert f"Usage: icelane {' '.join(path)}" in result.stdout.replace("root", "icelane")


@pytest.mark.parametrize("path", LISTINGS, ids=" ".join)
def test_every_listing_can_be_had_as_json(path: tuple[str, ...]) -> None:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, [*path, "--help"])
    assert re.search(r"--json\b", result.stdout)


def test_the_installed_command_knows_its_version() -> None:
    ran = installed("--version")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"icelane {version('icelane')}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["nosuch"], ["flows", "--nosuch"], ["top", "--interval", "soon"], ["keys"]],
    ids=" ".join,
)
def test_a_usage_error_has_exit_code_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.output


RELAY = ["relay", "run", "--upstream", "127.0.0.1", "--keys", "keys.toml"]
RELAY += ["--registry", "registry.toml", "--dataplane", "userspace", "--admin", "admin.sock"]
VIP = ["--vip", "127.0.0.1:34781"]
TRANSCEIVER = ["transceiver", "run", "--control", "127.0.0.1:39000", "--keys", "keys.toml"]

WRONG = {
    "no settings": (["relay", "run"], "3 settings are wrong"),
    "no VIP": (RELAY, "--vip IP:PORT is missing"),
    "VIP is no address": ([*RELAY, "--vip", "x"], "vip: 'x' is not a transport address"),
    "VIP of another host": (
        [*RELAY, "--vip", "192.0.2.77:3478"],
        "192.0.2.77:3478: this host does not have that address",
    ),
    "no config file": (["relay", "run", "--config", "x"], "cannot read settings x: No such file"),
    "no key file": ([*RELAY, *VIP, "--keys", "x"], "make one with `icelane keys new`"),
    "key file is none": (
        [*RELAY, *VIP, "--keys", "no-keys.toml"],
        "key file no-keys.toml: a key file has",
    ),
    "no registry": ([*RELAY, *VIP, "--registry", "x"], "cannot read registry x: No such file"),
    "registry is none": (
        [*RELAY, *VIP, "--registry", "keys.toml"],
        "registry keys.toml:2: unknown table keys: known are cluster, relay, transceiver",
    ),
    "Redis is no URL": ([*RELAY, *VIP, "--redis", "x"], "write redis://HOST:PORT/DB"),
    "XDP without interface": (
        [*RELAY, *VIP, "--dataplane", "xdp"],
        "the XDP dataplane needs an interface: name it with --interface",
    ),
    "no such dataplane": ([*RELAY, *VIP, "--dataplane", "x"], "none of xdp, userspace, auto"),
    "admin path is a file": (
        [*RELAY, *VIP, "--admin", "keys.toml"],
        "keys.toml is a file of another kind; choose another with --admin",
    ),
    "metrics of another host": (
        [*RELAY, *VIP, "--metrics", "192.0.2.77:9100"],
        "cannot serve metrics at 192.0.2.77:9100",
    ),
    "up: VIP is no address": (["up", "--vip", "x"], "'x' is not a transport address"),
    "up: no such dataplane": (["up", "--dataplane", "x"], "none of xdp, userspace, auto"),
    "up: XDP without interface": (["up", "--dataplane", "xdp"], "name it with --interface"),
    "transceiver: no address": (
        [*TRANSCEIVER, "--listen", "x"],
        "--listen: 'x' is not a transport address",
    ),
    "transceiver: all addresses": ([*TRANSCEIVER, "--listen", "0.0.0.0:5000"], "name one address"),
    "transceiver: no key file": (
        [*TRANSCEIVER, "--listen", "127.0.0.1:5000", "--keys", "x"],
        "make one with `icelane keys new`",
    ),
}

# Settings that are right, and what this machine cannot do.
UNUSABLE = {
    "192.0.2.77:3478: this host does not have that address",
    "keys.toml is a file of another kind; choose another with --admin",
    "cannot serve metrics at 192.0.2.77:9100",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a key file and a registry."""
    monkeypatch.chdir(tmp_path)
    write_private(Path("keys.toml"), KEYS.encode())
    write_private(Path("no-keys.toml"), REGISTRY.encode())
    Path("registry.toml").write_text(REGISTRY)
    return tmp_path


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_setting_ends_in_one_clear_line(
    folder: Path, arguments: list[str], says: str
) -> None:
    ran = installed(*arguments)
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    said = [each for each in ran.stderr.splitlines() if " WARNING relay." not in each]
    assert said[0].startswith("icelane: ")
    assert all(each.startswith("  ") for each in said[1:])
    assert says in "\n".join(said)
    assert ran.returncode == (1 if says in UNUSABLE else 2)
    assert (folder / "keys.toml").read_text() == KEYS


@pytest.mark.usefixtures("folder")
def test_a_taken_address_ends_in_one_clear_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        vip = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = installed(*RELAY, "--vip", vip)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert vip in line


@pytest.mark.usefixtures("folder")
def test_a_relay_runs_no_module_of_the_directory_that_it_was_started_in() -> None:
    Path("json.py").write_text("raise SystemExit('not the real one')")
    ran = installed(*RELAY, "--vip", "x")
    assert ran.stderr.startswith("icelane: --vip: 'x' is not a transport address")
