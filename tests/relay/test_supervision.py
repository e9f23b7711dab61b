"""Background tasks that fail: what becomes of them, and what is seen of it."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relay.supervision import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Backoff, Faults, Supervisor
from tests.relay.conftest import eventually


class Worker:
    """Fails as long as it is told to, and counts."""

    def __init__(self) -> None:
        self.broken = True
        self.calls = 0

    async def once(self) -> None:
        self.calls += 1
        if self.broken:
            raise ZeroDivisionError("by nothing")

    async def on_and_on(self) -> None:
        await self.once()
        await asyncio.Event().wait()


@pytest_asyncio.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor()
    yield made
    await made.stop()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


def test_pauses_grow_to_a_bound_and_begin_again_after_a_long_life() -> None:
    backoff = Backoff()
    pauses = [backoff.pause(lived=0.0) for _ in range(12)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert backoff.pause(lived=STEADY) == FIRST_PAUSE
    assert backoff.pause(lived=0.0) == 2 * FIRST_PAUSE


async def test_a_task_that_raises_goes_on_and_says_so_once(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker()
    supervisor.start("sweep", worker.once, essential=True, every=0.001)
    await eventually(lambda: worker.calls >= 3, "it is started again")
    assert supervisor.troubles == ["sweep"]
    state = supervisor.states()["sweep"]
    assert (state["state"], state["essential"]) == ("failing", True)
    assert "ZeroDivisionError: by nothing (" in state["error"]
    assert supervisor.failures()["sweep"] >= 2
    (error,) = errors(caplog)
    assert error.startswith("sweep failed: ZeroDivisionError: by nothing (")
    worker.broken = False
    await eventually(lambda: supervisor.troubles == [], "it has recovered")
    assert supervisor.states()["sweep"]["state"] == "running"


async def test_one_that_never_ends_has_recovered_when_it_has_lived_for_a_while() -> None:
    now, worker = [0.0], Worker()
    supervisor = Supervisor(clock=lambda: now[0])
    supervisor.start("mirror", worker.on_and_on, essential=True)
    await eventually(lambda: supervisor.failures()["mirror"] == 1, "it has failed")
    worker.broken = False
    await eventually(lambda: worker.calls == 2, "it was started again")
    assert supervisor.troubles == ["mirror"]
    now[0] += STEADY
    assert supervisor.troubles == []
    await supervisor.stop()


async def test_what_is_not_essential_troubles_nobody(supervisor: Supervisor) -> None:
    supervisor.start("mirror", Worker().once, essential=False)
    await eventually(lambda: supervisor.failures()["mirror"] == 1, "it has failed")
    assert supervisor.troubles == []
    assert supervisor.states()["mirror"]["state"] == "failing"


async def test_of_a_group_of_tasks_it_is_told_what_one_has_raised(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    async def raising(error: Exception) -> None:
        raise error

    async def groups() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(inner())

    async def inner() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(raising(ValueError("no master")))
            tasks.create_task(raising(KeyError("other")))

    supervisor.start("registry", groups, essential=False)
    await eventually(lambda: supervisor.failures()["registry"] == 1, "it has failed")
    (error,) = errors(caplog)
    assert error.startswith("registry failed: ValueError: no master (")
    assert error.endswith(f"{__file__}:{raising.__code__.co_firstlineno + 1}), and 1 more")
    assert supervisor.states()["registry"]["error"] in error


async def test_what_ends_by_itself_has_ended(supervisor: Supervisor) -> None:
    worker = Worker()
    worker.broken = False
    supervisor.start("once", worker.once, essential=True)
    await eventually(lambda: supervisor.states()["once"]["state"] == "ended", "it has ended")
    assert worker.calls == 1
    assert supervisor.troubles == []


async def test_stopping_ends_tasks_that_run_and_that_pause() -> None:
    supervisor = Supervisor()
    runs, pauses = Worker(), Worker()
    runs.broken = False
    supervisor.start("runs", runs.on_and_on, essential=True)
    supervisor.start("pauses", pauses.once, essential=True)
    await eventually(lambda: runs.calls == 1 and pauses.calls >= 1, "both were started")
    before = len(asyncio.all_tasks())
    await supervisor.stop()
    assert len(asyncio.all_tasks()) == before - 2
    await supervisor.stop()


async def test_callbacks_and_forgotten_tasks_are_noted_once_per_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, faults = asyncio.get_running_loop(), Faults()
    former = loop.get_exception_handler()
    faults.guard(loop)

    def breaks() -> None:
        raise OSError(24, "Too many open files")

    try:
        for _ in range(5):
            loop.call_soon(breaks)
        await eventually(lambda: faults.counters["a callback"] == 5, "all were noted")
    finally:
        loop.set_exception_handler(former)
    (error,) = errors(caplog)
    assert "a callback failed: OSError: [Errno 24] Too many open files (" in error


async def test_what_is_ended_is_done_no_more_and_forgotten() -> None:
    done: list[None] = []

    async def work() -> None:
        done.append(None)

    supervisor = Supervisor()
    supervisor.start("work", work, essential=True, every=0.0)
    while not done:  # noqa: ASYNC110  # it is called soon
        await asyncio.sleep(0)
    supervisor.end("work")
    assert supervisor.states() == {}
    before = len(done)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(done) <= before + 1
    await supervisor.stop()


async def test_what_it_needs_may_be_away_though_it_raises_nothing(supervisor: Supervisor) -> None:
    trouble: list[str | None] = [None]
    never = asyncio.Event()

    async def work() -> None:
        await never.wait()

    supervisor.start("mirror", work, essential=False, trouble=lambda: trouble[0])
    assert supervisor.states()["mirror"]["state"] == "running"
    trouble[0] = "Redis does not answer"
    told = supervisor.states()["mirror"]
    assert (told["state"], told["error"]) == ("failing", "Redis does not answer")
    assert (told["failures"], supervisor.troubles) == (0, [])
    assert (supervisor.failing, supervisor.trouble("mirror")) == (["mirror"], trouble[0])
    trouble[0] = None
    assert (supervisor.failing, supervisor.trouble("mirror")) == ([], None)


async def test_a_task_that_has_recovered_has_no_trouble(supervisor: Supervisor) -> None:
    worker = Worker()
    supervisor.start("sweep", worker.once, essential=False, every=0.001)
    await eventually(lambda: supervisor.failing == ["sweep"], "it fails")
    assert str(supervisor.trouble("sweep")).startswith("ZeroDivisionError: by nothing (")
    worker.broken = False
    await eventually(lambda: supervisor.failing == [], "it has recovered")
    assert supervisor.trouble("sweep") is None
    assert supervisor.trouble("none of that name") is None
