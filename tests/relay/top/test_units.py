import pytest

from relay.top.units import duration, short, sparkline


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.26, "0.3"),
        (12.34, "12.3"),
        (99.96, "100"),
        (950, "950"),
        (999.4, "999"),
        (999.6, "1.0k"),
        (12_345, "12.3k"),
        (1_230_000, "1.2M"),
        (5e9, "5G"),
        (3e15, "3P"),
        (3e18, "3000P"),
    ],
)
def test_a_number_takes_few_columns(number: float, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.26, "0.3s"),
        (42.9, "42s"),
        (303, "5m03s"),
        (8_040, "2h14m"),
        (273_600, "3d04h"),
    ],
)
def test_a_time_takes_few_columns(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_the_highest_bar_is_the_largest_number() -> None:
    assert sparkline([0, 4, 8], 3) == "▁▅█"


def test_a_sparkline_shows_the_last_numbers_at_the_right() -> None:
    assert sparkline([9, 0, 8], 2) == "▁█"
    assert sparkline([8], 4) == "   █"
    assert sparkline([], 2) == "  "
    assert sparkline([1, 2], 0) == ""


def test_nothing_at_all_is_flat_and_ascii_will_do() -> None:
    assert sparkline([0, 0], 2) == "▁▁"
    assert sparkline([0, 8], 2, ascii_only=True) == "_@"
