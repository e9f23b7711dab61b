"""What holds for each command: output wherever it leads, no traceback, JSON, secret files.

The commands are run by forks of one process that has imported them: each is the real command line,
with real descriptors.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from relay.cli.main import app
from tests.relay.cli.commands import ICELANE, LIMIT, icelane, refused
from tests.relay.cli.conftest import Serving
from tests.relay.cli.test_command import LEAVES

# They serve until they are told to end.
SERVICES = {("up",), *((name, "run") for name in ("relay", "transceiver", "signaling", "agent"))}
UFRAG = "AAABAAABAQ6f/08fnxWV8mtd6amU"
# Of whom nothing is listed, but one thing is done.
NO_LISTING = SERVICES | {("top",), ("config", "example")}

# Run each line of arguments in a fork, whose output leads where the first argument says.
RUNNER = """
import os, shlex, sys
import asyncio, typer.main
import aiohttp, rich.live, rich.table
import relay.admin.snapshot, relay.admin.transport, relay.caller.call
import relay.dataplane.xdp, relay.doctor.examine
from relay.cli import main
root = typer.main.get_command(main.app)
for name in root.commands:  # so that forks have it all
    root.commands[name]
where, encoding = sys.argv[1:3]
for line in sys.stdin.read().splitlines():
    reading, writing = os.pipe()
    if pid := os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read().decode(errors="replace")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(line, status, repr(said), sep="\\t", file=sys.stderr, flush=True)
        continue
    os.dup2(writing, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if where == "closed":
        os.close(1)
        sys.stdout = None
    else:
        if where == "reader gone":
            gone, target = os.pipe()
            os.close(gone)
        else:
            target = os.open(where, os.O_WRONLY)
        os.dup2(target, 1)
        sys.stdout = open(1, "w", encoding=encoding, closefd=False)
    sys.stderr = open(2, "w", encoding=encoding, closefd=False)
    sys.argv = ["icelane", *shlex.split(line)]
    status = 70
    try:
        main.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        try:
            sys.stderr.flush()
        finally:
            os._exit(status or 0)
"""


@pytest.fixture(scope="module")
def lines(serving: Serving, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Command lines: the help of each, each without arguments, and those that print something."""
    folder = tmp_path_factory.mktemp("files")
    keys, settings = folder / "keys.toml", folder / "a.toml"
    assert icelane("keys", "new", keys).exit_code == 0
    settings.write_text("[agent]\ncapacity = 5\n")
    api = f"--keys-file {folder / 'api.toml'}"
    admin = f"--admin {serving.admin}"
    printing = [
        *("--version", f"config check {settings}", "config example", "config show"),
        *(f"keys new {folder / '{}'}.toml", f"keys list {keys}", f"keys list {keys} --json"),
        *(f"keys add {keys}", f"keys rotate {keys}"),
        *(f"keys export {keys} {folder / 'out.toml'} --for relay", f"keys check {keys} {admin}"),
        *(f"keys api new name{{}} {api}", f"keys api list {api}"),
        *(
            f"ufrag mint --keys {keys}",
            f"ufrag show {UFRAG}",
            f"ufrag verify {UFRAG} --keys {keys}",
        ),
        *(f"flows {admin}", f"flows {admin} --json", f"top --count 1 {admin}"),
        *(f"dataplane switch userspace {admin}", f"relay drain {admin}"),
        *(f"relay drain --end {admin}", "relay status", "relay status --json", "doctor"),
        *("relay unload --instance nosuch", "maps list --instance nosuch"),
        *(f"calls list {admin}", "call http://127.0.0.1:1 --seconds 1"),
    ]
    names = [" ".join(path) for path in LEAVES]
    alone = [" ".join(path) for path in LEAVES if path not in SERVICES | {("doctor",), ("top",)}]
    harmless = [
        each for each in alone if each not in ("relay unload", "relay build", "relay drain")
    ]
    return [*(f"{name} --help" for name in ["", *names]), *harmless, *printing]


def ran(where: str, lines: list[str], encoding: str = "utf-8") -> Iterator[tuple[str, int, str]]:
    """Each command line with its exit code and what it said on standard error."""
    told = "\n".join(line.replace("{}", re.sub(r"\W", "", where) + encoding) for line in lines)
    process = subprocess.run(
        [sys.executable, "-c", RUNNER, where, encoding],
        input=told,
        capture_output=True,
        text=True,
        timeout=8 * LIMIT,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("ICELANE")},
    )
    for each in process.stderr.splitlines():
        line, status, said = each.split("\t")
        yield line, int(status), said


FULL = "Standard output cannot be written (No space left on device): send it elsewhere."


