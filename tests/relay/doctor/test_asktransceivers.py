"""Transceivers are asked whether they are there."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.config.registry import Transceiver
from relay.doctor import asktransceivers
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.ports import free_port
from tests.relay.cli.commands import line, started

KEYS = KeyRing({0: bytes(range(32))}, 0)
TARGET = Target(1, 5, 1)
V4 = {int(socket.AF_INET): "127.0.0.1"}


@pytest.fixture
def silent() -> Iterator[Endpoint]:
    """An address at which somebody listens who says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        yield Endpoint.of(udp.getsockname())


async def test_one_that_is_there_tells_its_load_and_its_time(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(KEYS.dumps())
    keys.chmod(0o600)
    media, control = (f"127.0.0.1:{free_port()}" for _ in range(2))
    arguments = ["--listen", media, "--control", control, "--keys", str(keys), "--slot", "5"]
    async with started("transceiver", "run", *arguments) as process:
        assert (await line(process)).startswith("ready")
        known = Transceiver(TARGET, Endpoint.parse(media), f"http://{control}")
        (asked,) = await asktransceivers.ask([known], KEYS, V4)
        process.terminate()
        await process.wait()
        (gone,) = await asktransceivers.ask([known], KEYS, V4)
    assert (asked.name, asked.trouble) == (media, None)
    assert asked.says.startswith("its control API answers: 0 of ")
    assert asked.ahead is not None
    assert abs(asked.ahead) < 60
    assert "media address refuses: Connection refused" in (gone.trouble or "")


async def test_one_whose_control_api_is_not_there(silent: Endpoint) -> None:
    known = Transceiver(TARGET, silent, f"http://127.0.0.1:{free_port()}")
    (asked,) = await asktransceivers.ask([known], KEYS, V4)
    assert "does not answer" in (asked.trouble or "")


async def test_one_of_others_that_says_nothing_may_be_well(
    silent: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asktransceivers, "_LIMIT", 0.2)
    (asked,) = await asktransceivers.ask([Transceiver(TARGET, silent)], None, {})
    assert asked.trouble is None
    assert "nothing refuses" in asked.says


async def test_one_to_which_no_route_leads_from_here() -> None:
    known = Transceiver(TARGET, Endpoint("192.0.2.2", 5000))
    (asked,) = await asktransceivers.ask([known], KEYS, {int(socket.AF_INET): "192.0.2.77"})
    assert "does not have that address" in (asked.trouble or "")
