"""How late a transceiver is with what it has to do, and what follows. Free of IO and clock.

What a process has not read yet waits in its socket, in order. With more calls than its processor
bears that queue grows until the socket is full, which may be seconds: then all sound is late by as
much, and so is what is to arrive at once, such as checks and what relays announce of a fail-over.
So sound that has waited for too long is not decrypted any more, which is most of what a datagram
costs, and no call is taken until the queue is gone. Nor is one while all calls have their turns to
speak late, which is how a process falls behind whose clients say little.

A burst is no overload. As in CoDel (RFC 8289, section 3), being late counts once everything has
been late during a whole interval.
"""

from collections.abc import Sequence

from relay.histogram import Histogram

#: Seconds after which sound is of no use: ITU-T G.114 has it that no network should delay speech
#: by more, from mouth to ear.
STALE = 0.4
#: Seconds that nothing waits: what seems to have is of before the wall clock was set, or that of
#: this process is not the kernel's.
_IMPOSSIBLE = 60.0
#: Seconds of waiting that are too many when they last: up to which G.114 has no objections.
LATE = 0.15
#: Seconds by which turns are late that are too many when they last: three frames. With too many
#: calls they soon are late by all that `transceiver.clock` catches up, which is five.
TURN_LATE = 0.06
#: Seconds for which everything is late before the process counts as behind.
INTERVAL = 1.0
#: Seconds without that, after which it has caught up. Until then it takes no calls.
CALM = 5.0
WAITS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, LATE, 0.2, STALE, 1.0, 5.0)


class _Lasting:
    """Whether something has been late without a break.

    Args:
        limit: From how many seconds on it is late.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since: float | None = None
        self._looked = 0.0

    def judge(self, late: float, now: float) -> bool:
        """Take note of how late it is now; whether it has been for the whole of an interval."""
        if late < self._limit:
            self._since = None
            return False
        if self._since is None or now - self._looked > INTERVAL:
            # Where there was nothing to do for so long, or the process stood still.
            self._since = now
        self._looked = now
        return now - self._since >= INTERVAL


class Backlog:
    """What waits to be read, and to be said.

    Attributes:
        waits: Of each datagram, about: the seconds for which the oldest of its batch has waited.
    """

    def __init__(self) -> None:
        self.waits = Histogram(WAITS)
        self._reading, self._turns = _Lasting(LATE), _Lasting(TURN_LATE)
        self._closed_until = float("-inf")
        self._told = False
        self._longest = 0.0

    def note(self, waited: float, count: int, now: float) -> None:
        """Take note of a batch that was read.

        Args:
            waited: For how many seconds its oldest datagram has waited.
            count: How many datagrams it has.
            now: Seconds of a monotonic clock.
        """
        self.waits.observe(waited, count)
        self._judge(self._reading, waited, now)

    def note_turn(self, late: float, now: float) -> None:
        """Take note of some calls' turn to speak.

        Args:
            late: How many seconds after it was due they were served.
            now: Seconds of a monotonic clock.
        """
        self._judge(self._turns, late, now)

    def behind(self, now: float) -> bool:
        """Whether the process has more to do than its processor bears."""
        return now < self._closed_until

    def news(self, now: float) -> str | None:
        """What an operator is to know since this was asked last, in words."""
        behind = self.behind(now)
        if behind == self._told:
            return None
        self._told = behind
        if behind:
            return (
                f"this process is {1000 * self._longest:.0f} ms behind: it has more calls than its "
                "processor bears, or others take it. Sound that is too old is dropped, and no call "
                "is taken until it has caught up. A lower `capacity` prevents it, or more `workers`"
            )
        longest, self._longest = self._longest, 0.0
        return (
            f"this process has caught up, and takes calls again; it was up to "
            f"{1000 * longest:.0f} ms behind"
        )

    def _judge(self, lasting: _Lasting, late: float, now: float) -> None:
        if lasting.judge(late, now):
            self._closed_until = now + CALM
            self._longest = max(self._longest, late)


def believed(arrivals: Sequence[float], now: float) -> Sequence[float]:
    """When datagrams came, if the clock can be believed; else nothing.

    Args:
        arrivals: When each came, in their order, as the kernel's wall clock has it.
        now: What this process' wall clock says.
    """
    return arrivals if not arrivals or now - arrivals[0] < _IMPOSSIBLE else ()


def count_stale(arrivals: Sequence[float], now: float) -> int:
    """How many of the first datagrams of a batch have waited for longer than sound may.

    Args:
        arrivals: When each came, in their order: seconds of any clock.
        now: Seconds of the same clock.
    """
    return next(
        (number for number, came in enumerate(arrivals) if now - came <= STALE), len(arrivals)
    )
