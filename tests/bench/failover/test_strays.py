"""What is said of a packet that came to somebody else."""

import pytest

from tests.bench.failover.strays import TO_CLIENT, TO_TRANSCEIVER, Stray

WHERE = ("10.0.1.1:20000", "a")


@pytest.mark.parametrize(
    ("stray", "says"),
    [
        (
            Stray(TO_CLIENT, 17, 42, *WHERE, sent=1.5, arrived=1.501, told=1.4),
            (
                "a packet of flow 17 to its client, sent to 10.0.1.1:20000 (relay a) at 1.500 s, "
                "came to flow 42's client at 1.501 s; the transceiver was told at 1.400 s that "
                "flow 42 is there"
            ),
        ),
        (
            Stray(TO_TRANSCEIVER, 17, 42, *WHERE, sent=1.5, arrived=1.501, told=None),
            (
                "a packet of flow 17 to its transceiver, sent at 1.500 s, came from 10.0.1.1:20000 "
                "(relay a) at 1.501 s; the transceiver was not told that flow 42 is there"
            ),
        ),
    ],
)
def test_a_sentence_says_whose_it_was_and_where_it_came_and_when(stray: Stray, says: str) -> None:
    assert str(stray) == says
