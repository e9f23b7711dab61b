"""Several processes as one service: all of them serve, or none."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from relay import children
from relay.cli.transceiverworker import worker_command
from relay.config.privatefiles import write_private
from relay.errors import BindError, WorkerError
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE
from tests.relay.cli.test_transceiver import two_ports
from tests.relay.conftest import RedisServer
from tests.relay.test_children import BEATING, lives, wait_until
from transceiver.server import Place, TransceiverConfig
from transceiver.workers import Workers

SERVES = (sys.executable, "-c", BEATING % "()")
FAILS = (sys.executable, "-c", "raise SystemExit(1)")
ANYWHERE = Endpoint("127.0.0.1", 0)


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


DRAINS = """
import signal, time
from relay.children import beat, become_child
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
become_child()
print("ready", flush=True)
while len(told) < 2:
    beat([str(len(told))])
    time.sleep(0.02)
"""


async def test_whoever_does_not_wait_until_they_have_finished_stops_them(keys: KeyRing) -> None:
    command = (sys.executable, "-c", DRAINS)
    async with workers_of(command, SERVES, keys=keys) as workers:
        first, other = (child.pid for child in workers.children)
        finishing = asyncio.create_task(workers.finish())
        await wait_until(lambda: not lives(other))
        assert lives(first)
        finishing.cancel()
    assert not lives(first)
    assert workers.children[0].pid == first
    assert workers.counters == {}


async def test_one_that_does_not_start_stops_the_others(keys: KeyRing) -> None:
    workers = workers_of(SERVES, FAILS, keys=keys)
    with pytest.raises(WorkerError, match="worker 1 does not start"):
        async with workers:
            pass
    assert not any(lives(child.pid) for child in workers.children)


BEATS_ON = """
import time
from relay.children import beat, become_child
become_child()
while True:
    beat(["it waits for Redis"])
    time.sleep(0.1)
"""


async def test_one_that_does_not_start_is_told_though_others_wait(keys: KeyRing) -> None:
    workers = workers_of((sys.executable, "-c", BEATS_ON), FAILS, keys=keys)
    async with asyncio.timeout(20):
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


async def test_an_address_that_is_taken_is_named_and_nothing_is_left_open(
    keys: KeyRing, open_files: Callable[[], int]
) -> None:
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


WAITS = "it waits for its slot in the registry"


async def test_workers_that_start_while_redis_is_away_wait_for_it(
    keys: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = RedisServer(tmp_path)
    configs = [
        TransceiverConfig(ANYWHERE, ANYWHERE, Target(1, slot, 1), keys, place=Place(redis.url))
        for slot in range(2)
    ]
    workers = Workers(configs, worker_command(verbose=False))
    starting = asyncio.create_task(workers.__aenter__())
    try:
        await wait_until(lambda: [each.troubles for each in workers.children] == [[WAITS]] * 2)
        monkeypatch.setattr(children, "START_SECONDS", 3.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * children.START_SECONDS):
                await asyncio.shield(starting)
        monkeypatch.undo()  # to start takes what it takes
        with redis:
            await starting
            assert all(lives(child.pid) for child in workers.children)
            await workers.__aexit__()
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    assert not any(lives(child.pid) for child in workers.children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_those_that_wait(
    keys: KeyRing, tmp_path: Path, number: signal.Signals
) -> None:
    key_file = tmp_path / "keys.toml"
    write_private(key_file, keys.dumps().encode())
    run = [
        *(str(ICELANE), "transceiver", "run", "--workers=2", f"--keys={key_file}"),
        *(f"--listen={two_ports(socket.SOCK_DGRAM)}", f"--control={two_ports(socket.SOCK_STREAM)}"),
        f"--redis=redis://127.0.0.1:{free_port()}/0",
    ]
    with subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for _ in range(2):
            assert "waiting for Redis, which gives this" in process.stderr.readline()
        whose = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        waiting = [int(each) for each in whose.read_text("ascii").split()]
        process.send_signal(number)
        output, errors = process.communicate(timeout=children.START_SECONDS)
    assert (process.returncode, output) == (0, "")
    assert len(errors.splitlines()) == 1
    assert "told to end before it served" in errors
    assert len(waiting) == 2
    assert not any(map(lives, waiting))
