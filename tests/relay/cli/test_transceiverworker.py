"""A worker serves what its task says, on sockets that it inherits."""

import sys
from collections.abc import Callable
from typing import Any

from relay.cli.transceiverworker import worker_command
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.transceiver.conftest import caller, dial, keys, target, transceiver, until
from transceiver.server import TransceiverConfig
from transceiver.workers import Workers

__all__ = ["caller", "dial", "keys", "target", "transceiver", "until"]  # fixtures
ANYWHERE = Endpoint("127.0.0.1", 0)


def test_the_command_line_names_the_descriptor_and_no_secret() -> None:
    program = [sys.executable, "-P", "-m", "relay.cli.transceiverworker"]
    assert list(worker_command(verbose=True)(7)) == [*program, "7", "verbose"]
    assert list(worker_command(verbose=False)(7)) == [*program, "7", ""]


async def test_calls_come_to_it_where_its_supervisor_listens(
    keys: KeyRing, target: Target, dial: Callable[..., Any], until: Any
) -> None:
    config = TransceiverConfig(ANYWHERE, ANYWHERE, target, keys, capacity=3)
    async with Workers([config], worker_command(verbose=False)) as workers:
        (served,) = workers.configs
        client = dial(served.control)
        await client.call(served.listen)
        await until(lambda: client.hears(10))
        _, health = await client.request("GET", "/v1/health")
        assert (health["sessions"], health["capacity"]) == (1, 3)
