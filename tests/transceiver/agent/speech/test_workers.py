import asyncio
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from transceiver.agent.speech.errors import AgentError, PoolBusyError
from transceiver.agent.speech.workers import MAX_WAITING, Workers, serve

HERE = f"{__name__}:"


class Job:
    """What workers do here: as the header says."""

    def __call__(self, header: Any, body: bytes) -> Any:
        match header:
            case "size":
                return len(body)
            case "print":
                print("words of a library")  # noqa: T201  # that is the case
                return "printed"
            case "die":
                os._exit(3)
            case {"seconds": seconds}:
                time.sleep(seconds)
                return "slept"
        raise ValueError(header)


def missing() -> Job:
    raise AgentError("Install it")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker imports this module as the tests do: by its name, from the root."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[4]), *sys.path])


async def test_jobs_are_done_and_answered() -> None:
    workers = Workers(HERE + "Job", 2)
    await workers.open()
    sizes = [0, 1, 1_440_000, 5]
    assert await asyncio.gather(*(workers.run("size", bytes(size)) for size in sizes)) == sizes
    assert await workers.run("print", b"") == "printed"
    assert len(workers.pids) == 2
    await workers.close()
    assert workers.pids == []


async def test_a_job_that_fails_costs_itself() -> None:
    workers = Workers(HERE + "Job", 1)
    await workers.open()
    with pytest.raises(AgentError, match="ValueError: unknown"):
        await workers.run("unknown", b"")
    assert await workers.run("size", b"12") == 2
    with pytest.raises(AgentError, match="ended"):
        await workers.run("die", b"")
    assert await workers.run("size", b"123") == 3
    await workers.close()


async def test_a_job_that_is_cancelled_leaves_no_answer_to_the_next() -> None:
    workers = Workers(HERE + "Job", 1)
    await workers.open()
    first = workers.pids
    task = asyncio.ensure_future(workers.run({"seconds": 60}, b""))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await workers.run("size", b"1") == 1
    assert workers.pids != first
    await workers.close()


async def test_what_waits_is_bounded() -> None:
    workers = Workers(HERE + "Job", 1)
    await workers.open()
    tasks = [asyncio.ensure_future(workers.run("size", b"")) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(PoolBusyError):
        await workers.run("size", b"")
    assert await asyncio.gather(*tasks) == [0] * MAX_WAITING
    await workers.close()


async def test_what_cannot_start_says_why() -> None:
    with pytest.raises(AgentError, match="Install it"):
        await Workers(HERE + "missing", 1).open()
    with pytest.raises(AgentError, match="nowhere"):
        await Workers("nowhere:Job", 1).open()


async def test_a_worker_does_not_hear_of_ctrl_c_and_ends_with_its_input() -> None:
    workers = Workers(HERE + "Job", 1)
    await workers.open()
    (pid,) = workers.pids
    assert os.getpgid(pid) != os.getpgid(0)
    await workers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_it_serves_until_its_input_ends() -> None:
    sink = io.BytesIO()
    serve(
        HERE + "Job", io.BytesIO(b"\x00\x00\x00\x06\x00\x00\x00\x02" + b'"size"ab' + b"\x00"), sink
    )
    assert sink.getvalue().endswith(b'{"value": 2}')
