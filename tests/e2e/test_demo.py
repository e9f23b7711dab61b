"""The demo, as `make demo` runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.dataplane.kernel.pins import Pins
from tests.lab import demo
from tests.lab.fleet.site import Settings, Site
from tests.lab.lab import RUN, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.bpf]

LAB = (sys.executable, "-m", "tests.lab")
LIMIT = 240.0  # seconds; the demo takes 45


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test nothing of the demo is there any more."""
    yield
    lab, site = Lab(demo.NAME), Site(Settings(demo.SITE), demo.SITE_DIRECTORY)
    assert not lab.is_up
    assert not demo.SITE_DIRECTORY.exists()
    hosts = (*lab.hosts.values(), *site.hosts.values())
    assert [host.namespace for host in hosts if host.exists()] == []
    relays = (lab.instance, *(relay.instance for relay in site.relays))
    assert [name for name in relays if Pins(name).directory.exists()] == []
    assert not (RUN / f"{lab.instance}.sock").exists()
    assert not _processes_in_demo()


def _processes_in_demo() -> list[str]:
    return [
        process.name
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _is_in_demo(process)
    ]


def _is_in_demo(process: Path) -> bool:
    """Whether a process is of the demo here: those of other tests have mounts of their own."""
    here = Path("/proc/self/ns/mnt").readlink()
    try:
        command = (process / "cmdline").read_bytes()
        return f"/lab-{demo.NAME}".encode() in command and (process / "ns/mnt").readlink() == here
    except OSError:
        return False


@pytest.mark.usefixtures("nothing_left")
def test_it_shows_what_it_is_to_show() -> None:
    done = subprocess.run(
        [*LAB, "demo", "--json", "--seconds", "6"],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    result = json.loads(done.stdout)
    told = result["error"], [each["problems"] for each in result["calls"]]
    assert (done.returncode, result["ok"]) == (0, True), told
    assert result["host"]["kernel"] == os.uname().release
    assert set(result["host"]["interfaces"]) == {"public", "internal"}
    assert "compiled" in result["host"]["program"]
    assert result["host"]["bpffs_mounted"] in (True, False)
    killed, lost, userspace, host_lost = result["calls"]
    assert killed["lost"] == 0
    assert killed["recovered_flows"] == 1
    assert killed["kernel_share"] > 0.99
    assert killed["by_kernel"] > 550
    assert lost["lost"] > 0
    assert lost["recovered_flows"] >= 1
    assert lost["lost_at_end"] == 0
    assert userspace["by_kernel"] == 0
    assert userspace["by_agent"] > 550
    assert userspace["lost"] == 0
    assert host_lost["recovered_flows"] == 1
    assert host_lost["lost_at_end"] == 0
    assert host_lost["by_kernel"] > host_lost["by_agent"]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_cleans_up_when_it_is_interrupted(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*LAB, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "killed the agent" in line:
                break
        began = time.monotonic()
        # The whole group gets it, as from a terminal.
        os.killpg(process.pid, number)
        seen += process.stdout.readlines()
        assert process.wait(LIMIT) == 130, seen
        assert time.monotonic() - began < 30
    assert "interrupted" in "".join(seen)
    assert "Traceback" not in "".join(seen)


@pytest.mark.usefixtures("nothing_left")
def test_two_at_the_same_time_are_one_too_many() -> None:
    with demo.exclusive():
        done = subprocess.run(
            [*LAB, "demo"], check=False, capture_output=True, text=True, timeout=LIMIT
        )
    assert done.returncode == 1
    assert "already running on this machine" in done.stdout
