"""A helper's life is that of its agent."""

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from relay.run.config import RelayConfig
from relay.run.helper import process
from relay.run.helper.client import Helper
from tests.lab.process import Process, children

pytestmark = [pytest.mark.netns, pytest.mark.bpf]
LIMIT = 10.0


def made(config: RelayConfig) -> tuple[Helper, Process]:
    before = {each.pid for each in children(Process.of(os.getpid()))}
    helper = process.start(config)
    (child,) = (each for each in children(Process.of(os.getpid())) if each.pid not in before)
    return helper, child


def test_it_answers_as_root_ignores_the_terminal_and_ends_with_its_agent(
    config: RelayConfig,
) -> None:
    helper, child = made(config)
    with closing(helper):
        assert not helper.is_loaded()
        assert Path(f"/proc/{child.pid}/comm").read_text(encoding="ascii") == "icelane-helper\n"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            child.signal(number)
        assert not helper.is_loaded()
    assert child.wait(LIMIT)


def test_its_death_is_noticed_without_a_question(config: RelayConfig) -> None:
    helper, child = made(config)
    with closing(helper):
        assert helper.trouble() is None
        child.signal(signal.SIGKILL)
        assert child.wait(LIMIT)
        assert helper.trouble() is not None
