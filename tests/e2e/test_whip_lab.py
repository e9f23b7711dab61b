"""Browsers publish by WHIP through the relay of a lab, in the kernel and in userspace."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signaling.whip import WHIP
from tests.e2e.conftest import BROWSER_LIMIT, BROWSERS, ROOT
from tests.lab.config import CLIENT_ADDRESS, SIGNALING_URL, VIP, Options
from tests.lab.lab import Lab
from tests.lab.probe import Probe
from tests.lab.topology import CLIENT

pytestmark = [pytest.mark.e2e, pytest.mark.netns]


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def lab(request: pytest.FixtureRequest, bring_up: Callable[[Options], Lab]) -> Lab:
    return bring_up(Options(dataplane=request.param))


def run(lab: Lab, browser: str, speech: Path, *call: str) -> dict[str, Any]:
    """Have a browser in the lab's client run a function of the page; what that has seen."""
    if not all(map(shutil.which, BROWSERS[browser])):
        pytest.skip(f"needs {' and '.join(BROWSERS[browser])}: `make setup-test`")
    program = [sys.executable, "-m", "tests.e2e.whip.browser_client", *call]
    program += ["--host", CLIENT_ADDRESS]
    process = subprocess.Popen(
        lab.hosts[CLIENT].command([*program, "--browser", browser, "--wav", str(speech)]),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that the browser ends with its program
    )
    try:
        output, errors = process.communicate(timeout=BROWSER_LIMIT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, errors.decode()
    seen: dict[str, Any] = json.loads(output)
    assert "error" not in seen, seen
    return seen


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_browser_publishes_and_restarts(lab: Lab, speech: Path, browser: str) -> None:
    probe = Probe(lab)
    before = probe.sample()
    seen = run(lab, browser, speech, "publish", SIGNALING_URL + WHIP, "sendonly")
    assert (seen["status"], seen["trickle"], seen["state"]) == (201, 204, "connected")
    assert "a=recvonly\r\n" in seen["answer"]
    assert f" {VIP.host} {VIP.port} typ host" in seen["answer"]
    restart = seen["restart"]
    assert (restart["status"], restart["stale"]) == (200, 412)
    assert len(set(restart["etags"])) == 2
    after = probe.sample()
    received = seen["counted"]["rtp"]["received"]
    assert received >= 100
    if lab.options.dataplane == "xdp":
        assert before.by_kernel is not None
        assert after.by_kernel is not None
        assert after.by_kernel.packets - before.by_kernel.packets >= 0.9 * received
