"""Several processes as one service: all of them serve, or none."""

import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay import children
from relay.errors import BindError, WorkerError
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.relay.test_children import BEATING, lives, wait_until
from transceiver.server import TransceiverConfig
from transceiver.workers import Workers

SERVES = (sys.executable, "-c", BEATING % "()")
FAILS = (sys.executable, "-c", "raise SystemExit(1)")
ANYWHERE = Endpoint("127.0.0.1", 0)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def workers_of(*commands: Sequence[str], keys: KeyRing, listen: Endpoint = ANYWHERE) -> Workers:
    """Workers with these commands."""
    configs = [
        TransceiverConfig(listen, ANYWHERE, Target(1, slot, 1), keys)
        for slot in range(len(commands))
    ]
    each = iter(commands)
    return Workers(configs, lambda _: next(each))


async def test_they_are_started_and_stopped_together(keys: KeyRing) -> None:
    async with workers_of(SERVES, SERVES, keys=keys) as workers:
        pids = [child.pid for child in workers.children]
        assert len(set(pids)) == 2
        assert all(map(lives, pids))
    assert not any(map(lives, pids))


async def test_one_that_does_not_start_stops_the_others(keys: KeyRing) -> None:
    workers = workers_of(SERVES, FAILS, keys=keys)
    with pytest.raises(WorkerError, match="worker 1 does not start"):
        async with workers:
            pass
    assert not any(lives(child.pid) for child in workers.children)


async def test_one_that_is_killed_is_started_again_and_the_other_goes_on(keys: KeyRing) -> None:
    async with workers_of(SERVES, SERVES, keys=keys) as workers:
        first, other = (child.pid for child in workers.children)
        os.kill(first or 0, signal.SIGKILL)
        await wait_until(lambda: workers.children[0].pid != first)
        await wait_until(lambda: workers.children[0].troubles == [])
        assert workers.children[1].pid == other
        assert workers.counters == {"workers_restarted": 1}


async def test_one_that_hangs_is_found_and_replaced_and_the_other_goes_on(
    keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "HUNG_AFTER", 1.0)
    async with workers_of(SERVES, SERVES, keys=keys) as workers:
        first, other = (child.pid for child in workers.children)
        os.kill(first or 0, signal.SIGSTOP)
        await wait_until(lambda: workers.children[0].pid != first)
        await wait_until(lambda: workers.children[0].troubles == [])
        assert not lives(first)
        assert workers.children[1].pid == other
        assert workers.counters == {"workers_hung": 1, "workers_restarted": 1}


async def test_an_address_that_is_taken_is_named_and_nothing_is_left_open(keys: KeyRing) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(ANYWHERE)
        before = open_files()
        workers = workers_of(SERVES, SERVES, keys=keys, listen=Endpoint.of(taken.getsockname()))
        with pytest.raises(BindError, match="for media: Address already in use"):
            async with workers:
                pass
        assert open_files() == before
    assert workers.children == []


async def test_what_comes_while_a_worker_is_started_again_waits_for_it(keys: KeyRing) -> None:
    async with workers_of(SERVES, keys=keys) as workers:
        (served,) = workers.configs
        first = workers.children[0].pid
        os.kill(first or 0, signal.SIGKILL)
        with (
            socket.create_connection(served.control),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            client.connect(served.listen)
            for _ in range(2):
                client.send(b"check")  # the second one would raise: nobody listens
        await wait_until(lambda: workers.children[0].pid != first)
    assert not lives(workers.children[0].pid)
