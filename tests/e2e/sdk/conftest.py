"""A running `icelane up`, over each dataplane, and what the official packages made of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.netns.host import Host
from tests.e2e.nodemodules import MODULES, NODE, link
from tests.e2e.serving import Served, serving
from tests.e2e.spoken import said, silence, write
from tests.lab import topology
from tests.lab.config import icelane
from tests.lab.topology import CLIENT, RELAY

ROOT = Path(__file__).parent.parent.parent.parent
LIMIT = 420.0  # seconds for all scenarios of a package
LOOK = 2.0  # seconds between two looks at the flows
GAP, OVER = 5.0, 4.0  # seconds after an answer, and within the long one
XDP = (pytest.mark.e2e, pytest.mark.netns, pytest.mark.bpf)


@dataclass(frozen=True, slots=True)
class Speech:
    """The same recorded questions, as a file for Chromium and as plain samples at 24 kHz."""

    wav: Path
    pcm: Path


@dataclass(frozen=True, slots=True)
class Site:
    """A running `icelane up`, as its clients have it.

    Attributes:
        served: What serves it.
        client: Where clients run; None for beside it.
    """

    served: Served
    client: Host | None

    def start(self, command: Sequence[str], log: Path) -> "subprocess.Popen[str]":
        """Start a client there, with its trust in the certificate and nothing else said to it."""
        certificate = str(self.served.certificate)
        trust = {"SSL_CERT_FILE": certificate, "NODE_EXTRA_CA_CERTS": certificate}
        with log.open("w") as errors:
            return subprocess.Popen(
                self.client.command(command) if self.client else list(command),
                cwd=ROOT,
                env=os.environ | trust,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # so that a browser ends with its script
            )

    def kernel_packets(self) -> int:
        """Packets that the kernel has forwarded for flows that there are, both ways."""
        command = [icelane(), "flows", "--json", "--instance", self.served.instance]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        return sum(
            flow[way].get("kernel_packets", 0)
            for flow in json.loads(listed.stdout or "[]")
            for way in ("to_transceiver", "to_client")
        )


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Questions; the last one is said while the one before is answered at length."""
    clock, manual = said("What time is it?"), said("What can you do?")
    samples = silence(0.5) + clock + silence(GAP) + manual + silence(OVER) + clock + silence(OVER)
    directory = tmp_path_factory.mktemp("speech")
    made = Speech(directory / "speech.wav", directory / "speech.pcm")
    write(made.wav, samples)
    made.pcm.write_bytes(samples)
    return made


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    """Everything in one process, by the dataplane."""
    made: dict[str, Site] = {}
    with ExitStack() as stack:

        def site(dataplane: str) -> Site:
            if dataplane not in made:
                state = tmp_path_factory.mktemp("state")
                made[dataplane] = stack.enter_context(_site(dataplane, state))
            return made[dataplane]

        yield site


@contextmanager
def _site(dataplane: str, state: Path) -> Iterator[Site]:
    if dataplane == "userspace":
        with serving(state, tls=True) as served:
            yield Site(served, None)
        return
    name = f"sdk-{os.getpid()}"
    topology.build(name)
    try:
        hosts = topology.hosts(name)
        options = ["--dataplane", "xdp", "--interface", "public", "--open"]
        with serving(state, *options, tls=True, relay=hosts[RELAY]) as served:
            yield Site(served, hosts[CLIENT])
    finally:
        topology.destroy(name)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a package.

    Attributes:
        name: Its name, and what carries it.
        dataplane: What forwarded.
        outcome: What its driver printed; see `scenarios.mjs`.
        kernel_packets: The most packets that the kernel had forwarded for it.
    """

    name: str
    dataplane: str
    outcome: dict[str, Any]
    kernel_packets: int


CALLS = ("agents-webrtc", "openai-webrtc")
SOCKETS = ("agents-websocket", "openai-websocket", "python")  # which no relay forwards
CLIENTS = [
    *((name, "userspace") for name in (*CALLS, *SOCKETS)),
    *(pytest.param((name, "xdp"), marks=XDP) for name in CALLS),
]


def _command(name: str, site: Site, speech: Speech, scripts: Path) -> list[str]:
    package, _, carrier = name.partition("-")
    if package == "python":
        module = "tests.e2e.sdk.python_client"
        return [sys.executable, "-m", module, site.served.url, "none", str(speech.pcm)]
    if carrier == "webrtc":
        given = [package, site.served.url, str(speech.wav)]
        return [sys.executable, "-m", "tests.e2e.sdk.browser", *given]
    return [*NODE, str(scripts / "node.mjs"), package, site.served.url, "none", str(speech.pcm)]


def lacking(name: str) -> str | None:
    """What this machine lacks for a client, in words; None when there is everything."""
    needs = {"webrtc": ("chromium", "chromedriver"), "websocket": ("node",)}
    missing = [each for each in needs.get(name.partition("-")[2], ()) if not shutil.which(each)]
    if name != "python" and not (MODULES / "openai").exists():
        missing.append("the packages of npm")
    return f"needs {' and '.join(missing)}: `make setup-test`" if missing else None


@pytest.fixture(scope="module", params=CLIENTS, ids="-".join)
def seen(
    request: pytest.FixtureRequest,
    sites: Callable[[str], Site],
    speech: Speech,
    tmp_path_factory: pytest.TempPathFactory,
) -> Seen:
    """What came of a package, taken through all scenarios over a dataplane."""
    name, dataplane = request.param
    if lacks := lacking(name):
        pytest.skip(lacks)
    site = sites(dataplane)
    scripts = tmp_path_factory.mktemp(name)
    link(scripts, Path(__file__).parent)
    log = scripts / "log"
    process = site.start(_command(name, site, speech, scripts), log)
    kernel = 0
    try:
        for _ in range(round(LIMIT / LOOK)):
            try:
                output, _errors = process.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                if dataplane == "xdp":
                    kernel = max(kernel, site.kernel_packets())
        else:
            raise AssertionError(f"{name} does not end within {LIMIT} s")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, log.read_text()
    outcome = json.loads(output)
    assert "error" not in outcome, outcome["error"]
    return Seen(name, dataplane, outcome, kernel)
