"""`icelane agent run` as a process."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.ports import free_port
from tests.relay.cli.commands import line, run, started, unboxed


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_an_agent_says_when_it_is_ready_and_ends_when_told(ending: signal.Signals) -> None:
    listen = f"127.0.0.1:{free_port()}"
    async with started("agent", "run", "--listen", listen) as process:
        assert await line(process) == f"ready ws://{listen}/v1/realtime\n"
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"http://{listen}/v1/realtime") as it,
        ):
            assert (await it.receive_json())["type"] == "session.created"
            process.send_signal(ending)
            assert (await it.receive()).data == 1001
        output, errors = await process.communicate()
        assert (process.returncode, output, errors) == (0, b"", b"")


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--listen", "localhost"], 2, "is not a transport address"),
        (["--capacity", "0"], 2, "--capacity"),
        (["--recogniser", "nowhere"], 2, "names no recogniser"),
        (["--recogniser", "no.where:Nothing"], 2, "no recogniser"),
    ],
)
async def test_settings_that_cannot_be_used_are_explained(
    options: list[str], code: int, reason: str
) -> None:
    done = await run("agent", "run", *options)
    assert (done[0], done[1]) == (code, "")
    assert reason in unboxed(done[2])
    assert "Traceback" not in done[2]


async def test_an_address_that_is_taken_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        code, output, errors = await run("agent", "run", "--listen", address)
    assert (code, output) == (1, "")
    assert f"cannot listen on {address} for the agent" in errors


async def test_settings_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "icelane.toml"
    listen = f"127.0.0.1:{free_port()}"
    path.write_text(f'[agent]\nlisten = "{listen}"\ncapacity = 7\n')
    async with started("agent", "run", "--config", str(path)) as process:
        assert await line(process) == f"ready ws://{listen}/v1/realtime\n"
        async with aiohttp.ClientSession() as http, http.get(f"http://{listen}/healthz") as health:
            assert (await health.json())["capacity"] == 7


def test_looking_at_help_loads_no_model_and_no_server() -> None:
    program = (
        "import sys; import relay.cli.agent; "
        "sys.exit(bool({'onnxruntime', 'hibari', 'numpy', 'aiohttp'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