@pytest.mark.parametrize(
    ("where", "encoding"),
    [
        ("/dev/full", "utf-8"),
        ("closed", "utf-8"),
        ("reader gone", "utf-8"),
        ("/dev/null", "ascii"),
    ],
)
def test_output_may_lead_anywhere(lines: list[str], where: str, encoding: str) -> None:
    helps = [line for line in lines if line.endswith("--help")]
    if where in ("closed", "reader gone"):  # a help is printed in one way: a few will do
        lines = [*helps[::8], *(line for line in lines if line not in helps)]
    results = list(ran(where, lines, encoding))
    assert len(results) == len(lines)
    assert [each for each in results if "Traceback" in each[2] or each[1] == 70] == []
    codes = {line: status for line, status, _ in results}
    # A call has codes of its own.
    assert {status for line, status in codes.items() if not line.startswith("call ")} <= {
        0,
        1,
        2,
        141,
    }
    said = {line: text for line, _, text in results}
    printed = [line for line in codes if line.endswith("--help")]
    if where == "/dev/full":
        assert {codes[line] for line in printed} == {1}
        assert all(FULL in said[line] for line in printed)
    elif where == "reader gone":
        assert {(codes[line], said[line]) for line in printed} == {(141, "''")}
    else:
        assert {(codes[line], said[line]) for line in printed} == {(0, "''")}


@pytest.mark.parametrize("path", [each for each in LEAVES if each not in NO_LISTING], ids=" ".join)
def test_what_a_command_prints_can_be_had_as_json(path: tuple[str, ...]) -> None:
    assert any("--json" in each.opts for each in LEAVES[path].params)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_an_unknown_option_is_a_usage_error_with_one_look(path: tuple[str, ...]) -> None:
    result = icelane(*path, "--nosuch")
    assert (result.exit_code, result.stdout) == (2, "")
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("icelane: no such option: --nosuch")
    assert last.endswith(f"{' '.join(path)} --help' for help.")


def with_option(name: str) -> list[tuple[str, ...]]:
    return [
        path
        for path, command in LEAVES.items()
        if any(name in each.opts for each in command.params)
    ]


# Where a key file is read, and what else is needed for that.
VIP = "--vip 203.0.113.10:3478 --upstream 192.0.2.1"
MORE = {
    "relay run": f"{VIP} --registry REGISTRY --dataplane userspace",
    "relay load": f"{VIP} --interface nosuch",
    "transceiver run": "--listen 127.0.0.1:5000 --control 127.0.0.1:9000",
    "signaling run": "--listen 127.0.0.1:5000 --redis redis://127.0.0.1:1/0",
    "registry list": "--redis redis://127.0.0.1:1/0",
    "registry show": "x --redis redis://127.0.0.1:1/0",
    "ufrag mint": "",
    "ufrag show": UFRAG,
    "ufrag verify": UFRAG,
}
LOOKING = {"doctor", *(f"config show {name}" for name in ("relay", "transceiver", "signaling"))}


@pytest.fixture
def shared_keys(tmp_path: Path) -> Path:
    """A key file that others can read."""
    path = tmp_path / "keys.toml"
    assert icelane("keys", "new", path).exit_code == 0
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("name", MORE)
def test_a_key_file_that_others_can_read_is_refused(name: str, shared_keys: Path) -> None:
    registry = shared_keys.with_name("registry.toml")
    registry.write_text('[[transceiver]]\ncluster=1\nslot=1\ngeneration=1\naddress="192.0.2.2:5"\n')
    more = MORE[name].replace("REGISTRY", str(registry)).split()
    arguments = [*name.split(), *more, "--keys", str(shared_keys)]
    # Services become other processes, which read the file.
    line = run_alone(*arguments) if "run" in arguments else refused(icelane(*arguments))
    assert f"others can read key file {shared_keys} (mode 0640): chmod 600 {shared_keys}" in line


def run_alone(*arguments: str) -> str:
    """What a command that is refused says, in a process of its own: services become others."""
    done = subprocess.run(
        [ICELANE, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_all_that_take_a_key_file_are_looked_at() -> None:
    names = {" ".join(path) for path in with_option("--keys")}
    assert names == {*MORE, *LOOKING}


@pytest.mark.parametrize("command", ["add", "rotate", "list", "check", "export"])
def test_so_do_those_that_change_and_show_one(command: str, shared_keys: Path) -> None:
    more = {
        "export": [str(shared_keys.with_name("x")), "--for", "relay"],
        "check": ["--instance", "test"],
    }.get(command, [])
    assert "chmod 600" in refused(icelane("keys", command, shared_keys, *more))


def terminal(*arguments: str, **environment: str) -> bytes:
    """What a command prints on a terminal."""
    leader, follower = os.openpty()
    with subprocess.Popen(
        [ICELANE, *arguments],
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "80"} | environment,
    ) as process:
        os.close(follower)
        found = b""
        try:
            while piece := os.read(leader, 4096):
                found += piece
        except OSError:  # nobody writes any more
            pass
        process.wait(LIMIT)
    os.close(leader)
    return found


def test_colour_is_for_terminals_and_may_be_unwanted() -> None:
    assert b"\x1b[" in terminal("doctor")
    assert b"\x1b" not in terminal("doctor", NO_COLOR="1")
    piped = subprocess.run([ICELANE, "doctor"], capture_output=True, timeout=LIMIT, check=False)
    assert b"\x1b" not in piped.stdout


def test_every_command_was_found() -> None:
    root: Any = get_command(app)
    assert set(root.commands) == {path[0] for path in LEAVES}
