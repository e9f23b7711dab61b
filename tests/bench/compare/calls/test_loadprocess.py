"""What a load generator prints."""

from tests.bench.compare.calls.loadprocess import CallTimes, parse_output


def test_calls_and_failures_are_read() -> None:
    line = '{"started": 1, "offered": 2, "answered": 3, "connected": 4, "first_audio": 5}'
    printed = f'{line}\n{{"error": "refused"}}\n'
    assert parse_output(printed) == ([CallTimes(1, 2, 3, 4, 5)], ["refused"])
