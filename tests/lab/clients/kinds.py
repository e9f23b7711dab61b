"""The kinds of clients: how each is started, and what this machine lacks for it."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tests.lab.clients.outcome import Scenario
from tests.lab.clients.stimulus import Stimulus
from tests.lab.config import SIGNALING_URL

ROOT = Path(__file__).parent.parent.parent.parent
BUILT = Path(sys.prefix) / "clients"  # `make setup-test` puts there what it builds
_PAGE = f"{SIGNALING_URL}/healthz"  # any page of an origin that may use the microphone


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of clients.

    Attributes:
        name: Its name.
        command: Its command line, of the stimulus and further arguments.
        needs: Programs, files and Python modules that it needs, as `missing` finds them.
        version: Says which version is installed, once `missing` finds nothing.
        cannot: The scenarios that it cannot come through, whatever the server does, and why.
    """

    name: str
    command: Callable[[Stimulus], Sequence[str]]
    needs: Sequence[str]
    version: Callable[[], str]
    cannot: Mapping[Scenario, str] = field(default_factory=dict)

    def missing(self) -> str | None:
        """What this machine lacks for it, in words; None when there is everything."""
        lacking = [need for need in self.needs if not _present(need)]
        return f"needs {', '.join(lacking)}: `make setup-test`" if lacking else None


def _present(need: str) -> bool:
    if need.startswith("/"):
        return Path(need).exists()
    if need.startswith("python:"):
        return importlib.util.find_spec(need.removeprefix("python:")) is not None
    return shutil.which(need) is not None


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"tests.lab.clients.drivers.{module}", *arguments]


def _browser(name: str, flags: Sequence[str] = ()) -> Callable[[Stimulus], list[str]]:
    given = [f"--flag={flag}" for flag in flags]
    return lambda stimulus: _python(
        "browser_client", _PAGE, "--browser", name, "--wav", str(stimulus.wav), *given
    )


def _node(script: str) -> Callable[[Stimulus], list[str]]:
    # The packages are beside a link to the script, and not beside the script.
    node = ["node", "--preserve-symlinks", "--preserve-symlinks-main"]
    return lambda stimulus: [*node, str(BUILT / "node" / script), str(stimulus.packets)]


def _node_package(name: str) -> str:
    return str(BUILT / "node" / "node_modules" / name / "package.json")


def _node_version(name: str) -> str:
    return str(json.loads(Path(_node_package(name)).read_text("utf-8"))["version"])


def _packaged(name: str) -> str:
    """The version of a distribution's package, without what the distribution adds to it."""
    query = ["dpkg-query", "-W", "-f=${Version}", name]
    done = subprocess.run(query, check=False, capture_output=True, text=True)
    return done.stdout.partition("-")[0]


_NAMESPACES = ("python:gi", "/usr/lib/python3/dist-packages/gi/overrides/Gst.py")

CHROMIUM = Kind(
    "chromium",
    _browser("chromium"),
    ("chromium", "chromedriver"),
    partial(_packaged, "chromium"),
)
AIORTC = Kind(
    "aiortc",
    lambda stimulus: _python("aiortc_client", str(stimulus.wav)),
    ("python:aiortc",),
    partial(version, "aiortc"),
    cannot={Scenario.RESTART: "aiortc 1.16 has none"},
)
LIBWEBRTC = Kind(
    "libwebrtc",
    lambda stimulus: _python("libwebrtc_client", str(stimulus.wav)),
    ("python:webrtc",),
    partial(version, "wrtc"),
)
KINDS = {
    kind.name: kind
    for kind in (
        CHROMIUM,
        Kind(
            "firefox",
            _browser("firefox"),
            ("firefox-esr",),
            partial(_packaged, "firefox-esr"),
        ),
        AIORTC,
        Kind(
            "node-datachannel",
            _node("datachannel.mjs"),
            ("node", _node_package("node-datachannel")),
            partial(_node_version, "node-datachannel"),
            cannot={Scenario.RESTART: "libdatachannel 0.24 has none"},
        ),
        Kind(
            "werift",
            _node("werift.mjs"),
            ("node", _node_package("werift")),
            partial(_node_version, "werift"),
            # Its connect() returns at once when DTLS is connected, before it starts ICE.
            cannot={Scenario.RESTART: "werift 0.25 forgets its pair, and checks no new one"},
        ),
        Kind(
            "gstreamer",
            lambda _: _python("gstreamer_client"),
            _NAMESPACES,
            partial(_packaged, "gstreamer1.0-plugins-bad"),
            cannot={
                Scenario.RESTART: "webrtcbin 1.22 has none",
                Scenario.REBINDING: "libnice 0.1.21 sends no check after the first ones",
            },
        ),
        Kind(
            "pion",
            lambda stimulus: [str(BUILT / "pion"), str(stimulus.packets)],
            (str(BUILT / "pion"),),
            partial(_packaged, "golang-github-pion-webrtc.v3-dev"),
        ),
        LIBWEBRTC,
    )
}


def variant(kind: Kind, flags: Sequence[str]) -> Kind:
    """Chromium with further flags."""
    return replace(kind, command=_browser("chromium", flags))
