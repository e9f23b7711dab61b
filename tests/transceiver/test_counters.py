import logging

import pytest

from transceiver.counters import Counters


class Clock:
    """Monotonic seconds under the test's control."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(clock: Clock, caplog: pytest.LogCaptureFixture) -> Counters:
    caplog.set_level(logging.INFO)
    return Counters(logging.getLogger("transceiver.test"), clock)


def test_counters_are_listed_by_name(counters: Counters) -> None:
    for name in ("stun", "path_selected", "stun"):
        counters.count(name)
    assert list(counters.as_dict().items()) == [("path_selected", 1), ("stun", 2)]


def test_events_are_not_logged(counters: Counters, caplog: pytest.LogCaptureFixture) -> None:
    counters.count("stun")
    assert caplog.messages == []


def test_refused_datagrams_are_logged_once_per_second(
    counters: Counters, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        counters.refuse("unknown_source", "192.0.2.1:5000")
    clock.now += 0.99
    counters.refuse("unknown_source")
    assert caplog.messages == ["refused 1 since the last such line: unknown_source 192.0.2.1:5000"]
    clock.now += 0.01
    counters.refuse("unknown_source", "192.0.2.2:5000")
    assert caplog.messages[1:] == [
        "refused 6 since the last such line: unknown_source 192.0.2.2:5000"
    ]
    assert counters.as_dict() == {"unknown_source": 7}


def test_each_reason_is_logged_for_itself(
    counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    counters.refuse("unknown_source")
    counters.refuse("unknown_ufrag")
    assert [message.split()[-1] for message in caplog.messages] == [
        "unknown_source",
        "unknown_ufrag",
    ]
