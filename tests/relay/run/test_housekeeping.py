"""What is done by the clock, on a real session table."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

from relay.core.flow import Command, Remove, Store
from relay.core.flowtuple import FlowTuple
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


class Leavable(UserspaceDataplane):
    """Has two flows that are idle, and can be read until it is closed."""

    def __init__(self, *flows: FlowTuple) -> None:
        super().__init__()
        self._flows = flows
        self._is_closed = False

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        for flow in self._flows:
            if self._is_closed:
                raise ValueError(f"nothing can be read any more of before {before}")
            yield [flow]

    def close(self) -> None:
        self._is_closed = True


async def test_a_dataplane_that_is_left_meanwhile_is_not_read_on(scene: Scene) -> None:
    flows = [scene.connect(client).addresses for client in (ALICE, MALLORY)]
    for flow in flows:
        scene.table.lifecycle.close(flow, scene.now)  # only the dataplane has them
    kept = Kept(scene, Leavable(*flows))

    def leave() -> None:
        left, kept.dataplane = kept.dataplane, UserspaceDataplane()
        left.close()

    kept.meanwhile = leave
    await kept.keep.sweep()
    (removed,) = kept.executed
    assert isinstance(removed, Remove)
    assert removed.flow.addresses == flows[0]


async def test_flow_that_went_while_others_were_stored_is_not_written_again(scene: Scene) -> None:
    flows = [scene.connect(client) for client in (ALICE, MALLORY)]
    for flow in flows:
        flow.stored_at = float("-inf")
        flow.last_from_transceiver = time.monotonic()
    kept = Kept(scene)
    kept.meanwhile = lambda: scene.table.lifecycle.give_up(flows[1], scene.now)
    await kept.keep.sweep()
    assert kept.executed == [Store(flows[0])]
