"""One line for each reason and second."""

from relay.throttle import Throttle


def test_each_reason_has_a_second_of_its_own() -> None:
    times = iter([0.0, 0.5, 0.5, 0.99, 1.0, 1.2])
    throttle = Throttle(lambda: next(times))
    assert [throttle.allows(reason) for reason in "aabaaa"] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
