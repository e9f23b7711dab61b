"""`icelane signaling run` as a process, the way users and service managers meet it."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from signaling.server import SignalingServer
from tests.relay.cli.commands import free_port, line, run, started, unboxed
from tests.signaling.conftest import http, real_server, serve, transceiver
from transceiver.server import Transceiver

__all__ = ["http", "real_server", "serve", "transceiver"]  # fixtures


@pytest.fixture
def registry(tmp_path: Path, transceiver: Transceiver) -> Path:
    path = tmp_path / "registry.toml"
    path.write_text(
        f"""
        [[relay]]
        vip = "{transceiver.address}"
        [[transceiver]]
        cluster = 1
        slot = 5
        generation = 9
        address = "{transceiver.address}"
        control = "http://{transceiver.control}"
        """
    )
    return path


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_signaling_says_when_it_is_ready_and_ends_when_told(
    registry: Path, http: aiohttp.ClientSession, ending: signal.Signals
) -> None:
    listen = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    async with started(
        "signaling", "run", "--listen", listen, "--registry", str(registry)
    ) as process:
        assert await line(process) == f"ready http://{listen}\n"
        async with http.get(f"http://{listen}/healthz") as response:
            assert (await response.json())["transceivers"]["with_room"] == 1
        process.send_signal(ending)
        output, errors = await process.communicate()
        assert (process.returncode, output, errors) == (0, b"", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("[[relay]", "not valid TOML"),
        ("", "names no relay"),
        ('[[relay]]\nvip = "192.0.2.1:3478"', "no transceiver with a control URL"),
    ],
)
async def test_a_registry_that_cannot_be_used_is_explained(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    path = tmp_path / "r.toml"
    if content is not None:
        path.write_text(content)
    code, output, errors = await run(
        "signaling", "run", "--listen", "127.0.0.1:1", "--registry", str(path)
    )
    assert (code, output) == (2, "")
    assert reason in unboxed(errors)
    assert "Traceback" not in errors


async def test_an_address_that_cannot_be_used_is_explained(
    registry: Path, real_server: SignalingServer
) -> None:
    for listen, code, reason in (
        ("localhost", 2, "is not a transport address"),
        (real_server.url.removeprefix("http://"), 1, "cannot listen on"),
    ):
        done = await run("signaling", "run", "--listen", listen, "--registry", str(registry))
        assert (done[0], done[1]) == (code, "")
        assert reason in unboxed(done[2])


def test_looking_at_help_loads_no_codec() -> None:
    program = (
        "import sys; import relay.cli.signaling; "
        "sys.exit(bool({'av', 'aiortc', 'aiohttp'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
