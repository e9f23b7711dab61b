"""`icelane call` as a process, against signaling and a transceiver without a relay."""

import json
import signal
import wave
from pathlib import Path

import pytest

from signaling.server import SignalingServer
from tests.ports import free_port
from tests.relay.cli.commands import line, run, started, unboxed
from tests.signaling.conftest import real_server, serve, transceiver

__all__ = ["real_server", "serve", "transceiver"]  # fixtures


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


async def test_a_failed_call_gives_one_line_and_a_code() -> None:
    url = f"http://127.0.0.1:{free_port()}"
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
    assert reason in unboxed(done[2])
    assert "Traceback" not in done[2]
