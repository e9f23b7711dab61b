"""What an agent does by the clock: flows that are over go, the dataplane is kept in step.

All of it is done in pieces: datagrams come first.
"""

import logging
import time

from relay.core.flow import Store
from relay.core.session import SessionTable
from relay.errors import DataplaneError
from relay.pace import Pace
from relay.run.executor import Executor, now
from relay.run.keeper import DataplaneKeeper

_log = logging.getLogger(__name__)


class Housekeeping:
    """Keeps a session table and its dataplane in order.

    Args:
        table: The flows.
        keeper: Has what forwards confirmed flows now.
        executor: Does what the table says.
    """

    def __init__(self, table: SessionTable, keeper: DataplaneKeeper, executor: Executor) -> None:
        self._table = table
        self._keeper = keeper
        self._executor = executor

    def adopt(self) -> None:
        """Take over what the dataplane forwarded before this agent started."""
        self._executor.execute(self._table.adopt(self._keeper.dataplane, now()))
        if adopted := self._table.counters["adopted"]:
            _log.info("adopted %d flows that the kernel forwards", adopted)

    async def sweep(self) -> None:
        """Drop flows that are over, and write the others to the mirror again."""
        dataplane, pace = self._keeper.dataplane, Pace()
        for command in self._table.sweep(now(), dataplane_forwards=dataplane.forwards):
            # A flow that went meanwhile must not be written over the one that came after it.
            if not isinstance(command, Store) or self._table.holds(command.flow):
                self._executor.execute((command,))
            await pace.rest()
        await pace.rest()
        if not self._table.may_expire(now()):
            return
        for idle in dataplane.idle(time.monotonic() - self._table.limits.idle):
            for flow in idle:
                self._executor.execute(self._table.expire((flow,), now()))
                await pace.rest()
            await pace.rest()
            if dataplane is not self._keeper.dataplane:  # it was left meanwhile, and is closed
                return

    async def repair(self) -> None:
        """Mend what others have changed about this host's network."""
        try:
            for change in await self._keeper.tend():
                _log.warning("%s", change)
        except DataplaneError as error:
            self._executor.alarm("the dataplane needs a look: %s", error)
