"""A relay that root starts as somebody else: what its processes may, and what it says otherwise."""

import os
import pwd
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.admin.place import DIRECTORY
from relay.admin.transport import ask
from relay.run.privileges import account
from relay.wire.keys import KeyRing
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT

NOBODY = pwd.getpwnam("nobody")
KEYS = KeyRing({0: bytes(range(32))}, signing_slot=0)
REGISTRY = '[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\naddress = "127.0.0.1:5000"\n'
NET_BIND_SERVICE = 1 << 10
#: Others than root must be able to read what they run.
OPEN = all(each.stat().st_mode & 0o001 for each in Path(ICELANE).resolve().parents)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not OPEN, reason="only root becomes others, who must reach this folder"
)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts relays as nobody, whose files are his."""
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)
    (tmp_path / "keys.toml").write_text(KEYS.dumps())
    (tmp_path / "keys.toml").chmod(0o600)
    os.chown(tmp_path / "keys.toml", NOBODY.pw_uid, NOBODY.pw_gid)
    (tmp_path / "registry.toml").write_text(REGISTRY)
    processes = []

    def run(*options: str, user: str = "nobody", port: int | None = None) -> subprocess.Popen[str]:
        command = [str(ICELANE), "relay", "run", "--vip", f"127.0.0.1:{port or free_port()}"]
        command += ["--upstream", "127.0.0.1", "--dataplane", "userspace", "--user", user]
        command += ["--keys", "keys.toml", "--registry", "registry.toml"]
        command += ["--admin", "run/admin.sock", *options]
        pipe = subprocess.PIPE
        processes.append(
            subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready: relay on 127.0.0.1:"), process.communicate()


def status(thread: Path) -> dict[str, str]:
    lines = (thread / "status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def require_unprivileged(pid: int, kept: int = 0) -> None:
    """Each thread of a process is nobody's, and has no capability but those."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found = status(thread)
        assert found["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert found["Gid"].split() == [str(NOBODY.pw_gid)] * 4
        assert found["Groups"].split() == [str(each) for each in account("nobody").groups]
        sets = [int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")]
        assert sets == [kept, kept, 0, 0, 0]
        assert found["NoNewPrivs"] == "1"


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text(encoding="ascii").split()]


def test_it_has_nothing_of_root_and_answers_root(start: Start, tmp_path: Path) -> None:
    process = start()
    ready(process)
    require_unprivileged(process.pid)
    assert ask(tmp_path / "run" / "admin.sock", "flow_counts") == {"confirmed": 0, "pending": 0}
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o770
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0
    assert list((tmp_path / "run").iterdir()) == []


def test_others_pass_through_the_directory_of_all_relays(start: Start) -> None:
    ready(start("--admin", str(DIRECTORY / f"privileges-{os.getpid()}.sock")))
    assert stat.S_IMODE(DIRECTORY.stat().st_mode) == 0o771


def test_so_do_its_workers_also_one_that_is_started_again(start: Start) -> None:
    process = start("--workers", "2")
    ready(process)
    first = children(process.pid)
    assert len(first) == 2
    for pid in (process.pid, *first):
        require_unprivileged(pid)
    os.kill(first[0], signal.SIGKILL)
    deadline = time.monotonic() + LIMIT
    while not (new := set(children(process.pid)) - set(first)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    require_unprivileged(new.pop())


def test_low_ports_take_one_capability(start: Start) -> None:
    process = start("--tcp", "127.0.0.1:443", port=443)
    ready(process)
    require_unprivileged(process.pid, NET_BIND_SERVICE)


def refused(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=LIMIT)
    assert "Traceback" not in errors
    return process.returncode, errors


def test_it_says_what_he_cannot_read(start: Start, tmp_path: Path) -> None:
    os.chown(tmp_path / "keys.toml", 0, 0)
    code, said = refused(start())
    assert code != 0
    assert "keys.toml" in said
    assert "ermission" in said


@pytest.mark.parametrize(
    ("user", "words"), [("no-such-user", "has no user"), ("root", "to be no longer")]
)
def test_it_says_who_is_none(start: Start, user: str, words: str) -> None:
    code, said = refused(start(user=user))
    assert code == 2
    assert words in said


def test_without_an_interface_it_has_no_helper(start: Start) -> None:
    process = start("--dataplane", "auto")
    ready(process)
    require_unprivileged(process.pid)
    assert children(process.pid) == []


@pytest.mark.usefixtures("start")
def test_only_root_becomes_others(tmp_path: Path) -> None:
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    command += [str(ICELANE), "relay"]
    command += ["run", "--vip", f"127.0.0.1:{free_port()}", "--upstream", "127.0.0.1"]
    command += ["--keys", "keys.toml", "--registry", "registry.toml", "--user", "nobody"]
    command += ["--dataplane", "userspace"]
    pipe = subprocess.PIPE
    code, said = refused(
        subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
    )
    assert code == 2
    assert "only root can become nobody" in said
