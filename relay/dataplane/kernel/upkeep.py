"""Keeps what the program remembers of this host's network true, from an agent's event loop."""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from relay.dataplane.kernel.ingresses import renew_ingresses
from relay.dataplane.kernel.networkchanges import Change
from relay.dataplane.kernel.networkwatch import NetworkWatch
from relay.dataplane.kernel.nexthops import WATCH_LEASE, NextHops
from relay.dataplane.kernel.privileged import Privileged
from relay.dataplane.kernel.txports import renew_tx_ports
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
        kernel: The instance.
        hops: Its next hops.
        loop: Where it works.
        beat: Called there ten times a second.

    Raises:
        DataplaneError: The kernel does not tell of changes.
    """

    def __init__(
        self,
        kernel: Privileged,
        hops: NextHops,
        loop: "AbstractEventLoop",
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._kernel = kernel
        self._hops = hops
        self._loop = loop
        self._on_beat = beat
        self._looking: TimerHandle | None = None
        self._mended: deque[str] = deque()  # written in threads
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

    def mended(self) -> list[str]:
        """What the administrator should know, once."""
        return [self._mended.popleft() for _ in range(len(self._mended))]

    def _beat(self) -> None:
        # First, so that it goes on beating whatever comes next.
        self._beating = self._loop.call_later(_BEAT, self._beat)
        self._hops.watched()
        self._on_beat()

    def _changed(self, changes: set[Change]) -> None:
        self._hops.renew()
        # In threads: the kernel may be busy for another one, such as with attaching.
        if Change.SETTINGS in changes:
            self._loop.run_in_executor(None, self._mend)
        if changes & {Change.LINKS, Change.ADDRESSES} and self._looking is None:
            self._looking = self._loop.call_later(_LOOK_AFTER, self._look)

    def _mend(self) -> None:
        # Without forwarding the agent forwards everything. Where it cannot be mended, `reconcile`
        # says why.
        with suppress(DataplaneError):
            self._mended.extend(self._kernel.mend_forwarding())

    def _look(self) -> None:
        self._looking = None
        self._loop.run_in_executor(None, self._renew)

    def _renew(self) -> None:
        # While an interface is going there is much to go wrong. `reconcile` does the same every
        # few seconds, and says what stays wrong.
        with suppress(OSError, DataplaneError):
            renew_ingresses(self._kernel)
            renew_tx_ports(self._kernel)
