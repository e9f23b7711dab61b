"""The search for the loss-free rate, with systems that are functions."""

import pytest

from tests.bench.compare.traffic.search import FLOODS, MOST_TRIALS, PRECISION, Found, loss_free
from tests.bench.compare.traffic.stream import Passed

SENDER = 5e6  # what the sender can send, in packets a second


class System:
    """Forwards up to a rate; of more, it delivers what it is made to."""

    def __init__(self, limit: float, overloaded: float | None = None, paced: float = SENDER):
        self.limit = limit
        self.overloaded = limit if overloaded is None else overloaded
        self.paced = paced  # what a sender that keeps to a rate can send
        self.rates: list[float | None] = []
        self.glitchs: set[int] = set()

    def send(self, rate: float | None) -> Passed:
        self.rates.append(rate)
        sent = SENDER if rate is None else min(rate, self.paced)
        arrived = sent if sent <= self.limit else self.overloaded
        if len(self.rates) in self.glitchs:
            arrived = 0.9 * sent
        requested = None if rate is None else round(rate)
        return Passed(requested, round(sent), round(arrived), 0, 1.0)


@pytest.mark.parametrize("limit", [1500, 40_000, 530_000, 1_100_000, 4_900_000])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 1.0])
def test_the_limit_is_found_however_little_passes_above_it(limit: float, share: float) -> None:
    system = System(limit, overloaded=limit * share)
    found = loss_free(system.send)
    assert limit / (1 + PRECISION) - 1 <= found.rate <= limit + 1
    assert not found.limited


def test_of_a_system_faster_than_the_sender_the_best_of_a_few_floods_counts() -> None:
    system = System(9e6)
    assert loss_free(system.send) == Found(SENDER, limited=True)
    assert system.rates == [None] * FLOODS


def test_floods_that_are_slow_or_lose_packets_do_not_count() -> None:
    outcomes = iter(
        [
            Passed(None, 1000, 1000, 0, 0.002),
            Passed(None, 3000, 2900, 0, 0.001),  # the fastest, but some are lost
            Passed(None, 2000, 2000, 0, 0.001),
            *[Passed(None, 1000, 1000, 0, 0.001)] * (FLOODS - 3),
        ]
    )
    assert loss_free(lambda _: next(outcomes)) == Found(2e6, limited=True)


def test_a_sender_that_falls_behind_without_loss_is_the_limit() -> None:
    system = System(1e6, overloaded=9e5, paced=8e5)
    assert loss_free(system.send) == Found(8e5, limited=True)


def test_one_glitch_is_not_a_loss() -> None:
    system = System(500_000)
    system.glitchs = {2, 4, 6, 8}
    assert loss_free(system.send).rate == pytest.approx(500_000, rel=PRECISION)


def test_two_glitchs_are_a_loss() -> None:
    system = System(500_000)
    system.glitchs = {2, 3}
    assert loss_free(system.send).rate < 500_000


def test_a_tenth_of_a_percent_may_be_lost() -> None:
    assert loss_free(lambda _: Passed(None, 10_000, 9_990, 0, 0.01)).rate == 999_000
    assert loss_free(lambda _: Passed(None, 10_000, 9_980, 0, 0.01)).rate == 0


def test_a_system_that_always_loses_has_no_rate() -> None:
    system = System(0, overloaded=0)
    assert loss_free(system.send) == Found(0.0, limited=False)
    assert len(system.rates) <= 2 * MOST_TRIALS


def test_few_trials_are_taken() -> None:
    system = System(530_000, overloaded=400_000)
    loss_free(system.send)
    assert len(system.rates) <= 16
