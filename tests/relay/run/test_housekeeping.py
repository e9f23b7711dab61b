"""What is done by the clock, on a real session table."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from relay.core.flow import Command, Store
from relay.dataplane.interface import Dataplane
from relay.dataplane.userspace import UserspaceDataplane
from relay.run.housekeeping import Housekeeping
from tests.relay.conftest import ALICE, MALLORY, Scene

if TYPE_CHECKING:
    from relay.run.executor import Executor
    from relay.run.keeper import DataplaneKeeper


class Kept:
    """A session table that is kept, and what was to be done about it."""

    def __init__(self, scene: Scene, dataplane: Dataplane | None = None) -> None:
        self.executed: list[Command] = []
        self.meanwhile: Callable[[], object] = bool  # called after each command
        self.dataplane = dataplane or UserspaceDataplane()
        # It is its own keeper and executor: the real ones want sockets and a kernel.
        self.keep = Housekeeping(scene.table, cast("DataplaneKeeper", self), cast("Executor", self))

    def execute(self, commands: Iterable[Command]) -> None:
        self.executed += commands
        self.meanwhile()


async def test_flow_that_went_while_others_were_stored_is_not_written_again(scene: Scene) -> None:
    flows = [scene.connect(client) for client in (ALICE, MALLORY)]
    for flow in flows:
        flow.stored_at = float("-inf")
        flow.last_from_transceiver = time.monotonic()
    kept = Kept(scene)
    kept.meanwhile = lambda: scene.table.lifecycle.give_up(flows[1], scene.now)
    await kept.keep.sweep()
    assert kept.executed == [Store(flows[0])]
