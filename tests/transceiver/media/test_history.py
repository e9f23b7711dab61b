import pytest
from pylibsrtp import Error, Policy, Session

from transceiver.media import rtp
from transceiver.media.history import History

ROUND_TRIP = 0.04


def history() -> History:
    kept = History()
    for number in range(100):
        kept.keep(65_500 + number & 0xFFFF, b"packet %d" % number, 0.02 * number)
    return kept


def numbered(*numbers: int) -> list[int]:
    return [65_500 + number & 0xFFFF for number in numbers]


def test_recent_packets_are_sent_again_as_they_were() -> None:
    assert history().again(numbered(98, 97), ROUND_TRIP, 2.0) == [b"packet 98", b"packet 97"]


def test_what_comes_too_late_to_be_heard_is_not() -> None:
    assert history().again(numbered(80), ROUND_TRIP, 2.0) == []
    assert history().again(numbered(98), 0.5, 2.0) == []


def test_what_was_never_sent_or_is_forgotten_is_not() -> None:
    assert history().again([*numbered(100, 99 - 32, -5), 7_000], ROUND_TRIP, 2.0) == []


def test_a_request_repeated_within_a_round_trip_is_about_the_same_loss() -> None:
    kept = history()
    assert kept.again(numbered(99, 99, 99), ROUND_TRIP, 2.0) == [b"packet 99"]
    assert kept.again(numbered(99), ROUND_TRIP, 2.03) == []
    assert kept.again(numbered(99), ROUND_TRIP, 2.05) == [b"packet 99"]
    assert kept.again(numbered(99), ROUND_TRIP, 2.10) == []


@pytest.mark.parametrize("repeat", [True, False])
def test_srtp_sends_the_same_again_where_it_is_allowed_to(repeat: bool) -> None:
    policy = Policy(key=bytes(30), ssrc_type=Policy.SSRC_ANY_OUTBOUND)
    policy.allow_repeat_tx = repeat
    session = Session(policy)
    packets = [rtp.Packet(111, number, 0, 1, b"sound").serialise() for number in range(10)]
    secret = [session.protect(packet) for packet in packets]
    if repeat:
        assert session.protect(packets[5]) == secret[5]
    else:
        with pytest.raises(Error):
            session.protect(packets[5])
