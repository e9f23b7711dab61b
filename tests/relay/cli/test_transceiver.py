"""`icelane transceiver run` as a process."""

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.relay.cli.commands import ICELANE, LIMIT, free_port
from tests.transceiver.conftest import caller, dial, keys, transceiver, until

__all__ = ["caller", "dial", "keys", "transceiver", "until"]  # fixtures

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def key_file(keys: KeyRing, tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(keys.dumps())
    return path


@pytest.fixture
def run(key_file: Path) -> Iterator[Run]:
    started = []

    def start(**options: object) -> subprocess.Popen[str]:
        settings = {
            "listen": f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
            "control": f"127.0.0.1:{free_port(socket.SOCK_STREAM)}",
            "keys": key_file,
            "slot": 5,
            **options,
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        process = subprocess.Popen(
            [ICELANE, "transceiver", "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stderr.close()


def ready_line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout
    words = process.stdout.readline().split()
    assert words[:1] == ["ready"], process.communicate()
    return dict(word.split("=", 1) for word in words[1:])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_exits_with_zero(run: Run, number: signal.Signals) -> None:
    media = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    process = run(listen=media)
    ready = ready_line(process)
    assert (ready["media"], ready["target"]) == (media, "1/5.1")
    with closing(HTTPConnection(ready["control"].removeprefix("http://"), timeout=5)) as http:
        http.request("GET", "/v1/health")
        health = json.load(http.getresponse())
    assert health == {"sessions": 0, "capacity": 20, "draining": False}
    process.send_signal(number)
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (0, "")
    assert "Traceback" not in errors


async def test_a_signal_ends_running_calls(run: Run, dial: Callable[..., Any], until: Any) -> None:
    process = run()
    ready = await asyncio.to_thread(ready_line, process)
    client = dial(Endpoint.parse(ready["control"].removeprefix("http://")))
    await client.call(Endpoint.parse(ready["media"]))
    await until(lambda: client.hears(10))
    process.send_signal(signal.SIGTERM)
    await until(lambda: client.pc.connectionState == "closed")
    _, errors = await asyncio.to_thread(process.communicate, timeout=LIMIT)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert errors.count("connected in") == 1
    assert errors.count("ended: the transceiver stops") == 1


def failure(process: subprocess.Popen[str], code: int = 2) -> str:
    output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == code, (output, errors)
    assert output == ""
    assert "Traceback" not in errors
    (line,) = errors.splitlines()
    return line


def test_a_missing_key_file_is_named(run: Run) -> None:
    assert "icelane keys new" in failure(run(keys="/nowhere/keys.toml"))


@pytest.mark.parametrize("option", ["listen", "control"])
def test_a_bad_address_is_named(run: Run, option: str) -> None:
    assert f"--{option}: 'localhost' is not" in failure(run(**{option: "localhost:5000"}))


def test_media_needs_one_address(run: Run) -> None:
    assert "name one address" in failure(run(listen="0.0.0.0:5000"))


@pytest.mark.parametrize(
    ("option", "purpose", "kind"),
    [
        ("listen", "media", socket.SOCK_DGRAM),
        ("control", "the control API", socket.SOCK_STREAM),
    ],
)
def test_a_port_in_use_is_named(
    run: Run, option: str, purpose: str, kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = failure(run(**{option: address}), code=1)
    assert f"cannot listen on {address} for {purpose}: Address already in use" in line


def test_an_address_of_another_host_is_named(run: Run) -> None:
    assert "this host has no such address" in failure(run(listen="192.0.2.77:5000"), code=1)
