"""Keeps what the program remembers of this host's network true, from an agent's event loop."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.dataplane.kernel.ingresses import renew_ingresses
from relay.dataplane.kernel.networkchanges import Change
from relay.dataplane.kernel.networkwatch import NetworkWatch
from relay.dataplane.kernel.nexthops import WATCH_LEASE, NextHops
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

_BEAT = WATCH_LEASE / 5  # seconds between two times that the program is told that somebody watches
# Between a change and when interfaces are looked at, which takes a millisecond or more: it is done
# once for all that comes meanwhile. Until then frames to a new MAC address go up to the agent.
_LOOK_AFTER = 0.1  # seconds


class Upkeep:
    """Lets all flows ask the FIB again when the network changes, until it is closed.

    It belongs to the network namespace of the thread that makes it.

    Args:
        pins: The instance.
        hops: Its next hops.
        loop: Where it works.

    Raises:
        DataplaneError: The kernel does not tell of changes.
    """

    def __init__(self, pins: Pins, hops: NextHops, loop: "AbstractEventLoop") -> None:
        self._pins = pins
        self._hops = hops
        self._loop = loop
        self._looking: TimerHandle | None = None
        self._watch = NetworkWatch(loop, self._changed)
        hops.renew()  # what changed before was not heard
        self._beat()

    def close(self) -> None:
        """Stop; from then on the leases alone bound how long an old answer is used."""
        self._beating.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._watch.close()
        self._hops.unwatched()

    @property
    def counters(self) -> Mapping[Change, int]:
        """How many changes there were."""
        return self._watch.counters

    def _beat(self) -> None:
        self._hops.watched()
        self._beating = self._loop.call_later(_BEAT, self._beat)

    def _changed(self, changes: set[Change]) -> None:
        self._hops.renew()
        if changes & {Change.LINKS, Change.ADDRESSES} and self._looking is None:
            self._looking = self._loop.call_later(_LOOK_AFTER, self._look)

    def _look(self) -> None:
        self._looking = None
        # While an interface is going there is much to go wrong. `reconcile` does the same every
        # few seconds, and says what stays wrong.
        with suppress(OSError, DataplaneError):
            renew_ingresses(self._pins)
