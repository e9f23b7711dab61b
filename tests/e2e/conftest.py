"""Fixtures for tests with real calls: a recorded call, a browser, and the agent's status."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relay.admin import transport as admin
from relay.caller.audio import RATE, read_audio
from relay.caller.call import SPEECH
from relay.errors import AdminError
from tests.lab.call import Call
from tests.lab.capture import DatagramCapture
from tests.lab.config import SIGNALING_URL
from tests.lab.frame import Datagram
from tests.lab.lab import Lab
from tests.lab.probe import Probe, Sample
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, TRANSCEIVER

WAIT = 10.0  # seconds; a limit
AUDIBLE = 60  # packets, which is a second and more; the set-up takes fewer than 20
ENDLESS = 300.0  # seconds; the test hangs up

ROOT = Path(__file__).parent.parent.parent
BROWSERS = {"chromium": ("chromium", "chromedriver"), "firefox": ("firefox-esr",)}  # programs
BROWSER_LIMIT = 90.0  # seconds; a browser starts in 2, on a busy machine in several times that


@dataclass
class Recorded:
    """A call with captures of its two ends, and the relay's counters around it.

    Attributes:
        report: The report of `icelane call --json`.
        at_client: Every UDP datagram at the client's public interface.
        at_transceiver: Every UDP datagram at the transceiver's internal interface.
        flows: The agent's flows while the call went on, by client, as they were last. When it has
            ended its transceiver says goodbye, and they go.
        before: The relay's counters before the call.
        after: The relay's counters after the call.
    """

    before: Sample
    after: Sample = field(default_factory=Sample)
    report: dict[str, Any] = field(default_factory=dict)
    at_client: list[Datagram] = field(default_factory=list)
    at_transceiver: list[Datagram] = field(default_factory=list)
    flows: dict[str, dict[str, Any]] = field(default_factory=dict)


Record = Callable[..., Recorded]
Browse = Callable[..., dict[str, Any]]


@contextmanager
def recording(lab: Lab, recorded: Recorded) -> Iterator[None]:
    with (
        DatagramCapture(lab.hosts[CLIENT], PUBLIC) as at_client,
        DatagramCapture(lab.hosts[TRANSCEIVER], INTERNAL) as at_transceiver,
    ):
        yield
    recorded.at_client, recorded.at_transceiver = at_client.datagrams, at_transceiver.datagrams


@pytest.fixture(scope="session")
def record() -> Record:
    """Places a call and records it.

    With `meanwhile`, the call lasts until that has run and audio has come back before and after
    it. Otherwise it lasts some seconds.
    """

    def place(
        lab: Lab, seconds: float = ENDLESS, meanwhile: Callable[[Lab], None] | None = None
    ) -> Recorded:
        probe = Probe(lab)
        recorded = Recorded(before=probe.sample())
        with recording(lab, recorded), Call(lab, seconds) as call:
            if meanwhile is not None:
                _until_audio(probe, call, recorded.before)
                meanwhile(lab)
                _until_audio(probe, call, recorded.before)
                call.hang_up()
            _watch_flows(lab, call, recorded.flows)
            recorded.report = call.report()
        recorded.after = probe.sample()
        return recorded

    return place


def _watch_flows(lab: Lab, call: Call, flows: dict[str, dict[str, Any]]) -> None:
    """Note how flows are, until a call has ended."""
    deadline = time.monotonic() + ENDLESS
    while call.running:
        assert time.monotonic() < deadline, "the call does not end"
        for flow in _flows(lab):
            known = flows.get(flow["client"], flow)
            # One that has ended is the agent's, which counts nothing of what the kernel did.
            if flow["to_client"]["packets"] >= known["to_client"]["packets"]:
                flows[flow["client"]] = flow
        time.sleep(0.1)


def _flows(lab: Lab) -> list[dict[str, Any]]:
    try:
        flows: list[dict[str, Any]] = admin.ask(lab.admin, "status")["flows"]
    except AdminError:  # the test has ended the agent
        return []
    return flows


def _until_audio(probe: Probe, call: Call, before: Sample) -> None:
    """Wait for some more packets to the client: for audio, when there were none before."""
    deadline = time.monotonic() + WAIT
    flow = probe.sample().newest(before)
    enough = AUDIBLE + (flow.to_client if flow else 0)
    while flow is None or flow.to_client < enough:
        assert call.running, f"the call ended: {call.report()}"
        assert time.monotonic() < deadline, "no audio comes back"
        time.sleep(0.02)
        flow = probe.sample().newest(before)


@pytest.fixture(scope="session")
def status_of() -> Callable[[Lab], dict[str, Any]]:
    """The status of the agent of a lab's relay."""

    def ask(lab: Lab) -> dict[str, Any]:
        return admin.ask(lab.admin, "status")

    return ask


@pytest.fixture(scope="session")
def unprivileged_user() -> str:
    """A user without privileges who can read the checkout: nobody, or root without capabilities."""
    reading = [sys.executable, "-c", "import relay.wire, aiohttp"]
    as_nobody = ["setpriv", "--reuid=nobody", "--clear-groups", *reading]
    readable = subprocess.run(as_nobody, check=False, capture_output=True, cwd="/").returncode == 0
    return "nobody" if readable else "root"


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The speech of `icelane call` as WAV, which Chromium takes for its microphone."""
    path = tmp_path_factory.mktemp("audio") / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(read_audio(SPEECH, longest=10)))
    return path


@pytest.fixture(scope="session")
def browse(speech: Path) -> Browse:
    """Press the button of the page in a lab's client; returns what the browser saw."""

    def press(lab: Lab, *arguments: str, browser: str = "chromium") -> dict[str, Any]:
        if not all(map(shutil.which, BROWSERS[browser])):
            pytest.skip(f"needs {' and '.join(BROWSERS[browser])}: `make setup-test`")
        program = [sys.executable, "-m", "tests.e2e.browser", SIGNALING_URL, "--wav", str(speech)]
        program += ["--browser", browser, *arguments]
        process = subprocess.Popen(
            lab.hosts[CLIENT].command(program),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that the browser ends with its script
        )
        try:
            output, errors = process.communicate(timeout=BROWSER_LIMIT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert process.returncode == 0, errors.decode()
        seen: dict[str, Any] = json.loads(output)
        return seen

    return press
