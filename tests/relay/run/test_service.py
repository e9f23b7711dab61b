"""What all services do as processes: log, say when they serve, and end when they are told."""

import signal
import subprocess
import sys

import pytest

LIMIT = 20.0  # seconds until what must happen has happened
SERVICE = """
import asyncio, contextlib, logging, sys
from relay.run.service import log_to_stderr, serve

log_to_stderr({verbose})
log = logging.getLogger("service")

async def wait_for_ever():
    print("starting", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        log.info("closing what is open by then")
        await asyncio.sleep(0.05)
        log.info("all is closed")

@contextlib.asynccontextmanager
async def service():
    log.debug("details")
    log.info("opening")
    {start}
    try:
        yield 4711
    finally:
        log.info("closed")

asyncio.run(serve(service(), lambda number: f"ready: serving {{number}}"))
"""


def started(start: str = "pass", *, verbose: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE.format(start=start, verbose=verbose)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], number: signal.Signals) -> list[str]:
    """What a service has logged that was told to end once it served."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready: serving 4711\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (0, "")
    return errors.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_closes_what_it_opened(number: signal.Signals) -> None:
    lines = ended(started(), number)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO service: opening",
        "INFO service: closed",
    ]


def test_more_is_logged_when_that_is_wanted() -> None:
    lines = ended(started(verbose=True), signal.SIGTERM)
    assert any(line.endswith("DEBUG service: details") for line in lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_and_leaves_nothing_half_open(
    number: signal.Signals,
) -> None:
    process = started("await wait_for_ever()")
    assert process.stdout is not None
    assert process.stdout.readline() == "starting\n"
    process.send_signal(number)
    process.send_signal(number)  # again is fine
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (0, "")
    assert [line.split(" ", 1)[1] for line in errors.splitlines()] == [
        "INFO service: opening",
        "INFO service: closing what is open by then",
        "INFO service: all is closed",
        "INFO relay.run.service: told to end before it served",
    ]


DRAINS = """
import asyncio, contextlib, os, signal
from relay.run.service import serve

@contextlib.asynccontextmanager
async def service():
    yield

def ready(_):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    return "ready"

async def finish(_):
    await asyncio.Event().wait()

asyncio.run(serve(service(), ready, finish=finish))
"""


def test_another_signal_cuts_what_it_does_before_it_ends_though_it_comes_at_once() -> None:
    command = [sys.executable, "-c", DRAINS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr) == ("ready\n", "")


def test_one_that_is_cancelled_while_it_starts_is_no_service_that_was_told_to_end() -> None:
    process = started("asyncio.current_task().cancel(); await asyncio.sleep(0)")
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (1, "")
    assert "CancelledError" in errors


def test_one_that_cannot_start_never_says_ready() -> None:
    process = started("raise OSError('no room')")
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (1, "")
    assert "OSError: no room" in errors


ROOM = """
import threading
from relay.run.service import make_room_for_files
make_room_for_files({count})
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("FDSize")))
"""


@pytest.mark.parametrize(("count", "room"), [(10_000, 10_000), (1_000_000, 20_000)])
def test_the_table_of_open_files_is_made_as_large_as_it_may_become(count: int, room: int) -> None:
    limited = ["prlimit", "--nofile=64:20000", "--", sys.executable, "-c", ROOM.format(count=count)]
    size = int(subprocess.run(limited, check=True, capture_output=True, timeout=LIMIT).stdout)
    assert room <= size < 4 * room  # the kernel rounds it up to a power of two


COLLECT = """
import gc
from relay.run.service import collect_seldom
collect_seldom()
kept = [[] for _ in range(1_000_000)]
print(*(generation["collections"] for generation in gc.get_stats()))
"""


def test_the_collector_looks_at_new_objects_and_seldom_at_all() -> None:
    command = [sys.executable, "-c", COLLECT]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT)
    young, middle, everything = map(int, done.stdout.split())
    assert young > 100
    assert middle > 10
    assert everything <= 1  # that of starting


def test_each_service_collects_so() -> None:
    lines = ended(started("import gc; log.info(gc.get_threshold()[2])"), signal.SIGTERM)
    assert lines[1].endswith("INFO service: 1000")


COUNT = "import resource; log.info(str(resource.getrlimit(resource.RLIMIT_NOFILE)))"


@pytest.mark.parametrize(("soft", "hard"), [(64, 5000), (64, 128)])
def test_it_may_open_as_many_files_as_the_hard_limit_has(soft: int, hard: int) -> None:
    process = subprocess.Popen(
        [
            *("prlimit", f"--nofile={soft}:{hard}", "--"),
            *(sys.executable, "-c", SERVICE.format(start=COUNT, verbose=False)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = ended(process, signal.SIGTERM)
    assert any(line.endswith(f"({hard}, {hard})") for line in lines)
    warned = any(f"only {hard} files may be open" in line for line in lines)
    assert warned == (hard == 128)


def test_what_wants_more_files_than_it_may_have_says_how_many() -> None:
    script = "from relay.run.service import *; log_to_stderr(); raise_open_files(70_000)"
    limited = ["prlimit", "--nofile=64:20000", "--", sys.executable, "-c", script]
    done = subprocess.run(limited, check=True, capture_output=True, text=True, timeout=LIMIT)
    assert "only 20000 files may be open at once (the hard limit)" in done.stderr
    assert "LimitNOFILE=70000 in a unit or `ulimit -n 70000` as root" in done.stderr


def test_it_may_end_by_itself() -> None:
    """Such as a relay whose place another one has taken."""
    code = SERVICE.format(start="pass", verbose=False)
    assert code.count('number}"))') == 1
    ending = code.replace('number}"))', 'number}", until=lambda _: asyncio.sleep(0.01)))')
    done = subprocess.run(
        [sys.executable, "-c", ending], capture_output=True, text=True, timeout=LIMIT, check=True
    )
    assert done.stdout == "ready: serving 4711\n"
    assert done.stderr.splitlines()[-1].endswith("INFO service: closed")
