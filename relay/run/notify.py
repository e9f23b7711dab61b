"""What a service manager hears of a process (sd_notify(3)): that it serves, lives and ends.

systemd and container engines name a Unix socket in NOTIFY_SOCKET, and systemd a time in
WATCHDOG_USEC: who has not said for so long that it lives is killed and started again. A process
that is started by nobody who wants to know says nothing.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

_BEATS = 2  # within the watchdog's time, as sd_watchdog_enabled(3) recommends


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Who started this process, and wants to be told of it.

    Attributes:
        address: Its Unix datagram socket; a leading @ stands for the abstract namespace. None when
            nobody wants to know.
        watchdog: After how many seconds without a word it starts the process again; None for never.
    """

    address: str | None = None
    watchdog: float | None = None

    @classmethod
    def take(cls, environment: MutableMapping[str, str], pid: int) -> Self:
        """Find the one that an environment names, and no longer names from now on.

        Processes that are started from here are not the service.

        Args:
            environment: The variables; those that concern it are removed.
            pid: This process, which alone a watchdog may be for.
        """
        address = environment.pop("NOTIFY_SOCKET", None)
        limit = environment.pop("WATCHDOG_USEC", "")
        whose = environment.pop("WATCHDOG_PID", str(pid))
        watched = limit.isdecimal() and int(limit) > 0 and whose == str(pid)
        return cls(address or None, int(limit) / 1e6 if watched else None)

    def tell(self, **assignments: str) -> None:
        """Tell it something, such as ``READY="1"``; it not being there harms nobody."""
        if self.address is None:
            return
        text = "\n".join(f"{name}={value}" for name, value in assignments.items())
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.setblocking(False)  # what it does not take now, it need not know
            to.sendto(text.encode(), address)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Tell the watchdog that the event loop turns, while the context is entered."""
        if self.address is None or self.watchdog is None:
            yield
            return
        beating = asyncio.create_task(self._beat(self.watchdog / _BEATS))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, seconds: float) -> None:
        while True:
            self.tell(WATCHDOG="1")
            await asyncio.sleep(seconds)


def take_manager() -> ServiceManager:
    """The service manager of this process; for the one that serves, and for nobody else."""
    return ServiceManager.take(os.environ, os.getpid())
