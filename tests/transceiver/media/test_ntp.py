import pytest

from transceiver.media.ntp import delay, middle, round_trip, timestamp


@pytest.mark.parametrize("sent", [0.5, 1_000.25, 65_535.99, 1e6])
def test_a_round_trip_is_what_was_not_held(sent: float) -> None:
    held = delay(2.5)
    taken = round_trip(sent + 2.5 + 0.08, middle(timestamp(sent)), held)
    assert taken == pytest.approx(0.08, abs=1e-4)


def test_figures_that_cannot_be_true_are_none() -> None:
    assert round_trip(10.0, 0, 0) is None
    assert round_trip(10.0, middle(timestamp(11.0)), 0) is None
    assert round_trip(10.0, middle(timestamp(9.0)), delay(5.0)) is None
    assert round_trip(100.0, middle(timestamp(10.0)), 0) is None


def test_units() -> None:
    assert timestamp(1.5) == 0x1_8000_0000
    assert middle(timestamp(1.5)) == 0x1_8000
    assert (delay(0.5), delay(-1.0), delay(1e9)) == (0x8000, 0, 0xFFFF_FFFF)
