"""Fixtures of all tests: labs that are always taken down; and skips where a test cannot run."""

import gc
import importlib.util
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from relay.netns.host import Host
from tests.isolation import isolate
from tests.lab import topology
from tests.lab.config import Options
from tests.lab.lab import Lab
from tests.signals import ENDING

# What is asserted in the tests' helpers is explained as in the tests themselves.
pytest.register_assert_rewrite("tests.bpf", "tests.e2e", "tests.netns", "tests.relay")

# A busy machine is no failure: an example may take as long as it takes.
settings.register_profile("icelane", settings.default, deadline=None)
settings.load_profile("icelane")

_numbers = itertools.count(1)
_handlers: dict[signal.Signals, Any] = {}  # before any test


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several processes (`pytest -n`) a machine of its own, as far as tests see."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell script starts so what is to run beside it, and programs that tests interrupt
        # would inherit that. Of a handler they inherit nothing.
        signal.signal(signal.SIGINT, lambda *_: None)
    _handlers.update((each, signal.getsignal(each)) for each in ENDING)
    if hasattr(config, "workerinput") and os.geteuid() == 0:
        isolate()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """No test leaves a handler of what ends a program behind: see `tests.signals`."""
    yield
    left = {each for each in ENDING if signal.getsignal(each) is not _handlers[each]}
    for each in left:
        signal.signal(each, _handlers[each])
    assert not left, f"the test leaves a handler of {', '.join(each.name for each in left)} behind"


@pytest.fixture
def open_files() -> Iterator[Callable[[], int]]:
    """Counts the files that this process has open.

    Meanwhile no garbage is collected: that of other tests has open files, too.
    """
    gc.collect()
    gc.disable()
    yield lambda: len(list(Path("/proc/self/fd").iterdir()))
    gc.enable()


@cache
def _lacks_netns() -> str | None:
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if shutil.which("nsenter") is None:
        return "needs nsenter (util-linux)"
    return None


@cache
def _lacks_bpf() -> str | None:
    if os.geteuid() != 0:
        return "needs root to load BPF programs"
    if importlib.util.find_spec("bcc") is None:
        return "needs BCC (apt-get install python3-bpfcc)"
    if not any(Path("/lib/modules").glob("*/build")):
        return "needs kernel headers (apt-get install linux-headers-amd64)"
    return None


_NEEDS: dict[str, Callable[[], str | None]] = {
    "bpf": _lacks_bpf,
    "netns": _lacks_netns,
    "e2e": _lacks_netns,
}


_CALLS = Path(__file__).parent / "e2e"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in which media flow, or networks have to be in time."""
    for item in items:
        in_lab = any(item.get_closest_marker(mark) is not None for mark in ("netns", "e2e"))
        if in_lab or item.path.is_relative_to(_CALLS):
            item.add_marker("realtime")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, and say why."""
    for mark, lacks in _NEEDS.items():
        if item.get_closest_marker(mark) is not None:
            reason = lacks()
            if reason is not None:
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a skipped test of the kernel parts counts as failed, so that it gets noticed.

    But for one that has found out that this kernel lacks a kind of interface.
    """
    report = yield
    needs = [lacks for mark, lacks in _NEEDS.items() if item.get_closest_marker(mark) is not None]
    must_run = bool(needs)
    if item.get_closest_marker("kinds") is not None:
        must_run = any(lacks() for lacks in needs)
    if os.environ.get("CI") and must_run and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Skipped in CI, where everything must run. {reason}"
    return report


def _unused_name() -> str:
    return f"test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def network_name() -> Iterator[str]:
    """An unused name for a lab's network, which is removed when the test ends."""
    name = _unused_name()
    yield name
    topology.destroy(name)


@pytest.fixture
def network(network_name: str) -> dict[str, Host]:
    """The hosts of a lab by name, with their links, and no services in them."""
    topology.build(network_name)
    return topology.hosts(network_name)


@pytest.fixture
def unused_lab() -> Iterator[Lab]:
    """A lab that is not up; if it is when the test ends, it is taken down."""
    lab = Lab(_unused_name())
    yield lab
    lab.down()


@pytest.fixture(scope="module")
def bring_up() -> Iterator[Callable[[Options], Lab]]:
    """Brings labs up, which are taken down after the last test of the module."""
    labs: list[Lab] = []

    def up(options: Options) -> Lab:
        lab = Lab(_unused_name())
        labs.append(lab)
        lab.up(options)
        return lab

    yield up
    for lab in labs:
        lab.down()
