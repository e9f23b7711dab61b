"""The wall clock of one machine is wrong, or steps, while real calls go on.

Each process is a machine of its own here: libfaketime shifts the wall clock of one at a time, by a
file that is read at each look at the clock. Monotonic clocks stay as they are.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from relay.admin.transport import ask
from tests.lab.config import icelane
from tests.ports import free_port
from tests.relay.conftest import RedisServer

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

LIMIT = 60.0  # seconds
_REFUSED = 5  # by signaling, as `icelane call` tells
RELAY, SIGNALING, ONE, OTHER = "relay", "signaling", "transceiver-1", "transceiver-2"


class Fleet:
    """A relay, signaling and two transceivers, each with a clock of its own."""

    def __init__(self, directory: Path, redis: str) -> None:
        self._directory = directory
        self._admin = directory / "admin.sock"
        self._stack = ExitStack()
        self._vip, self._health = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.url = f"http://127.0.0.1:{free_port()}"
        keys = directory / "keys.toml"
        subprocess.run([icelane(), "keys", "new", str(keys)], check=True, capture_output=True)
        self._common = ["--keys", str(keys), "--redis", redis, "--cluster", "1"]

    def __enter__(self) -> Self:
        try:
            # Transceivers at one address count as one machine: they have one clock.
            for name, host in ((ONE, "127.0.0.1"), (OTHER, "127.0.0.2")):
                places = (f"{host}:{free_port(host)}", f"127.0.0.1:{free_port()}")
                options = ("--listen", places[0], "--control", places[1])
                self._start(name, "transceiver", "run", *options)
            relay = ("--vip", self._vip, "--upstream", "127.0.0.1", "--dataplane", "userspace")
            admin = ("--admin", str(self._admin), "--metrics", self._health)
            allow = ("--allow", "127.0.0.0/8")
            self._start(RELAY, "relay", "run", *relay, *admin, *allow)
            listen = self.url.removeprefix("http://")
            self._start(SIGNALING, "signaling", "run", "--listen", listen, "--open", *allow)
            self.until(lambda: self.call(1).returncode == 0, "a call can be placed")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def off(self, name: str, seconds: int) -> Iterator[None]:
        """The clock of a machine is so many seconds ahead, until the context ends."""
        self._clock(name).write_text(f"{seconds:+d}")
        try:
            yield
        finally:
            self._clock(name).write_text("+0")

    def call(self, seconds: int) -> "subprocess.CompletedProcess[str]":
        """Place a call of so many seconds."""
        return subprocess.run(
            self._call(seconds), capture_output=True, text=True, check=False, timeout=LIMIT
        )

    @contextmanager
    def calling(self, seconds: int) -> Iterator[None]:
        """A call that goes on for so long, and is whole in the end."""
        self.until(lambda: not self._flows(), "the flow of the call before has gone")
        with subprocess.Popen(self._call(seconds), stdout=subprocess.PIPE, text=True) as running:
            try:
                self.until(lambda: bool(self._flows()), "the call is connected")
                yield
                assert running.poll() is None, "it ended before what it was to last for"
            finally:
                running.terminate()
            assert running.stdout is not None
            whole(json.loads(running.stdout.read()))

    def readiness(self) -> str:
        """What the relay says of its readiness."""
        try:
            with urllib.request.urlopen(f"http://{self._health}/readyz", timeout=LIMIT) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def log(self, name: str) -> str:
        """What a machine has logged."""
        return self._log(name).read_text()

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT
        while not holds():
            assert time.monotonic() < deadline, what
            time.sleep(0.1)

    def _call(self, seconds: int) -> list[str]:
        return [icelane(), "call", self.url, "--model", "echo", "--seconds", str(seconds), "--json"]

    def _clock(self, name: str) -> Path:
        return self._directory / f"{name}.clock"

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _flows(self) -> int:
        return int(ask(self._admin, "flow_counts")["confirmed"])

    def _start(self, name: str, *command: str) -> None:
        assert LIBRARIES, "libfaketime is missing: run `make setup-test`"
        self._clock(name).write_text("+0")
        shifted = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock(name)),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        log = self._stack.enter_context(self._log(name).open("w"))
        process = self._stack.enter_context(
            subprocess.Popen(
                [icelane(), *command, *self._common],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | shifted,
            )
        )
        self._stack.callback(process.terminate)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready"), self.log(name)


def whole(report: Mapping[str, Any]) -> None:
    """A call went on to its end; on a busy machine some packets are lost, whatever clocks say."""
    received, lost = report["received"]["packets"], report["received"]["lost"]
    assert report["ok"], report
    assert received > 0, report
    assert lost + report["lost_to_server"] < received / 2, report


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("clocks")
    with RedisServer(directory) as redis, Fleet(directory, redis.url) as made:
        yield made


def test_one_clock_is_five_minutes_off_and_everything_works(fleet: Fleet) -> None:
    """It steps there while a call goes on, and back again."""
    with fleet.calling(3600):
        for machine in (RELAY, SIGNALING, ONE):
            for seconds in (300, -300):
                with fleet.off(machine, seconds):
                    placed = fleet.call(1)
                    assert placed.returncode == 0, (machine, seconds, placed.stderr)
                    whole(json.loads(placed.stdout))
    assert "clock" not in fleet.log(RELAY)
    assert "clock" not in fleet.log(ONE)


@pytest.mark.parametrize("seconds", [25 * 3600, -25 * 3600])
def test_a_relay_a_day_off_keeps_its_calls_and_gets_no_new_ones(fleet: Fleet, seconds: int) -> None:
    with fleet.calling(3600):
        with fleet.off(RELAY, seconds):
            fleet.until(lambda: "clock" in fleet.readiness(), "it notices")
            fleet.until(lambda: fleet.call(1).returncode == _REFUSED, "new calls are refused")
            assert "days" in fleet.readiness()
            fleet.until(lambda: "let NTP set it" in fleet.log(RELAY), "the log names the culprit")
        fleet.until(lambda: fleet.readiness() == "ok\n", "it is right again")
    fleet.until(lambda: fleet.call(1).returncode == 0, "a call can be placed")
