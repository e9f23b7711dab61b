"""Gaps in sound."""

import pytest

from tests.lab.clients.wire import longest_silence

ARRIVALS = [1.0, 1.02, 1.04, 3.0, 3.02]


@pytest.mark.parametrize(
    ("since", "until", "silence"),
    [
        (1.01, 1.05, 0.02),
        (1.5, 3.02, 1.96),  # counts from the last packet before
        (1.5, 2.0, 0.96),  # is cut at the end
        (3.01, 4.0, 0.98),
        (0.0, 0.5, 0.5),  # nothing has come yet
    ],
)
def test_a_silence_counts_from_the_last_packet_to_the_next(
    since: float, until: float, silence: float
) -> None:
    assert longest_silence(ARRIVALS, since, until) == pytest.approx(silence)


def test_without_any_packet_all_is_silence() -> None:
    assert longest_silence([], 1.0, 4.0) == 3.0
