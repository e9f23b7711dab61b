"""What `relay.wire` makes and takes, the libraries in Go and JavaScript make and take, too."""

import json
import os
import shutil
import subprocess
import tomllib
from typing import Any

import pytest

from relay.wire.announcement import Announcement
from relay.wire.errors import AnnouncementError, RouteFormatError, RouteKeyError, RouteTagError
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.route import Target, open_ufrag
from tests.fronting.vectors import CLUSTER, PATH, RING, text
from tests.lab.clients.kinds import BUILT

VECTORS: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
REASONS = {"format": RouteFormatError, "key": RouteKeyError, "tag": RouteTagError}
LIMIT = 120.0  # seconds; two with what Go has compiled before
# Nothing is fetched, and what was compiled before is used.
GO = {
    "GOPROXY": "off",
    "GOFLAGS": "-mod=mod",
    "CGO_ENABLED": "0",
    "GOCACHE": str(BUILT / "go/cache"),
}


def test_the_file_is_what_the_command_writes() -> None:
    assert PATH.read_text("utf-8") == text(), "run `python -m tests.fronting`"


def test_key_files() -> None:
    files = VECTORS["key_files"]
    ring = KeyRing.of(tomllib.loads(files["masters"]))
    assert (ring.slots, ring.signing_slot) == (RING.slots, RING.signing_slot)
    for slot in sorted(ring.slots):
        key = RING.route_key(CLUSTER, slot)
        assert ring.route_key(CLUSTER, slot) == key
        assert tomllib.loads(files["cluster"])["keys"][str(slot)]["route"] == key.hex()


@pytest.mark.parametrize("vector", VECTORS["routes"])
def test_routes(vector: dict[str, Any]) -> None:
    route = open_ufrag(vector["ufrag"], RING)
    assert route.target == Target(vector["cluster"], vector["slot"], vector["generation"])
    assert (route.key_slot, route.nonce.hex()) == (vector["key_slot"], vector["nonce"])
    assert route.expired(vector["looked_at"]) == vector["expired"]


@pytest.mark.parametrize("vector", VECTORS["refused"])
def test_no_routes(vector: dict[str, Any]) -> None:
    with pytest.raises(REASONS[vector["reason"]]):
        open_ufrag(vector["ufrag"], RING)


@pytest.mark.parametrize("vector", VECTORS["announcements"])
def test_announcements(vector: dict[str, Any]) -> None:
    said = Announcement.parse(bytes.fromhex(vector["data"]), RING)
    assert (str(said.client), str(said.vip)) == (vector["client"], vector["vip"])
    assert (str(said.upstream), said.epoch) == (vector["upstream"], vector["epoch"])
    assert (said.time, said.transport) == (vector["time"], vector["transport"])


@pytest.mark.parametrize("vector", VECTORS["announcements_refused"])
def test_no_announcements(vector: dict[str, Any]) -> None:
    with pytest.raises(AnnouncementError):
        Announcement.parse(bytes.fromhex(vector["data"]), RING)


@pytest.mark.parametrize("vector", VECTORS["goodbyes"])
def test_goodbyes(vector: dict[str, Any]) -> None:
    said = Announcement.parse(bytes.fromhex(vector["announcement"]), RING)
    heard = Goodbye.parse(bytes.fromhex(vector["data"]), RING)
    assert heard == Goodbye(said.route, said.client, said.upstream)


def test_the_library_in_go() -> None:
    if shutil.which("go") is None:
        pytest.skip("needs Go: `make setup-test`")
    passes("go", "test", "-count=1", ".")


def test_the_library_in_go_is_formatted() -> None:
    if shutil.which("gofmt") is None:
        pytest.skip("needs Go: `make setup-test`")
    assert passes("gofmt", "-l", ".") == ""


def test_the_library_in_javascript() -> None:
    if shutil.which("node") is None:
        pytest.skip("needs Node: `make setup-test`")
    passes("node", "--test", "icelane.test.mjs")


def passes(*command: str) -> str:
    """What a command in the folder of the libraries prints; it must end well."""
    ran = subprocess.run(
        command,
        cwd=PATH.parent,
        env=os.environ | GO,
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
