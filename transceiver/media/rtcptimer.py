"""When the next RTCP report is due (RFC 3550, sections 6.2 and 6.3, A.7; RFC 4585, section 3.4)."""

import math
from collections.abc import Callable

_SHARE = 0.05  # of the session's bandwidth, for the RTCP of all members
_LEAST = 1.0  # seconds; in AVPF reports may be as frequent as their share allows (T_rr_interval)
_UNDER_RTP = 28  # bytes of IPv4 and UDP, which the bandwidth of RTCP includes
_FIRST_SIZE = 100  # bytes, guessed until packets have been seen
# Reconsideration makes intervals shorter on average than they should be (RFC 3550, 6.3.1).
_COMPENSATION = math.e - 1.5


class RtcpTimer:
    """Tells when a report is due: at random around its interval, so that ends do not fall in step.

    Args:
        bandwidth: Of the session's RTP, in bits a second.
        chance: Gives random numbers from 0.0 up to 1.0.
        now: The first report comes after half of an interval.
    """

    def __init__(self, bandwidth: float, chance: Callable[[], float], now: float) -> None:
        self._bandwidth = bandwidth
        self._chance = chance
        self._average = float(_FIRST_SIZE + _UNDER_RTP)
        self._due = now + self._interval(2) / 2

    def due(self, now: float) -> bool:
        """Whether a report is due."""
        return now >= self._due

    def seen(self, size: int) -> None:
        """Take the size of an RTCP packet, received or sent, in bytes."""
        self._average += (size + _UNDER_RTP - self._average) / 16

    def reported(self, members: int, now: float) -> None:
        """A report was made.

        Args:
            members: Streams of both ends together.
            now: The next report comes after an interval from now.
        """
        self._due = now + self._interval(members)

    def _interval(self, members: int) -> float:
        """Seconds."""
        fair = members * self._average * 8 / (self._bandwidth * _SHARE)
        return max(_LEAST, fair) * (0.5 + self._chance()) / _COMPENSATION
