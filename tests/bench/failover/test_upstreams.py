"""Whose client is behind an upstream address, and where it is answered."""

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.failover.upstreams import Tenant, Upstreams

HERE, NEXT = Endpoint("10.0.1.1", 20_000), Endpoint("10.0.1.1", 20_001)
ELSEWHERE = Endpoint("10.0.2.1", 20_000)
ONE, TWO = 1, 2


@pytest.fixture
def upstreams() -> Upstreams:
    """One of them is here, and has sent a check."""
    upstreams = Upstreams()
    upstreams.announced(ONE, HERE, epoch=1, said_at=50.0, now=1.0)
    upstreams.checked(ONE, HERE, now=1.1)
    return upstreams


def test_a_check_says_where_a_client_is(upstreams: Upstreams) -> None:
    assert upstreams.of(ONE) == HERE
    assert upstreams.at(HERE) == Tenant(ONE, 1.0)
    upstreams.checked(ONE, ELSEWHERE, now=2.2)
    assert upstreams.of(ONE) == ELSEWHERE


def test_what_waited_in_another_relay_moves_nobody_who_is_heard(upstreams: Upstreams) -> None:
    upstreams.announced(ONE, ELSEWHERE, epoch=2, said_at=60.0, now=3.0)
    upstreams.heard(ONE, ELSEWHERE, now=5.0)
    upstreams.checked(ONE, HERE, now=5.9)
    upstreams.heard(ONE, HERE, now=5.9)
    assert upstreams.of(ONE) == ELSEWHERE
    upstreams.heard(ONE, HERE, now=6.1)  # and by nobody else
    assert upstreams.of(ONE) == HERE


def test_nothing_is_sent_to_who_has_not_sent_a_check(upstreams: Upstreams) -> None:
    upstreams.announced(TWO, ELSEWHERE, epoch=1, said_at=50.0, now=2.0)
    assert upstreams.of(TWO) is None
    assert upstreams.at(ELSEWHERE) == Tenant(TWO, 2.0)


@pytest.mark.parametrize(
    ("source", "epoch", "said_at", "moves"),
    [
        (ELSEWHERE, 2, 0.0, True),  # whatever the clocks say
        (ELSEWHERE, 1, 60.0, False),  # another relay, which knows no better
        (NEXT, 1, 60.0, True),  # the same relay, later
        (NEXT, 1, 40.0, False),
        (NEXT, 0, 60.0, False),
    ],
)
def test_a_higher_epoch_moves_a_client_and_so_does_the_same_relays_last_word(
    upstreams: Upstreams, source: Endpoint, epoch: int, said_at: float, *, moves: bool
) -> None:
    upstreams.announced(ONE, source, epoch, said_at, now=2.0)
    assert upstreams.of(ONE) == (source if moves else HERE)
    assert upstreams.epoch(ONE) == max(1, epoch)
    assert upstreams.at(source) == Tenant(ONE, 2.0)  # the relay says so


@pytest.mark.parametrize("by", ["word", "old word", "check"])
def test_who_was_there_before_is_sent_nothing_there_any_more(upstreams: Upstreams, by: str) -> None:
    upstreams.checked(TWO, ELSEWHERE, now=1.5)
    if by == "check":
        upstreams.checked(TWO, HERE, now=2.0)
    else:
        if by == "old word":
            upstreams.announced(TWO, ELSEWHERE, epoch=9, said_at=50.0, now=1.6)
        upstreams.announced(TWO, HERE, epoch=2, said_at=60.0, now=2.0)
    assert upstreams.of(ONE) is None
    assert upstreams.at(HERE) == Tenant(TWO, 2.0)
    upstreams.announced(ONE, NEXT, epoch=1, said_at=60.0, now=3.0)
    assert upstreams.of(ONE) == NEXT  # the relay says where it has put it instead


def test_who_has_left_of_itself_is_not_disturbed(upstreams: Upstreams) -> None:
    upstreams.announced(ONE, ELSEWHERE, epoch=2, said_at=60.0, now=2.0)
    upstreams.announced(TWO, HERE, epoch=1, said_at=61.0, now=3.0)
    assert upstreams.of(ONE) == ELSEWHERE
