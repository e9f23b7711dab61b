"""Children as real processes: what becomes of one that ends, hangs, or never serves."""

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from relay import children
from relay.children import Child
from relay.errors import WorkerError

LIMIT = 20.0  # seconds until what must happen has happened
BEATING = """
import time
from relay.children import beat, become_child
become_child()
print("ready", flush=True)
while True:
    beat(%s)
    time.sleep(0.02)
"""
WAITING = """
import asyncio, pathlib, sys
from relay.children import become_child, waiting
from relay import children
become_child()
children.BEAT = 0.02
async def main():
    async with waiting("it waits for a file"):
        while not pathlib.Path(sys.argv[1]).exists():
            await asyncio.sleep(0.02)
asyncio.run(main())
%s
"""
SILENT = "import time; print('ready', flush=True); time.sleep(60)"


def child(code: str, counters: Counter[str] | None = None, *, more: object = "") -> Child:
    command = (sys.executable, "-c", code, str(more))
    counts = Counter[str]() if counters is None else counters
    return Child("worker 0", command, counters=counts, log=logging.getLogger(__name__))


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110  # what another process does
            await asyncio.sleep(0.01)


def lives(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_is_started_and_stopped() -> None:
    one = child(BEATING % "()")
    assert one.pid is None
    await one.start()
    assert one.troubles == []
    assert lives(one.pid)
    await one.stop()
    assert not lives(one.pid)


async def test_its_troubles_are_those_that_it_tells() -> None:
    one = child(BEATING % "['no room']")
    await one.start()
    keeping = asyncio.create_task(one.keep())
    await wait_until(lambda: one.troubles == ["no room"])
    keeping.cancel()
    await one.stop()


async def test_one_that_ends_before_it_serves_is_an_error() -> None:
    with pytest.raises(WorkerError, match="worker 0 does not start; see what it says above"):
        await child("raise SystemExit(3)").start()


async def test_one_that_says_what_it_waits_for_may_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    one = child(WAITING % "print('ready', flush=True); import time; time.sleep(60)", more=there)
    starting = asyncio.create_task(one.start())
    await wait_until(lambda: one.troubles == ["it waits for a file"])
    monkeypatch.setattr(children, "START_SECONDS", 1.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * children.START_SECONDS):
            await asyncio.shield(starting)
    there.touch()
    await starting
    assert one.troubles == []
    await one.stop()


async def test_one_that_waits_and_then_says_nothing_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    one = child(WAITING % "import time; time.sleep(60)", more=there)
    starting = asyncio.create_task(one.start())
    await wait_until(lambda: one.troubles == ["it waits for a file"])
    monkeypatch.setattr(children, "START_SECONDS", 3 * children.BEAT)
    one.troubles.clear()
    await wait_until(lambda: bool(one.troubles))  # from now on it is waited for so long
    there.touch()
    with pytest.raises(WorkerError, match="worker 0 does not start"):
        await starting
    assert not lives(one.pid)


async def test_who_is_nobodys_child_tells_nobody_that_he_waits(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with children.waiting("it waits"):
        await asyncio.sleep(0)
    assert capfd.readouterr().out == ""


async def test_one_that_is_killed_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counter[str]()
    one = child(BEATING % "()", counters)
    await one.start()
    keeping, first = asyncio.create_task(one.keep()), one.pid
    os.kill(first or 0, signal.SIGKILL)
    await wait_until(lambda: one.pid != first and one.troubles == [])
    assert counters == {"workers_restarted": 1}
    assert "worker 0 ended (killed by SIGKILL) and is started again" in caplog.text
    keeping.cancel()
    await one.stop()


async def test_one_that_says_nothing_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(children, "HUNG_AFTER", 0.1)
    counters = Counter[str]()
    one = child(SILENT, counters)
    await one.start()
    keeping, first = asyncio.create_task(one.keep()), one.pid
    await wait_until(lambda: counters["workers_hung"] > 0)
    await wait_until(lambda: one.pid != first)
    assert not lives(first)
    assert "hung" in caplog.text
    keeping.cancel()
    await one.stop()


async def test_one_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "STOP_SECONDS", 0.1)
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    one = child(ignore + SILENT)
    await one.start()
    await one.stop()
    assert not lives(one.pid)
