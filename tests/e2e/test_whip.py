"""Clients of WHIP and WHEP that others have made call through a relay, all on the loopback."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from signaling.whip import WHEP, WHIP
from tests.e2e.site import served
from tests.e2e.test_up import up
from tests.e2e.whip.browser_client import call, ended
from tests.lab.clients.kinds import BUILT
from tests.lab.config import icelane
from tests.ports import free_port

PAGE = Path(__file__).parent / "whip"
LIMIT = 60.0  # seconds
NODE = BUILT / "node" / "node_modules"
BROWSER = ["chromium", "chromedriver"]
# Chromium has no loopback candidates otherwise, and the relay is there.
FLAGS = ["--allow-loopback-in-peer-connection"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Everything in one process: signaling, and a relay in userspace before a transceiver."""
    vip = f"127.0.0.1:{free_port()}"
    listen = f"127.0.0.1:{free_port()}"
    options = ["--vip", vip, "--listen", listen, "--instance", f"whip-{os.getpid()}"]
    with up([icelane(), "up", *options, "--backend", "echo"]):
        yield f"http://{listen}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of another origin, beside the packages of Node."""
    root = tmp_path_factory.mktemp("site")
    for file in PAGE.iterdir():
        (root / file.name).symlink_to(file)
    (root / "node_modules").symlink_to(NODE)
    with served(root) as url:
        yield f"{url}/page.html"


Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(site: str, speech: Path) -> Iterator[Run]:
    """Runs a function of the page in Chromium; what it has seen."""
    if not all(map(shutil.which, BROWSER)):
        pytest.skip(f"needs {' and '.join(BROWSER)}: `make setup-test`")
    from tests.e2e.chromium import chromium

    with chromium(site, speech, microphone="allowed", origin="secure", further=FLAGS) as browser:
        browser.driver.set_script_timeout(LIMIT)
        browser.get(site)

        def run_it(function: str, *arguments: str) -> dict[str, Any]:
            seen: dict[str, Any] = browser.run_async(call(function, *arguments))
            assert "error" not in seen, (seen, browser.console())
            return seen

        yield run_it


def needs(package: str) -> None:
    if not (NODE / package).exists():
        pytest.skip(f"needs {package}: `make setup-test`")


@pytest.mark.parametrize("direction", ["sendonly", "sendrecv"])
def test_chromium_publishes_trickles_and_restarts(url: str, run: Run, direction: str) -> None:
    seen = run("publish", url + WHIP, direction)
    assert (seen["status"], seen["trickle"], seen["state"]) == (201, 204, "connected")
    assert f"a={'recvonly' if direction == 'sendonly' else direction}\r\n" in seen["answer"]
    restart = seen["restart"]
    assert (restart["status"], restart["stale"]) == (200, 412)
    assert len(set(restart["etags"])) == 2
    counted = ended(seen["session"])
    assert counted["rtp"]["received"] >= 100


def test_chromium_plays(url: str, run: Run) -> None:
    seen = run("play", url + WHEP)
    assert (seen["status"], seen["trickle"], seen["state"]) == (201, 204, "connected")
    assert "a=sendonly\r\n" in seen["answer"]
    ended(seen["session"])


def test_whip_js_publishes_and_restarts(url: str, run: Run) -> None:
    needs("whip-whep")
    seen = run("simple", url + WHIP)
    assert seen["state"] == "connected"
    assert len(set(seen["etags"])) == 2
    assert ended(seen["session"])["rtp"]["received"] >= 100


def test_whep_js_plays(url: str, run: Run) -> None:
    needs("whip-whep")
    seen = run("player", url + WHEP)
    assert seen["state"] == "connected"
    ended(seen["session"])


def test_the_client_of_eyevinn_publishes(url: str, run: Run) -> None:
    needs("@eyevinn/whip-web-client")
    seen = run("eyevinn", url + WHIP)
    assert seen["state"] == "connected"
    assert ended(seen["session"])["rtp"]["received"] >= 50


def _has_muxer() -> bool:
    import av

    return "whip" in av.formats_available


@pytest.mark.skipif(not _has_muxer(), reason="PyAV's FFmpeg has no muxer for WHIP (from 8.0 on)")
@pytest.mark.xfail(
    reason="FFmpeg's certificate is on the curve P-224, which RFC 8422 has taken out of TLS: "
    "OpenSSL 4 refuses it (wrong curve)"
)
def test_ffmpeg_publishes(url: str) -> None:
    command = [sys.executable, str(PAGE / "ffmpeg_client.py"), url + WHIP, "--seconds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr


def _gstreamer_has(element: str) -> bool:
    if importlib.util.find_spec("gi") is None:
        return False
    program = (
        "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; "
        f"Gst.init(None); raise SystemExit(Gst.ElementFactory.find('{element}') is None)"
    )
    return subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_gstreamer_publishes(url: str) -> None:
    if not _gstreamer_has("whipclientsink"):
        pytest.skip("Debian 12 has no gst-plugins-rs, where whipclientsink and whipsink are")
    command = ["gst-launch-1.0", "-e", "audiotestsrc", "is-live=true", "num-buffers=200", "!"]
    command += ["whipclientsink", f"signaller::whip-endpoint={url}{WHIP}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
