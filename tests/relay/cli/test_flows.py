"""`icelane flows` and `icelane top`, asked of a relay that runs."""

import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner, Result

from relay.cli.main import app
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass

ICELANE = Path(sys.executable).with_name("icelane")
KEYS = KeyRing({0: bytes(range(32))}, signing_slot=0)
LIMIT = 10.0  # seconds until what must happen has happened
NOBODY = "nobody-made-this"


class Running(NamedTuple):
    """A relay in userspace, and the client of its one pending flow."""

    admin: Path
    client: Endpoint
    vip: Endpoint
    transceiver: Endpoint


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port: int = udp.getsockname()[1]
        return port


def binding_request() -> bytes:
    route = mint(Target(1, 20, 3), KEYS, now=time.time(), lifetime=60, nonce=bytes(4))
    username = f"{route.ufrag}:client".encode()
    message = Message(MessageClass.REQUEST, BINDING, bytes(12), ((Attribute.USERNAME, username),))
    return message.serialize(b"password")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A relay that has seen a client's first check, and a transceiver that does not answer."""
    folder = tmp_path_factory.mktemp("relay")
    admin = folder / "admin.sock"
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as transceiver,
    ):
        for each in (client, transceiver):
            each.bind(("127.0.0.1", 0))
            each.settimeout(LIMIT)
        media, vip = Endpoint.of(transceiver.getsockname()), Endpoint("127.0.0.1", free_port())
        (folder / "keys.toml").write_text(KEYS.dumps())
        (folder / "registry.toml").write_text(
            "[[transceiver]]\ncluster = 1\nslot = 20\ngeneration = 3\n" + f'address = "{media}"\n'
        )
        options = ["--vip", str(vip), "--upstream", "127.0.0.1", "--keys", "keys.toml"]
        options += ["--registry", "registry.toml", "--dataplane", "userspace"]
        process = subprocess.Popen(
            [str(ICELANE), "relay", "run", *options, "--admin", str(admin)],
            cwd=folder,
            stdout=subprocess.PIPE,
        )
        output = process.stdout
        assert output is not None
        try:
            assert select.select([output], [], [], LIMIT)[0], "the relay does not start"
            assert output.readline().startswith(b"ready")
            request = binding_request()
            client.sendto(request, vip)
            while transceiver.recv(2048) != request:  # the announcement comes before it
                pass
            yield Running(admin, Endpoint.of(client.getsockname()), vip, media)
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(LIMIT)
            output.close()
    assert status == 0


def icelane(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json(relay: Running) -> None:
    result = icelane("flows", "--admin", relay.admin, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (flow,) = json.loads(result.stdout)
    upstream = Endpoint.parse(flow.pop("upstream"))
    assert upstream.host == "127.0.0.1"
    assert upstream.port in range(10_000, 30_000)
    assert 0 <= flow.pop("idle_seconds") < LIMIT
    assert flow.pop("to_transceiver")["packets"] == 1
    assert flow.pop("to_client")["packets"] == 0
    assert flow == {
        "client": str(relay.client),
        "vip": str(relay.vip),
        "transceiver": str(relay.transceiver),
        "target": "1/20.3",
        "state": "pending",
    }


def test_for_people_every_address_is_in_one_line(relay: Running) -> None:
    result = icelane("flows", "--admin", relay.admin)
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()
    assert header.split()[:5] == ["client", "vip", "upstream", "transceiver", "state"]
    cells = row.split()
    assert (cells[0], cells[1], cells[3]) == (
        str(relay.client),
        str(relay.vip),
        str(relay.transceiver),
    )
    assert cells[4:7] == ["pending", "1", "0"]


def test_top_looks_as_often_as_it_is_told(relay: Running) -> None:
    result = icelane("top", "--admin", relay.admin, "--count", "2", "--interval", "0.1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "userspace dataplane" in result.stdout
    assert "0 confirmed, 1 pending" in result.stdout


@pytest.mark.parametrize(
    "command", [("flows",), ("flows", "--json"), ("top", "--count", "1")], ids=" ".join
)
def test_without_relay_the_error_says_what_was_looked_for(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    admin = tmp_path / "nobody.sock"
    result = icelane(*command, "--admin", admin, "--instance", NOBODY)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"icelane: no agent answers at {admin}")
    assert "and no program" in line


@pytest.mark.parametrize(
    "options",
    [("--interval", "0"), ("--interval", "x"), ("--count", "-1")],
    ids=" ".join,
)
def test_a_rhythm_that_is_none_is_a_usage_error(options: tuple[str, str]) -> None:
    result = icelane("top", *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr
