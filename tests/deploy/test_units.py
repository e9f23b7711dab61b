"""The units of systemd: checked by its tools, and run by a systemd with all that they forbid."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from pathlib import Path
from urllib.request import urlopen

import pytest

from relay.wire.keys import KeyRing
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "docs" / "deploy" / "systemd"
KEYS = KeyRing({0: bytes(range(32))}, signing_slot=0)
#: Of each unit, as `systemd-analyze security` rates it from 0, nothing to attack, to 10.
EXPOSURE = {"relay": 3.5, "transceiver": 1.5, "signaling": 2.0, "agent": 1.5}
BOOT = Path(__file__).with_name("boot.sh")
CGROUPS = Path("/sys/fs/cgroup/systemd")

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze, of the package systemd"
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory with the units, whose programs are those of this environment."""
    for path in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        text = path.read_text("utf-8").replace("/opt/icelane/%i/bin/icelane", str(ICELANE))
        (tmp_path / path.name.replace("@", "@1")).write_text(text, "utf-8")
    return tmp_path


def analyzed(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{installed}:/lib/systemd/system"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def complaints(installed: Path) -> list[str]:
    """What `systemd-analyze verify` says of our units; it ends with 0 for unknown keys."""
    units = [str(path) for path in installed.glob("*@1.*")]
    said = analyzed(installed, "verify", *units).stderr.splitlines()
    return [line for line in said if str(installed) in line or "icelane" in line]


def test_systemd_understands_all_of_them(installed: Path) -> None:
    assert complaints(installed) == []


def test_it_would_say_what_it_does_not_understand(installed: Path) -> None:
    unit = installed / "icelane-agent@1.service"
    unit.write_text(unit.read_text("utf-8").replace("[Service]", "[Service]\nProtectAll=yes"))
    assert ["Unknown key" in line for line in complaints(installed)] == [True]


def read(path: Path) -> RawConfigParser:
    unit = RawConfigParser(strict=False)  # names may be given several times, and mean all
    unit.read(path, "utf-8")
    return unit


@pytest.mark.parametrize(
    "path", sorted(UNITS.parent.rglob("*.service")), ids=lambda path: path.name
)
def test_what_fails_is_tried_again_for_ever(path: Path) -> None:
    """By itself systemd gives up when a service has failed five times in 10 s."""
    assert read(path).get("Unit", "StartLimitIntervalSec", fallback=None) == "0"


@pytest.mark.parametrize("service", EXPOSURE)
def test_what_fails_is_tried_again_after_a_second_but_for_a_wrong_setting(service: str) -> None:
    unit = read(UNITS / f"icelane-{service}@.service")
    restart = [f"Restart{what}" for what in ("", "Sec", "PreventExitStatus")]
    assert [unit["Service"][name] for name in restart] == ["on-failure", "1", "2"]


def test_all_services_are_tested() -> None:
    services = {path.name for path in UNITS.glob("*.service")}
    assert services == {f"icelane-{service}@.service" for service in EXPOSURE}


@pytest.mark.parametrize("service", EXPOSURE)
def test_they_are_hardened(installed: Path, service: str) -> None:
    unit = installed / f"icelane-{service}@1.service"
    said = analyzed(installed, "security", "--offline=true", str(unit)).stdout
    (score,) = re.findall(r"Overall exposure level.*: ([\d.]+)", said)
    sys.stdout.write(f"{service}: {score}\n")
    assert float(score) <= EXPOSURE[service]


CONFIG = """\
keys = "keys.toml"
registry = "registry.toml"
[relay]
vip = "127.0.0.1:{vip}"
upstream = "127.0.0.1"
dataplane = "userspace"
[transceiver]
listen = "127.0.0.1:{media}"
control = "127.0.0.1:{control}"
records = "/var/lib/icelane/records.jsonl"
[signaling]
listen = "127.0.0.1:{signaling}"
[agent]
listen = "127.0.0.1:{agent}"
"""
REGISTRY = """\
[[transceiver]]
cluster = 1
slot = 1
generation = 1
address = "127.0.0.1:{media}"
control = "http://127.0.0.1:{control}"
[[relay]]
vip = "127.0.0.1:{vip}"
"""
# Targets that units name, of a system that has nothing else.
TARGETS = ("sysinit", "sockets", "basic", "shutdown", "network-online", "multi-user")
# The checkout may lie where services do not see: below /tmp, or in somebody's home.
DROP_IN = """\
[Service]
BindReadOnlyPaths={root} {environment}
StandardOutput=append:{log}
StandardError=append:{log}
"""
Systemctl = Callable[..., subprocess.CompletedProcess[str]]


def system(directory: Path, ports: dict[str, int]) -> None:
    """The files of a system with all services."""
    (directory / "units").mkdir()
    (directory / "etc").mkdir()
    services = sorted(path.stem for path in UNITS.glob("icelane-*@.service"))
    for path in UNITS.iterdir():
        unit = path.suffix in (".service", ".socket")
        (directory / ("units" if unit else "") / path.name).write_bytes(path.read_bytes())
    for name in TARGETS:
        (directory / "units" / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    wants = "".join(f"Wants={name}test.service\n" for name in services)
    wants += "Wants=icelane-signaling@test.socket\n"
    (directory / "units" / "default.target").write_text(f"[Unit]\n{wants}")
    for name in services:
        drop_in = directory / "units" / f"{name}.service.d" / "test.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(DROP_IN.format(root=ROOT, environment=sys.prefix, log=directory / "log"))
    port = directory / "units" / "icelane-signaling@.socket"
    listen = f"127.0.0.1:{ports['signaling']}"
    port.write_text(port.read_text("utf-8").replace("127.0.0.1:8080", listen), "utf-8")
    (directory / "etc" / "keys.toml").write_text(KEYS.dumps())
    (directory / "etc" / "icelane.toml").write_text(CONFIG.format(**ports))
    (directory / "etc" / "registry.toml").write_text(REGISTRY.format(**ports))


@pytest.fixture
def booted(tmp_path: Path) -> Iterator[tuple[Systemctl, dict[str, int]]]:
    """A systemd that runs all units; gives its systemctl, and the ports of the services."""
    ports = {name: free_port() for name in ("vip", "media", "control", "signaling", "agent")}
    system(tmp_path, ports)
    for path in (tmp_path, *list(tmp_path.parents)[:2]):
        path.chmod(0o755)
    own = CGROUPS / f"icelane-test-{os.getpid()}"
    own.mkdir()
    namespaces = "--cgroup --mount --pid --fork --kill-child --mount-proc --uts --ipc"
    boot = f'echo $$ > {own}/cgroup.procs; exec setpriv --pdeathsig KILL unshare {namespaces} "$@"'
    log = (tmp_path / "boot.log").open("wb")
    process = subprocess.Popen(
        ["bash", "-c", boot, "-", "bash", BOOT, tmp_path, sys.prefix],
        stdout=log,
        stderr=log,
    )

    def init() -> str:
        return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()

    def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--target={init()}", "--mount", "--pid", "systemctl", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )

    try:
        deadline = time.monotonic() + LIMIT
        while not Path(f"/proc/{init() or 'none'}/root/run/systemd/private").is_socket():
            assert process.poll() is None, "it does not boot"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield systemctl, ports
    finally:
        process.kill()
        process.wait()
        log.close()
        for path in (tmp_path / "log", tmp_path / "boot.log"):
            if path.exists():  # which pytest shows when the test fails
                sys.stdout.write(path.read_text("utf-8", "replace"))
        remove(own)


def remove(cgroup: Path) -> None:
    """Remove a control group and those in it, once their processes have ended."""
    deadline = time.monotonic() + LIMIT
    while cgroup.exists():
        assert time.monotonic() < deadline
        for path, _, _ in sorted(os.walk(cgroup), reverse=True):
            try:
                Path(path).rmdir()
            except OSError:
                time.sleep(0.02)


@pytest.mark.skipif(
    not os.environ.get("ICELANE_BOOT"), reason="boots a systemd: `make services-test`"
)
@pytest.mark.skipif(
    os.geteuid() != 0 or not CGROUPS.exists() or not Path("/lib/systemd/systemd").exists(),
    reason="needs root, systemd, and control groups that it can have",
)
def test_a_call_goes_through_services_that_may_do_nothing_else(
    booted: tuple[Systemctl, dict[str, int]],
) -> None:
    systemctl, ports = booted
    units = [f"{path.stem}test" for path in UNITS.glob("icelane-*@.service")]
    deadline = time.monotonic() + 2 * LIMIT
    while (states := systemctl("is-active", *units).stdout.split()) != ["active"] * len(units):
        assert time.monotonic() < deadline, (states, systemctl("status", *units).stdout)
        time.sleep(0.1)
    shown = systemctl("show", "--property=StatusText", "icelane-relay@test").stdout
    assert shown.startswith(f"StatusText=ready: relay on 127.0.0.1:{ports['vip']}")
    call = subprocess.run(
        [ICELANE, "call", f"http://127.0.0.1:{ports['signaling']}", "--seconds", "3"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert call.returncode == 0, call
    # Its port is the service manager's: who connects while it does not run waits until it does.
    systemctl("stop", "icelane-signaling@test")
    assert systemctl("is-active", "icelane-signaling@test").stdout == "inactive\n"
    with urlopen(f"http://127.0.0.1:{ports['signaling']}/healthz", timeout=LIMIT) as answer:
        assert answer.status == 200
    assert systemctl("is-active", "icelane-signaling@test").stdout == "active\n"
    systemctl("stop", "icelane-signaling@test.socket", *units)
    ended = systemctl("show", "--property=Result", *units).stdout.split()
    assert ended == ["Result=success"] * len(units)
