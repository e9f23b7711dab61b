"""How late a transceiver reads what has come, and what follows from it. Free of IO and clock.

What a process has not read yet waits in its socket, in order. With more calls than its processor
bears that queue grows until the socket is full, which may be seconds: then all sound is late by as
much, and so is what is to arrive at once, such as checks and what relays announce of a fail-over.
So sound that has waited for too long is not decrypted any more, which is most of what a datagram
costs, and no call is taken until the queue is gone.

A burst is no overload. As in CoDel (RFC 8289, section 3), the queue counts once everything has
waited for too long during a whole interval.
"""

from collections.abc import Sequence

from relay.histogram import Histogram

#: Seconds after which sound is of no use: ITU-T G.114 has it that no network should delay speech
#: by more, from mouth to ear.
STALE = 0.4
#: Seconds of waiting that are too many when they last: up to which G.114 has no objections.
LATE = 0.15
#: Seconds for which everything is late before the process counts as behind.
INTERVAL = 1.0
#: Seconds without that, after which it has caught up. Until then it takes no calls.
CALM = 5.0
WAITS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, LATE, 0.2, STALE, 1.0, 5.0)


class Backlog:
    """What waits to be read.

    Attributes:
        waits: Of each datagram, about: the seconds for which the oldest of its batch has waited.
    """

    def __init__(self) -> None:
        self.waits = Histogram(WAITS)
        self._late_since: float | None = None
        self._looked = 0.0
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
        if waited < LATE:
            self._late_since = None
            return
        if self._late_since is None or now - self._looked > INTERVAL:
            # Where nothing was read for so long, the process stood still.
            self._late_since = now
        self._looked = now
        if now - self._late_since >= INTERVAL:
            self._closed_until = now + CALM
            self._longest = max(self._longest, waited)

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
                f"what comes is read {self._longest:.1f} s late: this process has more calls than "
                "its processor bears, or others take it. Sound that is too old is dropped, and no "
                "call is taken until it has caught up; a lower `capacity`, or more `workers`, "
                "prevents it"
            )
        longest, self._longest = self._longest, 0.0
        return f"it has caught up, and takes calls again; it was up to {longest:.1f} s behind"


def count_stale(arrivals: Sequence[float], now: float) -> int:
    """How many of the first datagrams of a batch have waited for longer than sound may.

    Args:
        arrivals: When each came, in their order: seconds of any clock.
        now: Seconds of the same clock.
    """
    return next(
        (number for number, came in enumerate(arrivals) if now - came <= STALE), len(arrivals)
    )
