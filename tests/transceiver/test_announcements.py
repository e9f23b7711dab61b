"""What relays have announced: news, its order, and its bounds."""

from dataclasses import replace

import pytest

from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Transport
from transceiver.announcements import LIFETIME, MOST, Announcements

CLIENT, OTHER = Endpoint("203.0.113.9", 40_000), Endpoint("203.0.113.9", 40_001)
HERE, THERE = Endpoint("192.0.2.1", 20_000), Endpoint("192.0.2.2", 20_000)
SAID = Announcement(CLIENT, Endpoint("203.0.113.10", 3478), HERE, bytes(21), 1.8e9)


def test_the_latest_of_a_source_counts() -> None:
    known = Announcements()
    assert known.note(SAID, 0.0)
    assert not known.note(SAID, 0.0)  # a copy
    assert not known.note(replace(SAID, client=OTHER, time=SAID.time - 1), 0.0)
    assert known.checked(HERE, 0.0).time == SAID.time  # type: ignore[union-attr]
    assert known.note(replace(SAID, client=OTHER, time=SAID.time + 2), 0.0)
    assert list(known.of_client(CLIENT)) == []
    assert [source for source, _ in known.of_client(OTHER)] == [HERE]


@pytest.mark.parametrize("back", [300.0, 3600.0, 86_400.0])
def test_a_client_that_is_taken_over_is_news_though_a_clock_was_set_back(back: float) -> None:
    known = Announcements()
    known.note(SAID, 0.0)
    earlier = replace(SAID, time=SAID.time - back)
    assert not known.note(earlier, 0.0)
    assert known.note(replace(earlier, epoch=2), 0.0)
    assert not known.note(replace(earlier, epoch=3, transport=Transport.TCP), 0.0)  # another client
    assert known.get(HERE).announced.epoch == 2  # type: ignore[union-attr]


def test_a_client_may_be_behind_several_sources() -> None:
    known = Announcements()
    known.note(SAID, 0.0)
    known.note(replace(SAID, upstream=THERE), 1.0)
    assert [source for source, _ in known.of_client(CLIENT)] == [HERE, THERE]


def test_what_nobody_uses_is_forgotten() -> None:
    known = Announcements()
    known.note(SAID, 0.0)
    assert known.checked(HERE, LIFETIME - 1) is not None
    assert known.checked(HERE, 2 * LIFETIME - 2) is not None
    assert known.checked(HERE, 4 * LIFETIME) is None
    known.note(replace(SAID, client=OTHER, upstream=THERE), 4 * LIFETIME)
    assert known.get(HERE) is None
    assert list(known.of_client(CLIENT)) == []


def test_there_are_only_so_many() -> None:
    known = Announcements()
    for number in range(MOST + 10):
        upstream = Endpoint(f"10.0.{number >> 8}.{number & 255}", 20_000)
        known.note(replace(SAID, upstream=upstream), 0.0)
    assert len(known) == MOST
    assert len(list(known.of_client(CLIENT))) == MOST
