"""What does not work is told once, and once that it works again."""

import logging

import pytest

from relay.outage import Outage

_log = logging.getLogger("some service")


def test_each_kind_of_reason_is_told_once_and_that_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(_log, "the store is away", "the store is back")
    outage.ends()
    for reason in ("no way: 1", "no way: 2", "it is full", "no way: 3"):
        outage.begins(reason)
        assert outage.reason == reason
    outage.ends()
    outage.ends()
    assert outage.reason is None
    outage.begins("no way: 4")
    assert [each.getMessage() for each in caplog.records] == [
        "the store is away: no way: 1",
        "the store is away: it is full",
        "the store is back",
        "the store is away: no way: 4",
    ]
    assert [each.levelno for each in caplog.records] == [
        *(logging.WARNING, logging.WARNING),
        logging.INFO,
        logging.WARNING,
    ]
