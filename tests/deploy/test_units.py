"""The units of systemd: checked by its own tools, and run by a systemd with all that they forbid."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.wire.keys import KeyRing
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "docs" / "deploy" / "systemd"
KEYS = KeyRing({0: bytes(range(32))}, signing_slot=0)
#: Of each unit, as `systemd-analyze security` rates it from 0, nothing to attack, to 10.
EXPOSURE = {"relay": 3.5, "transceiver": 1.5, "signaling": 2.0, "agent": 1.5}
CGROUPS = Path("/sys/fs/cgroup/systemd")

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze, of the package systemd"
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory with the units, whose programs are those of this environment."""
    for path in UNITS.glob("*.service"):
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
    units = [str(path) for path in installed.glob("*.service")]
    said = analyzed(installed, "verify", *units).stderr.splitlines()
    return [line for line in said if str(installed) in line or "icelane" in line]


def test_systemd_understands_all_of_them(installed: Path) -> None:
    assert complaints(installed) == []


def test_it_would_say_what_it_does_not_understand(installed: Path) -> None:
    unit = installed / "icelane-agent@1.service"
    unit.write_text(unit.read_text("utf-8").replace("[Service]", "[Service]\nProtectAll=yes"))
    assert ["Unknown key" in line for line in complaints(installed)] == [True]


@pytest.mark.parametrize("service", EXPOSURE)
def test_they_are_hardened(installed: Path, service: str) -> None:
    unit = installed / f"icelane-{service}@1.service"
    said = analyzed(installed, "security", "--offline=true", str(unit)).stdout
    (score,) = re.findall(r"Overall exposure level.*: ([\d.]+)", said)
    print(f"{service}: {score}")
    assert float(score) <= EXPOSURE[service]
