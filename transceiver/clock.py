"""One clock for all calls of a process: each has its turn every 20 ms, in one of eight phases.

Calls of a phase are served in batches: each batch hears, asks back ends, speaks and encrypts, and
one system call sends what comes of it. So no call waits for a round of all calls, and none has a
task or a timer of its own.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from relay.histogram import Histogram
from relay.wire.endpoint import Endpoint

PERIOD = 0.02  # seconds of a frame
PHASES = 8
BATCH = 16  # calls between two system calls; about 2 ms
#: Frames that are caught up after the process has stood still; more would only be late.
CATCH_UP = 5
LATENESS = (0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1, 0.5)

Datagram = tuple[bytes, Endpoint]


class Member(Protocol):
    """What has a turn."""

    def tick(self, now: float, out: list[Datagram]) -> None:
        """Do what is due in these 20 ms, and add what is to be sent."""

    def tick_broke(self, error: Exception) -> None:
        """`tick` has raised."""


class Clock:
    """Gives its members their turns, on the running event loop.

    Args:
        send: Sends datagrams.
        served: Is told of each turn how late it was served, and when that was, monotonic seconds.

    Attributes:
        lateness: Of each member's turns: seconds from when it was due to when what came of it was
            sent.
        skipped: Turns that were left out, because the process stood still.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Datagram]], None],
        served: Callable[[float, float], None],
    ) -> None:
        self.lateness = Histogram(LATENESS)
        self.skipped = 0
        self.served = served
        self._phases = [_Phase(self, send, number * PERIOD / PHASES) for number in range(PHASES)]

    def join(self, member: Member) -> None:
        """Give a member turns from now on, in the phase that has fewest; again is fine."""
        if any(member in phase.members for phase in self._phases):
            return
        min(self._phases, key=lambda phase: len(phase.members)).join(member)

    def leave(self, member: Member) -> None:
        """Give it no more; again is fine."""
        for phase in self._phases:
            phase.leave(member)

    def close(self) -> None:
        """Give no more turns."""
        for phase in self._phases:
            phase.close()


class _Phase:
    """A part of the members; its timer runs while it has any.

    Args:
        clock: Whose phase it is.
        send: Sends datagrams.
        offset: Seconds after whole periods of the monotonic clock.
    """

    def __init__(
        self, clock: Clock, send: Callable[[Sequence[Datagram]], None], offset: float
    ) -> None:
        self.members: list[Member] = []
        self._clock = clock
        self._send = send
        self._offset = offset
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, member: Member) -> None:
        """See `Clock.join`."""
        self.members.append(member)
        if self._timer is None:
            periods = (time.monotonic() - self._offset) // PERIOD + 1
            self._wait(periods * PERIOD + self._offset)

    def leave(self, member: Member) -> None:
        """See `Clock.leave`."""
        if member in self.members:
            self.members.remove(member)
        if not self.members:
            self.close()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, due: float) -> None:
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._turn)

    def _turn(self) -> None:
        """Serve all members, as often as it is due."""
        now, due = time.monotonic(), self._due
        behind = int((now - due) / PERIOD)
        if behind > CATCH_UP:
            self._clock.skipped += (behind - CATCH_UP) * len(self.members)
            due += (behind - CATCH_UP) * PERIOD
        # Before they are served: what a member does may end others, and with the last one the
        # phase.
        self._wait(due + PERIOD)
        members = list(self.members)
        for first in range(0, len(members), BATCH):
            self._serve(members[first : first + BATCH], due)

    def _serve(self, members: list[Member], due: float) -> None:
        out: list[Datagram] = []
        now = time.monotonic()
        for member in members:
            try:
                member.tick(now, out)
            except Exception as error:  # noqa: BLE001  # others do not notice
                member.tick_broke(error)
        if out:
            self._send(out)
        served = time.monotonic()
        self._clock.lateness.observe(served - due, len(members))
        self._clock.served(served - due, served)
