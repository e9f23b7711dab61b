"""`icelane calls`, asked while a call goes on through `icelane up`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT, icelane, refused

INSTANCE = f"test-calls-{os.getpid()}"
HERE = ("--instance", INSTANCE)


@dataclass
class Under:
    """What is asked about.

    Attributes:
        url: Of signaling.
        records: Where ended calls are recorded.
    """

    url: str
    records: Path

    def place(self) -> subprocess.Popen[str]:
        """Place a call that goes on until it is hung up."""
        command = [str(ICELANE), "call", self.url, "--seconds", "300", "--progress-json"]
        calling = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert calling.stdout is not None
        while json.loads(calling.stdout.readline())["event"] != "talking":
            pass
        return calling


@pytest.fixture(scope="module")
def under(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Under]:
    """A relay, a transceiver and signaling."""
    records = tmp_path_factory.mktemp("up") / "calls.jsonl"
    vip = f"127.0.0.1:{free_port()}"
    page = f"127.0.0.1:{free_port()}"
    options = ["--vip", vip, "--listen", page, "--backend", "echo", "--records", str(records)]
    with subprocess.Popen(
        [str(ICELANE), "up", *options, *HERE], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield Under(f"http://{page}", records)
        process.terminate()
        assert process.wait(LIMIT) == 0


@pytest.fixture
def calling(under: Under) -> Iterator[subprocess.Popen[str]]:
    """A call that goes on."""
    process = under.place()
    yield process
    process.send_signal(signal.SIGINT)  # it hangs up
    process.communicate(timeout=LIMIT)


def listed(*options: str) -> list[dict[str, Any]]:
    result = icelane("calls", "list", *options, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    calls: list[dict[str, Any]] = json.loads(result.stdout)
    return calls


def the_call() -> dict[str, Any]:
    """The one call that is connected, once its flow is there, too."""
    deadline = time.monotonic() + LIMIT
    while True:
        found = [each for each in listed(*HERE) if each["state"] == "connected" and each["flow"]]
        if found:
            (call,) = found
            return call
        assert time.monotonic() < deadline, "there is no call"


@pytest.mark.usefixtures("calling")
def test_a_call_is_listed_with_its_flow() -> None:
    call = the_call()
    assert call["id"].startswith("rtc_1-1-1-")
    assert call["flow"]["client"] == call["client"]
    assert call["flow"]["state"] == "confirmed"
    assert call["transceiver"] == "1/1.1"
    header, row = icelane("calls", "list", *HERE).stdout.splitlines()
    assert header.split()[:4] == ["id", "state", "age", "principal"]
    assert call["id"] in row
    assert call["client"] in row


@pytest.mark.usefixtures("calling")
def test_all_of_a_call_is_shown() -> None:
    call = the_call()
    shown = icelane("calls", "show", call["id"], *HERE)
    named = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert named["id"] == call["id"]
    assert int(named["rtp.received"]) > 0
    assert named["flow.transceiver"] == call["flow"]["transceiver"]
    as_json = json.loads(icelane("calls", "show", call["id"], *HERE, "--json").stdout)
    assert as_json["id"] == call["id"]


def test_a_call_is_hung_up_and_recorded(calling: subprocess.Popen[str], under: Under) -> None:
    call = the_call()
    done = icelane("calls", "hangup", call["id"], *HERE)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Hung up {call['id']} after ")
    assert calling.wait(LIMIT) != 0  # the other side ended it
    records = [json.loads(line) for line in under.records.read_text("utf-8").splitlines()]
    (record,) = [each for each in records if each["id"] == call["id"]]
    assert record["reason"] == "hung up"
    assert record["client"] == call["client"]
    assert record["rtp"]["received"] > 0
    assert record["steps"]["dtls"] > 0
    assert refused(icelane("calls", "hangup", call["id"], *HERE), code=1).startswith(
        f"icelane: there is no call {call['id']}: `icelane calls list`"
    )


@pytest.mark.usefixtures("under")
@pytest.mark.parametrize("call_id", ["rtc_1-1-1-nobody", "rtc_1-9-1-nobody", "nonsense"])
@pytest.mark.parametrize("command", ["show", "hangup"])
def test_a_call_that_is_not_there(command: str, call_id: str) -> None:
    line = refused(icelane("calls", command, call_id, *HERE), code=1)
    assert line.startswith(f"icelane: there is no call {call_id}: ")


def test_without_a_relay_the_registry_names_transceivers(tmp_path: Path) -> None:
    nobody = ("--instance", "nobody-made-this")
    line = refused(icelane("calls", "list", *nobody), code=1)
    assert line.endswith("name the transceivers with --registry FILE")
    closed = f"http://127.0.0.1:{free_port()}"
    entry = '[[transceiver]]\ncluster = 1\nslot = 2\ngeneration = 3\naddress = "192.0.2.2:5000"\n'
    registry = tmp_path / "registry.toml"
    registry.write_text(entry)
    line = refused(icelane("calls", "list", *nobody, "--registry", registry), code=1)
    assert "has a control URL: write `control` there" in line
    registry.write_text(f'{entry}control = "{closed}"\n')
    line = refused(icelane("calls", "list", *nobody, "--registry", registry), code=1)
    assert line.startswith(f"icelane: transceiver 1/2.3 at {closed} cannot be asked: ")
