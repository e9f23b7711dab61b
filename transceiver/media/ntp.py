"""NTP time as RTCP uses it (RFC 3550, section 4): 64 bits, the lower 32 of them a fraction.

Only differences of one clock are ever taken, so ours counts from the start of the monotonic clock
that is given as `now`, which section 6.4.1 allows.
"""

_UNIT = 1 << 32


def timestamp(now: float) -> int:
    """A moment in 1/2**32 seconds."""
    return int(now * _UNIT) & 0xFFFF_FFFF_FFFF_FFFF


def middle(ntp: int) -> int:
    """The middle 32 bits, in 1/65536 seconds: what reports repeat."""
    return ntp >> 16 & 0xFFFF_FFFF


def delay(seconds: float) -> int:
    """How long something took, in 1/65536 seconds, in 32 bits."""
    return min(0xFFFF_FFFF, max(0, int(seconds * 65_536)))


def round_trip(now: float, last_report: int, held: int) -> float | None:
    """The round trip that a report tells (RFC 3550, figure 2).

    Args:
        now: When the report came.
        last_report: The middle bits of the report of ours that it repeats; 0 means none.
        held: How long it was held there, in 1/65536 seconds.

    Returns:
        Seconds; None when it repeats none, or the figures cannot be true.
    """
    if last_report == 0:
        return None
    taken = middle(timestamp(now)) - last_report - held & 0xFFFF_FFFF
    # Half the range and more is a negative time: somebody's clock or figures are wrong. So is
    # more than a minute, beyond which no call would be one.
    return taken / 65_536 if taken < 60 * 65_536 else None
