"""The search for the highest rate that a system forwards without loss. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.compare.traffic.stream import Passed

MOST_LOSS = 0.001
PRECISION = 0.05  # how far apart the best and the next rate that failed may be, as a share
STEP = 1.25  # from one rate to the next until one passes and one fails
LEAST_RATE = 1_000.0  # packets a second, below which nothing is searched
MOST_TRIALS = 40
FLOODS = 6  # how often as much as possible is sent when nothing is lost of it
FULL_RATE = 0.98  # the share of what was requested that a sender has to send

Send = Callable[[float | None], Passed]


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search.

    Attributes:
        rate: Packets delivered a second without loss; 0 when every rate lost some.
        limited: Whether the sender could not send more than that: the system, where it
            shares the sender's processor, and the sender were the limit together.
    """

    rate: float
    limited: bool


def loss_free(send: Send) -> Found:
    """Find the rate.

    First as much as possible is sent. When all of that arrives, it is done a few times more, and
    the highest rate counts: what else a machine does at times can only make it lower. Otherwise
    what arrived is where the search begins: up or down in steps that grow exponentially, then
    between the best rate and the one that failed.

    Args:
        send: Sends at a rate, or as much as possible.
    """
    flood = send(None)
    if flood.loss <= MOST_LOSS:
        floods = [flood, *(send(None) for _ in range(FLOODS - 1))]
        rates = [each.arrived_rate for each in floods if each.loss <= MOST_LOSS]
        return Found(max(rates), limited=True)
    best, failed = Found(0.0, limited=False), flood.sent_rate
    passing = 0.0
    rate = max(flood.arrived_rate, LEAST_RATE)
    for _ in range(MOST_TRIALS):
        found = _try(send, rate)
        if found is None:
            failed = min(failed, rate)
        else:
            best, passing = found, rate
        if best.limited or failed < LEAST_RATE or failed <= passing * (1 + PRECISION):
            break
        rate = _next(passing, failed, flood.sent_rate)
    return best


def _try(send: Send, rate: float) -> Found | None:
    """What passed at a rate; None when packets were lost, twice: one loss may be noise."""
    for _ in range(2):
        passed = send(rate)
        if passed.loss <= MOST_LOSS:
            limited = passed.sent_rate < FULL_RATE * rate
            return Found(passed.arrived_rate, limited=limited)
    return None


def _next(passing: float, failed: float, most: float) -> float:
    """The rate to try next; `failed` is `most`, which was as much as possible, if none failed."""
    if not passing:
        return failed / STEP
    if failed == most:
        return min(passing * STEP, (passing + failed) / 2)
    return (passing + failed) / 2
