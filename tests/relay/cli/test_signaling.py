"""The commands as processes, the way users and service managers meet them."""

import asyncio
import json
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from signaling.server import SignalingServer
from tests.signaling.conftest import real_server, serve, transceiver
from transceiver.server import Transceiver

__all__ = ["real_server", "serve", "transceiver"]  # fixtures

ICELANE = str(Path(sys.executable).with_name("icelane"))
LIMIT = 30.0  # seconds


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


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        ICELANE, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LIMIT):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(*arguments: str) -> tuple[int | None, str, str]:
    async with started(*arguments) as process:
        output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_signaling_says_when_it_is_ready_and_ends_when_told(
    registry: Path, unused_tcp_port: int, http: aiohttp.ClientSession, ending: signal.Signals
) -> None:
    listen = f"127.0.0.1:{unused_tcp_port}"
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
    assert reason in " ".join(errors.replace("│", "").split())
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
        assert reason in " ".join(done[2].replace("│", "").split())


async def test_a_call_reports_as_json(real_server: SignalingServer, tmp_path: Path) -> None:
    record = tmp_path / "out.wav"
    code, output, errors = await run(
        "call", real_server.url, "--seconds", "1", "--json", "--record", str(record)
    )
    report = json.loads(output)
    assert (code, errors) == (0, "")
    assert report["ok"]
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)
    with wave.open(str(record)) as file:
        assert file.getnframes() > 0


async def test_a_call_reports_its_steps_and_ctrl_c_ends_it_well(
    real_server: SignalingServer,
) -> None:
    events = []
    async with started("call", real_server.url, "--seconds", "60", "--progress-json") as process:
        while text := await line(process):
            events.append(json.loads(text))
            if events[-1]["event"] == "talking" and len(events) < 5:
                process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert [event["event"] for event in events[:3]] == ["answer", "connected", "talking"]
    assert events[-1]["event"] == "report"
    assert events[-1]["interrupted"]
    assert events[-1]["ok"]


async def test_people_get_steps_and_a_table(real_server: SignalingServer) -> None:
    code, output, errors = await run("call", real_server.url, "--seconds", "1")
    assert code == 0
    assert "✓ Connected to 127.0.0.1:" in errors
    assert "0 lost" in output


async def test_a_failed_call_gives_one_line_and_a_code(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    code, output, errors = await run("call", url)
    assert (code, output) == (4, "")
    assert errors == f"icelane: cannot reach {url}/v1/realtime/calls: Connection refused\n"
    code, output, _ = await run("call", url, "--json")
    assert code == 4
    assert json.loads(output)["error"]["code"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["ftp://127.0.0.1/"], 2, "is not a URL"),
        (["http://[::1"], 2, "is not a URL"),
        (["http://127.0.0.1", "--seconds", "0"], 2, "greater than or equal to 1"),
        (["http://127.0.0.1", "--wav", "none.wav"], 3, "none.wav cannot be read"),
        (["http://127.0.0.1", "--record", "none/out.wav"], 3, "none/out.wav cannot be written"),
    ],
)
async def test_wrong_usage_is_explained(arguments: list[str], code: int, reason: str) -> None:
    done = await run("call", *arguments)
    assert done[0] == code
    assert reason in " ".join(done[2].replace("│", "").split())
    assert "Traceback" not in done[2]


def test_looking_at_help_loads_no_codec() -> None:
    program = (
        "import sys; import relay.cli.signaling; "
        "sys.exit(bool({'av', 'aiortc', 'aiohttp'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
