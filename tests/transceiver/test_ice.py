"""Dialogues with the ICE agent: a datagram goes in, commands come out."""

import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.wire.endpoint import Endpoint
from relay.wire.stun import (
    BINDING,
    Attribute,
    Message,
    MessageClass,
    unxor_address,
    verify_integrity,
)
from relay.wire.transport import Transport
from transceiver.commands import Command, Embedded, Forgotten, Refused, Selected, Send, Validated
from transceiver.consent import CONSENT_LIFETIME
from transceiver.ice import MAX_PATHS, RESTART_GRACE, IceAgent
from transceiver.path import AMPLIFICATION, Announced
from transceiver.plan import Credentials

HOME = Endpoint("198.51.100.1", 40000)
MOBILE = Endpoint("198.51.100.2", 40000)
ELSEWHERE = Endpoint("198.51.100.3", 40000)
CLIENT = Endpoint("2001:db8::7", 50000)
NEW = Credentials("newufrag", "new-password-of-24-chars")

Check = Callable[..., bytes]


@pytest.fixture
def agent(credentials: Credentials) -> IceAgent:
    return IceAgent(credentials)


def answers(commands: Sequence[Command]) -> list[tuple[Message, Endpoint]]:
    return [(Message.parse(c.data), c.destination) for c in commands if isinstance(c, Send)]


def mapped(commands: Sequence[Command]) -> Endpoint:
    """The address in the only answer, which must be a success."""
    ((message, _),) = answers(commands)
    assert message.message_class is MessageClass.SUCCESS
    value = message.get(Attribute.XOR_MAPPED_ADDRESS)
    assert value is not None
    return unxor_address(value, message.transaction_id)


def error(commands: Sequence[Command]) -> int:
    """The code in the only answer, which must be an error and change nothing."""
    assert [type(command) for command in commands] == [Refused, Send]
    ((message, _),) = answers(commands)
    assert message.message_class is MessageClass.ERROR
    value = message.get(Attribute.ERROR_CODE)
    assert value is not None
    return value[2] * 100 + value[3]


# --- what a check is answered ---


def test_a_check_is_answered_with_the_address_it_came_from(agent: IceAgent, check: Check) -> None:
    assert mapped(agent.receive(check(), HOME, 0.0)) == HOME


def test_a_check_is_answered_with_the_announced_client_address(
    agent: IceAgent, check: Check
) -> None:
    assert mapped(agent.receive(check(), HOME, 0.0, Announced(CLIENT, 1.0))) == CLIENT
    assert agent.announced
    assert agent.announced.client == CLIENT
    assert mapped(agent.receive(check(), HOME, 1.0)) == CLIENT, "the path remembers it"


def test_a_success_carries_integrity_under_our_password_and_the_same_transaction(
    agent: IceAgent, check: Check, credentials: Credentials
) -> None:
    commands = agent.receive(check(transaction=b"transaction!"), HOME, 0.0)
    (sent,) = (command for command in commands if isinstance(command, Send))
    verify_integrity(sent.data, credentials.password.encode())
    assert Message.parse(sent.data).transaction_id == b"transaction!"
    assert sent.destination == HOME


def test_a_retransmission_gets_the_same_answer_and_changes_nothing(
    agent: IceAgent, check: Check
) -> None:
    request = check(nominate=True)
    first = agent.receive(request, HOME, 0.0)
    assert first[:2] == [Validated(HOME), Selected(HOME)]
    assert agent.receive(request, HOME, 0.5) == first[2:]


def test_without_username_or_integrity_there_is_no_answer(
    agent: IceAgent, credentials: Credentials
) -> None:
    bare = Message(MessageClass.REQUEST, BINDING, bytes(12))
    data = bare.serialize(credentials.password.encode())
    assert agent.receive(data, HOME, 0.0) == [Refused("stun_unsigned")]
    username = (Attribute.USERNAME, f"{credentials.ufrag}:client".encode())
    unsigned = Message(MessageClass.REQUEST, BINDING, bytes(12), (username,))
    assert agent.receive(unsigned.serialize(), HOME, 0.0) == [Refused("stun_unsigned")]


@pytest.mark.parametrize(
    "wrong",
    [
        Credentials("serverufrag", "another-password-of-24-c"),
        Credentials("anotherufrag", "server-password-of-24-ch"),
        Credentials("", "server-password-of-24-ch"),
        Credentials("serverufrag:", "another-password-of-24-c"),
    ],
)
def test_wrong_credentials_get_no_answer(agent: IceAgent, check: Check, wrong: Credentials) -> None:
    refused = [Refused("stun_unauthenticated")]
    assert agent.receive(check(credentials=wrong), HOME, 0.0) == refused
    agent.receive(check(), HOME, 0.0)
    assert agent.receive(check(credentials=wrong), HOME, 0.0) == refused, "nor at a known address"
    agent.forget(HOME)
    assert agent.destination(0.0) is None


def test_a_username_without_colon_gets_no_answer(agent: IceAgent, credentials: Credentials) -> None:
    username = (Attribute.USERNAME, credentials.ufrag.encode())
    request = Message(MessageClass.REQUEST, BINDING, bytes(12), (username,))
    data = request.serialize(credentials.password.encode())
    assert agent.receive(data, HOME, 0.0) == [Refused("stun_unauthenticated")]


def test_unknown_required_attributes_are_named_in_the_error(agent: IceAgent, check: Check) -> None:
    request = check((0x7FFE, b"what"), (0x0031, b""), (0x7FFE, b"again"), (0xC057, b"fine"))
    commands = agent.receive(request, HOME, 0.0)
    assert error(commands) == 420
    ((message, _),) = answers(commands)
    assert message.get(Attribute.UNKNOWN_ATTRIBUTES) == struct.pack("!HH", 0x7FFE, 0x0031)


def test_a_client_that_believes_to_be_controlled_is_told_of_the_conflict(
    agent: IceAgent, check: Check, credentials: Credentials
) -> None:
    commands = agent.receive(check(controlled=True), HOME, 0.0)
    assert error(commands) == 487
    (sent,) = (command for command in commands if isinstance(command, Send))
    verify_integrity(sent.data, credentials.password.encode())
    assert agent.destination(0.0) is None


def test_a_damaged_check_is_dropped_and_not_answered(agent: IceAgent, check: Check) -> None:
    request = bytearray(check())
    request[-1] ^= 1
    assert agent.receive(bytes(request), HOME, 0.0) == [Refused("stun_fingerprint")]


def test_a_check_without_fingerprint_is_taken(agent: IceAgent, check: Check) -> None:
    request = check()[:-8]
    # MESSAGE-INTEGRITY covers the length without FINGERPRINT (RFC 8489, section 14.5).
    shortened = request[:2] + (len(request) - 20).to_bytes(2, "big") + request[4:]
    assert mapped(agent.receive(shortened, HOME, 0.0)) == HOME


@pytest.mark.parametrize("message_class", [c for c in MessageClass if c != MessageClass.REQUEST])
def test_only_requests_are_answered(
    agent: IceAgent, credentials: Credentials, message_class: MessageClass
) -> None:
    username = (Attribute.USERNAME, f"{credentials.ufrag}:client".encode())
    message = Message(message_class, BINDING, bytes(12), (username,))
    data = message.serialize(credentials.password.encode())
    indication = message_class is MessageClass.INDICATION
    reason = "stun_indication" if indication else "stun_not_a_check"
    assert agent.receive(data, HOME, 0.0) == [Refused(reason)]


# --- which path is used ---


def test_the_first_success_is_used_before_nomination(agent: IceAgent, check: Check) -> None:
    assert agent.destination(0.0) is None
    agent.receive(check(), HOME, 0.0)
    assert agent.destination(0.0) == HOME


def test_before_nomination_the_most_recent_success_is_used(agent: IceAgent, check: Check) -> None:
    agent.receive(check(), HOME, 0.0)
    assert Selected(MOBILE) in agent.receive(check(), MOBILE, 0.1)
    assert agent.destination(0.1) == MOBILE


def test_a_nominated_path_stays_when_others_are_checked(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    assert Selected(MOBILE) not in agent.receive(check(), MOBILE, 0.1)
    assert agent.destination(0.1) == HOME


def test_a_path_may_be_nominated_after_it_was_selected(agent: IceAgent, check: Check) -> None:
    agent.receive(check(), HOME, 0.0)
    agent.receive(check(nominate=True), HOME, 0.1)
    agent.receive(check(), MOBILE, 0.2)
    assert agent.destination(0.2) == HOME


def test_the_first_nomination_is_noted(agent: IceAgent, check: Check) -> None:
    agent.receive(check(), HOME, 0.0)
    assert agent.nominated_at is None
    agent.receive(check(nominate=True), HOME, 0.1)
    agent.receive(check(nominate=True), MOBILE, 0.2)
    assert agent.nominated_at == 0.1


def test_the_newest_nomination_wins(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    assert Selected(MOBILE) in agent.receive(check(nominate=True), MOBILE, 0.1)
    agent.receive(check(), HOME, 0.2)
    assert agent.destination(0.2) == MOBILE


def test_media_alone_teaches_no_address(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    assert agent.heard(MOBILE, 10.0) == []
    assert agent.destination(10.0) == HOME


def test_a_rebound_client_is_followed_when_its_media_comes_over_a_checked_path(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.receive(check(), MOBILE, 5.0)
    assert agent.heard(MOBILE, 5.1) == [Selected(MOBILE)]
    assert agent.destination(5.1) == MOBILE


def test_media_on_another_path_changes_nothing_while_the_selected_one_talks(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.receive(check(), MOBILE, 5.0)
    agent.heard(HOME, 5.0)
    assert agent.heard(MOBILE, 5.1) == []


def test_a_check_replayed_from_elsewhere_is_refused(agent: IceAgent, check: Check) -> None:
    request = check(nominate=True)
    agent.receive(request, HOME, 0.0)
    assert agent.receive(request, ELSEWHERE, 1.0) == [Refused("stun_replayed")]
    assert agent.destination(1.0) == HOME


def test_a_copy_of_an_old_check_from_its_own_address_changes_nothing(
    agent: IceAgent, check: Check
) -> None:
    old = check(nominate=True)
    agent.receive(old, HOME, 0.0)
    agent.receive(check(nominate=True), MOBILE, 1.0)
    assert mapped(agent.receive(old, HOME, 2.0)) == HOME
    assert agent.destination(2.0) == MOBILE, "the old nomination is over"
    agent.receive(old, HOME, CONSENT_LIFETIME)
    assert agent.expire(CONSENT_LIFETIME) == [Forgotten(HOME)], "and it gives no consent"


def test_a_retransmission_over_a_new_upstream_port_of_the_same_client_is_taken(
    agent: IceAgent, check: Check
) -> None:
    request = check(nominate=True)
    agent.receive(request, HOME, 0.0, Announced(CLIENT, 1.0))
    commands = agent.receive(request, MOBILE, 1.0, Announced(CLIENT, 2.0))
    assert Selected(MOBILE) in commands


def test_paths_are_bounded_and_the_selected_one_survives(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    known = {HOME}
    for port in range(1, 3 * MAX_PATHS):
        for command in agent.receive(check(), Endpoint("198.51.100.9", port), 1.0):
            match command:
                case Validated(source):
                    known.add(source)
                case Forgotten(source):
                    known.remove(source)
        assert len(known) <= MAX_PATHS
    assert HOME in known
    assert agent.destination(2.0) == HOME


def test_a_path_given_up_falls_back_to_the_most_recent_other(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.receive(check(), MOBILE, 1.0)
    agent.forget(HOME)
    assert agent.destination(1.0) == MOBILE
    assert Selected(ELSEWHERE) in agent.receive(check(), ELSEWHERE, 1.1), "nobody nominated it"
    agent.forget(MOBILE)
    agent.forget(ELSEWHERE)
    assert agent.destination(1.1) is None


# --- consent ---


def test_sending_stops_without_consent_and_resumes_with_a_check(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    assert agent.destination(CONSENT_LIFETIME - 0.1) == HOME
    agent.heard(HOME, CONSENT_LIFETIME - 0.1)
    assert agent.destination(CONSENT_LIFETIME) is None, "media gives no consent"
    agent.receive(check(), HOME, CONSENT_LIFETIME + 1)
    assert agent.destination(CONSENT_LIFETIME + 1) == HOME


def test_an_unauthenticated_check_gives_no_consent(agent: IceAgent, check: Check) -> None:
    agent.receive(check(), HOME, 0.0)
    wrong = Credentials("serverufrag", "another-password-of-24-c")
    agent.receive(check(credentials=wrong), HOME, CONSENT_LIFETIME - 1)
    assert agent.destination(CONSENT_LIFETIME) is None


def test_a_checked_path_takes_over_from_a_nominated_one_without_consent(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    assert Selected(MOBILE) in agent.receive(check(), MOBILE, CONSENT_LIFETIME)


def test_paths_without_consent_are_forgotten_but_not_the_selected_one(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.receive(check(), MOBILE, 0.0)
    assert agent.expire(CONSENT_LIFETIME - 1) == []
    assert agent.expire(CONSENT_LIFETIME) == [Forgotten(MOBILE)]


# --- announcements of moved paths ---


def test_a_moved_client_is_followed_at_once(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    assert agent.announce(MOBILE, Announced(CLIENT, 100.0, epoch=2)) == [
        Validated(MOBILE),
        Selected(MOBILE),
    ]
    assert agent.destination(1.0) == MOBILE
    assert agent.announced
    assert agent.announced.client == CLIENT


def test_a_move_gives_no_new_consent(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.announce(MOBILE, Announced(CLIENT, 100.0, epoch=2))
    assert agent.destination(CONSENT_LIFETIME) is None


def test_the_announcement_of_an_unknown_client_makes_no_path(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    assert agent.announce(MOBILE, Announced(ELSEWHERE, 100.0, epoch=2)) == []
    assert agent.destination(1.0) == HOME


def test_the_same_address_of_another_transport_is_another_client(
    agent: IceAgent, check: Check
) -> None:
    """Behind one NAT it may be somebody who has seen the ufrag; its owner's path stays."""
    request = check(nominate=True)
    agent.receive(request, HOME, 0.0, Announced(CLIENT, 100.0))
    over_tcp = Announced(CLIENT, 100.0, Transport.TCP, epoch=2)
    assert agent.announce(MOBILE, over_tcp) == []
    assert agent.destination(1.0) == HOME
    assert agent.receive(request, MOBILE, 1.0, over_tcp) == [Refused("stun_replayed")]


@pytest.mark.parametrize("transport", Transport)
def test_how_a_client_reaches_the_relay_is_as_announced(
    agent: IceAgent, check: Check, transport: Transport
) -> None:
    assert agent.announced is None
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0, transport))
    assert agent.announced
    assert agent.announced.transport is transport


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_announcement_of_no_higher_epoch_moves_nothing(
    agent: IceAgent, check: Check, epoch: int
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.announce(MOBILE, Announced(CLIENT, 100.0, epoch=3))
    late = Announced(CLIENT, 1e9, epoch=epoch)  # whatever its relay's clock says
    assert agent.announce(ELSEWHERE, late) == [Refused("announcement_old")]
    assert agent.announce(HOME, late) == []
    assert agent.announce(MOBILE, late) == []
    assert agent.destination(1.0) == MOBILE


def test_two_relays_that_both_have_a_client_do_not_fight(agent: IceAgent, check: Check) -> None:
    """Media stay with the first of them, until the client's check shows which one it reaches."""
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.announce(MOBILE, Announced(CLIENT, 101.0, epoch=2))
    assert agent.announce(ELSEWHERE, Announced(CLIENT, 102.0, epoch=2)) == [
        Refused("announcement_old")
    ]
    commands = agent.receive(check(), ELSEWHERE, 1.0, Announced(CLIENT, 102.0, epoch=2))
    assert Selected(ELSEWHERE) in commands
    assert agent.destination(1.0) == ELSEWHERE


def test_a_relays_last_word_on_its_ports_counts(agent: IceAgent, check: Check) -> None:
    """It was started again, and has found its flow where it was before the last move."""
    moved, elsewhere = HOME._replace(port=40_001), MOBILE._replace(port=40_001)
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.receive(check(), moved, 1.0, Announced(CLIENT, 101.0))
    assert agent.destination(1.0) == moved
    back = Announced(CLIENT, 102.0)
    assert agent.announce(elsewhere, back) == [Refused("announcement_old")]
    assert agent.announce(HOME, Announced(CLIENT, 101.0)) == []
    assert agent.announce(HOME, back) == [Selected(HOME)]
    assert agent.announce(moved, Announced(CLIENT, 102.0)) == []
    assert agent.destination(1.0) == HOME


def test_a_client_whose_address_was_given_away_is_followed(agent: IceAgent, check: Check) -> None:
    """A relay that had lost all gave its port to somebody else, and finds its flow then."""
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.forget(HOME)
    assert agent.destination(1.0) is None
    assert agent.announce(MOBILE, Announced(CLIENT, 101.0)) == [Refused("announcement_old")]
    assert agent.announce(MOBILE, Announced(ELSEWHERE, 101.0, epoch=2)) == []
    same_relay = HOME._replace(port=40_001)
    assert agent.announce(same_relay, Announced(CLIENT, 100.0)) == [Refused("announcement_old")]
    moved = agent.announce(MOBILE, Announced(CLIENT, 101.0, epoch=2))
    assert moved == [Validated(MOBILE), Selected(MOBILE)]
    assert agent.destination(1.0) == MOBILE
    assert agent.destination(CONSENT_LIFETIME) is None, "that is no check"


def test_a_check_over_another_relay_wins_though_its_epoch_is_lower(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0, epoch=5))
    assert Selected(MOBILE) in agent.receive(check(), MOBILE, 1.0, Announced(CLIENT, 101.0))
    assert Selected(HOME) in agent.receive(check(), HOME, 2.0, Announced(CLIENT, 102.0))


@pytest.mark.parametrize("nominate", [True, False])
def test_a_check_that_waited_in_another_relay_moves_nothing_while_the_client_is_heard(
    agent: IceAgent, check: Check, nominate: bool
) -> None:
    """It stood still, and a second one took the client over; what it sends on then is old."""
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.announce(MOBILE, Announced(CLIENT, 101.0, epoch=2))
    agent.heard(MOBILE, 3.0)
    commands = agent.receive(check(nominate=nominate), HOME, 3.5, Announced(CLIENT, 100.0))
    assert [type(each) for each in commands] == [Send]
    assert agent.heard(HOME, 3.5) == []
    assert agent.destination(3.5) == MOBILE
    # The client is there in truth if it is heard by nobody else.
    assert agent.heard(HOME, 4.0) == [Selected(HOME)]


def test_a_check_of_somebody_else_wins_nothing(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.receive(check(), MOBILE, 1.0, Announced(ELSEWHERE, 101.0, epoch=9))
    assert agent.destination(1.0) == HOME


def test_the_copy_of_a_check_over_another_relay_wins_nothing(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    copied = check()
    agent.receive(copied, HOME, 1.0)
    agent.receive(copied, MOBILE, 1.0, Announced(CLIENT, 101.0))
    assert agent.destination(1.0) == HOME


def test_a_client_that_comes_back_to_its_first_relay_is_followed(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.announce(MOBILE, Announced(CLIENT, 100.0, epoch=2))
    assert agent.announce(HOME, Announced(CLIENT, 100.0, epoch=3)) == [Selected(HOME)]


def test_the_move_of_a_path_not_in_use_selects_nothing(agent: IceAgent, check: Check) -> None:
    other = Endpoint("203.0.113.77", 1234)
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 100.0))
    agent.receive(check(), MOBILE, 0.0, Announced(other, 100.0))
    assert agent.announce(ELSEWHERE, Announced(other, 100.0, epoch=2)) == [Validated(ELSEWHERE)]
    assert agent.destination(1.0) == HOME


# --- ICE restart ---


def test_after_a_restart_old_and_new_credentials_work_for_a_while(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.restart(NEW, 10.0)
    assert agent.destination(10.0) == HOME, "the old path is used until a new one is checked"
    assert mapped(agent.receive(check(), HOME, 11.0)) == HOME
    assert mapped(agent.receive(check(credentials=NEW), HOME, 11.0)) == HOME
    assert agent.receive(check(), HOME, 10.0 + RESTART_GRACE) == [Refused("stun_unauthenticated")]
    late = agent.receive(check(credentials=NEW), HOME, 11.0 + RESTART_GRACE)
    assert mapped(late) == HOME


def test_the_first_check_with_new_credentials_is_followed_before_nomination(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.restart(NEW, 10.0)
    assert Selected(MOBILE) in agent.receive(check(credentials=NEW), MOBILE, 10.1)
    agent.receive(check(nominate=True), HOME, 10.2)
    assert agent.destination(10.2) == MOBILE, "a nomination of the old generation is void"


def test_old_credentials_take_nothing_from_a_path_that_has_new_ones(
    agent: IceAgent, check: Check
) -> None:
    agent.restart(NEW, 0.0)
    agent.receive(check(credentials=NEW, nominate=True), HOME, 0.1)
    agent.receive(check(), HOME, 0.2)
    agent.receive(check(credentials=NEW), MOBILE, 0.3)
    assert agent.destination(0.3) == HOME


def test_a_second_restart_does_not_prolong_the_first_credentials(
    agent: IceAgent, check: Check
) -> None:
    agent.restart(NEW, 0.0)
    agent.restart(Credentials("thirdufrag", "third-password-of-24-cha"), RESTART_GRACE - 1)
    assert agent.receive(check(), HOME, RESTART_GRACE) == [Refused("stun_unauthenticated")]
    assert mapped(agent.receive(check(credentials=NEW), HOME, RESTART_GRACE)) == HOME


# --- junk ---


@given(data=st.binary(max_size=200))
def test_random_bytes_change_nothing(data: bytes) -> None:
    agent = IceAgent(NEW)
    commands = agent.receive(data, HOME, 0.0)
    assert all(isinstance(command, Refused | Send) for command in commands)
    assert agent.destination(0.0) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=3),
)
def test_a_mutated_check_is_refused_or_is_the_check(
    check: Check, credentials: Credentials, data: st.DataObject, flips: list[tuple[int, int]]
) -> None:
    agent = IceAgent(credentials)
    original = check(nominate=True)
    mutated = bytearray(original[: data.draw(st.integers(0, len(original)))] or original)
    for position, value in flips:
        mutated[position % len(mutated)] ^= value
    commands = agent.receive(bytes(mutated), HOME, 0.0)
    # FINGERPRINT, the last 8 bytes, authenticates nothing: damage may turn it into something else.
    if len(mutated) == len(original) and mutated[:-8] == original[:-8]:
        assert isinstance(commands[0], Refused) or mapped(commands) == HOME
    else:
        assert agent.destination(0.0) is None
        assert any(isinstance(command, Refused) for command in commands)


# --- what an address gets that has not shown that it receives anything ---

HELLO = bytes([22, 254, 255]) + bytes(300)
FLIGHT = bytes([22, 254, 253]) + bytes(700)


def test_a_path_gets_three_bytes_for_one_until_the_client_is_proven(
    agent: IceAgent, check: Check
) -> None:
    request = check(nominate=True)
    (answer,) = (each for each in agent.receive(request, HOME, 0.0) if isinstance(each, Send))
    left = AMPLIFICATION * len(request) - len(answer.data)
    assert agent.spend(bytes(left + 1), 0.0) is None
    assert agent.spend(bytes(left), 0.0) == HOME
    assert agent.spend(b"x", 0.0) is None
    agent.received(HOME, 33)
    assert agent.spend(bytes(100), 0.0) is None
    assert agent.spend(bytes(99), 0.0) == HOME
    agent.received(MOBILE, 33)
    assert agent.spend(b"x", 0.0) is None
    agent.prove(MOBILE)
    assert agent.spend(b"x", 0.0) is None
    agent.prove(HOME)
    assert agent.spend(bytes(5000), 0.0) == HOME
    assert agent.spend(b"x", CONSENT_LIFETIME) is None


def test_a_further_check_and_a_move_keep_the_account(agent: IceAgent, check: Check) -> None:
    announced = Announced(CLIENT, 1.0)
    agent.receive(check(), HOME, 0.0, announced)
    while agent.spend(b"x", 0.0):
        pass
    agent.announce(MOBILE, Announced(CLIENT, 1.0, epoch=2))
    assert agent.selected == MOBILE
    assert agent.spend(b"x", 0.0) is None
    request = check()
    (answer,) = (each for each in agent.receive(request, MOBILE, 0.1) if isinstance(each, Send))
    assert agent.spend(bytes(AMPLIFICATION * len(request) - len(answer.data)), 0.1) == MOBILE
    assert agent.spend(b"x", 0.1) is None


def test_what_two_checks_earn_adds_up(agent: IceAgent, check: Check) -> None:
    requests = [check(), check()]
    for request in requests:
        agent.receive(request, HOME, 0.0)
    assert agent.spend(bytes(AMPLIFICATION * len(requests[0])), 0.0) == HOME
    assert agent.spend(bytes(AMPLIFICATION * len(requests[0])), 0.0) is None, "that is no proof yet"


@settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    doings=st.lists(
        st.tuples(
            st.sampled_from(["check", "nominate", "again", "wrong", "bytes", "heard", "spend"]),
            st.sampled_from([HOME, MOBILE, ELSEWHERE]),
            st.integers(0, 1400),
        ),
        max_size=40,
    )
)
def test_no_address_gets_more_than_three_times_its_bytes_whatever_comes(
    check: Check, doings: list[tuple[str, Endpoint, int]]
) -> None:
    agent, last = IceAgent(Credentials("serverufrag", "server-password-of-24-ch")), check()
    received: Counter[Endpoint] = Counter()
    sent: Counter[Endpoint] = Counter()
    for doing, place, size in doings:
        if doing == "spend":
            if (destination := agent.spend(bytes(size), 0.0)) is not None:
                sent[destination] += size
        elif doing == "heard":
            agent.heard(place, 0.0)
        elif doing == "bytes":
            agent.received(place, size)
            received[place] += size
        else:
            data = last if doing == "again" else check(nominate=doing == "nominate")
            data = data[:-20] + bytes(20) if doing == "wrong" else data
            last = last if doing == "wrong" else data
            received[place] += len(data)
            commands = agent.receive(data, place, 0.0)
            sent[place] += sum(len(each.data) for each in commands if isinstance(each, Send))
        assert all(sent[each] <= AMPLIFICATION * received[each] for each in sent)


def test_after_the_handshake_a_further_address_is_proven_by_its_second_check(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.prove(HOME)
    request = check(nominate=True)
    agent.receive(request, MOBILE, 1.0)
    for _ in range(3):
        agent.receive(request, MOBILE, 1.0)  # a copy is none
    assert agent.spend(bytes(5000), 1.0) is None
    agent.heard(HOME, 1.0)
    assert agent.spend(bytes(5000), 1.0) == HOME, "where the client was heard last"
    agent.receive(check(), MOBILE, 2.0)
    assert agent.spend(bytes(5000), 2.0) == MOBILE


def test_a_proven_client_is_so_behind_another_relay(agent: IceAgent, check: Check) -> None:
    agent.receive(check(nominate=True), HOME, 0.0, Announced(CLIENT, 1.0))
    agent.prove(HOME)
    agent.receive(check(), MOBILE, 1.0, Announced(CLIENT, 2.0))
    assert agent.spend(bytes(5000), 1.0) == MOBILE
    agent.receive(check(nominate=True), ELSEWHERE, 2.0, Announced(HOME, 3.0))
    assert agent.selected == ELSEWHERE
    assert agent.spend(bytes(5000), 2.0) is None, "another client's address is not"


def test_a_copy_of_a_check_earns_its_answer_only(agent: IceAgent, check: Check) -> None:
    request = check()
    for _ in range(20):
        commands = agent.receive(request, HOME, 0.0)
    assert mapped(commands) == HOME
    sent = 0
    while agent.spend(bytes(50), 0.0):
        sent += 50
    answer = len(commands[-1].data) if isinstance(commands[-1], Send) else 0
    assert sent + 20 * answer <= AMPLIFICATION * 20 * len(request)


def test_a_copy_that_outlives_its_path_is_answered(agent: IceAgent, check: Check) -> None:
    request = check()
    agent.receive(request, HOME, 0.0)
    agent.forget(HOME)
    assert mapped(agent.receive(request, HOME, 0.1)) == HOME
    assert agent.destination(0.1) is None


# --- SPED ---


def test_a_datagram_in_a_check_is_handed_on_after_the_answer(agent: IceAgent, check: Check) -> None:
    commands = agent.receive(check((Attribute.DTLS_IN_STUN, HELLO)), HOME, 0.0)
    assert [type(each) for each in commands] == [Validated, Selected, Send, Embedded]
    assert commands[-1] == Embedded(HELLO, HOME)
    ((message, _),) = answers(commands)
    assert message.get(Attribute.DTLS_IN_STUN) == b""
    crc = zlib.crc32(HELLO).to_bytes(4, "big")
    assert message.get(Attribute.DTLS_IN_STUN_ACK) == crc
    assert agent.spend(FLIGHT, 0.0) == HOME


def test_who_shows_nothing_of_sped_sees_nothing_of_it(agent: IceAgent, check: Check) -> None:
    agent.receive(check((Attribute.DTLS_IN_STUN, HELLO)), HOME, 0.0)
    ((message, _),) = answers(agent.receive(check(), HOME, 0.0))
    assert message.get(Attribute.DTLS_IN_STUN) is None
    assert message.get(Attribute.DTLS_IN_STUN_ACK) is None


def test_a_repeated_datagram_is_acknowledged_and_makes_no_second_flight(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check((Attribute.DTLS_IN_STUN, HELLO)), HOME, 0.0)
    again = agent.receive(check((Attribute.DTLS_IN_STUN, HELLO)), HOME, 0.05)
    assert [type(each) for each in again] == [Send]
    ((message, _),) = answers(again)
    assert message.get(Attribute.DTLS_IN_STUN_ACK) == zlib.crc32(HELLO).to_bytes(4, "big")


def test_a_datagram_counts_only_when_the_check_does(agent: IceAgent, check: Check) -> None:
    forged = check(
        (Attribute.DTLS_IN_STUN, HELLO),
        credentials=Credentials("serverufrag", "another-password-of-24-c"),
    )
    assert agent.receive(forged, HOME, 0.0) == [Refused("stun_unauthenticated")]
    request = check((Attribute.DTLS_IN_STUN, HELLO))
    behind = [type(each) for each in agent.receive(request, HOME, 0.0, lived_in=True)]
    assert behind == [Refused, Send]
    assert Embedded(HELLO, HOME) in agent.receive(request, HOME, 0.0)
    assert agent.receive(request, ELSEWHERE, 0.0) == [Refused("stun_replayed")]


def test_an_acknowledged_flight_proves_that_the_client_receives(
    agent: IceAgent, check: Check
) -> None:
    agent.receive(check((Attribute.DTLS_IN_STUN, HELLO)), HOME, 0.0)
    assert agent.spend(FLIGHT, 0.0) == HOME
    assert agent.spend(bytes(2000), 0.0) is None
    guessed = check((Attribute.DTLS_IN_STUN_ACK, bytes(16)))
    agent.receive(guessed, HOME, 0.1)
    assert agent.spend(bytes(2000), 0.1) is None
    crc = zlib.crc32(FLIGHT).to_bytes(4, "big")
    agent.receive(check((Attribute.DTLS_IN_STUN_ACK, crc)), HOME, 0.2)
    assert agent.spend(bytes(2000), 0.2) == HOME


# --- SHA-256 ---


def test_a_check_with_sha256_is_answered_with_sha256(
    agent: IceAgent, credentials: Credentials
) -> None:
    username = (Attribute.USERNAME, f"{credentials.ufrag}:client".encode())
    request = Message(MessageClass.REQUEST, BINDING, bytes(12), (username,))
    password = credentials.password.encode()
    data = request.serialize(password, Attribute.MESSAGE_INTEGRITY_SHA256)
    commands = agent.receive(data, HOME, 0.0)
    assert mapped(commands) == HOME
    ((message, _),) = answers(commands)
    assert message.get(Attribute.MESSAGE_INTEGRITY) is None
    assert message.get(Attribute.MESSAGE_INTEGRITY_SHA256) is not None
    wrong = request.serialize(b"another", Attribute.MESSAGE_INTEGRITY_SHA256)
    assert agent.receive(wrong, HOME, 0.0) == [Refused("stun_unauthenticated")]


# --- nothing raises ---


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    extra=st.lists(
        st.tuples(st.sampled_from([*Attribute, 0x7FFF, 0xC057]), st.binary(max_size=1300)),
        max_size=6,
    ),
    source=st.sampled_from([HOME, MOBILE, CLIENT]),
    lived_in=st.booleans(),
)
def test_no_authenticated_check_raises_whatever_is_in_it(
    extra: list[tuple[int, bytes]], source: Endpoint, lived_in: bool
) -> None:
    credentials = Credentials("serverufrag", "server-password-of-24-ch")
    agent = IceAgent(credentials)
    username = (Attribute.USERNAME, b"serverufrag:client")
    request = Message(MessageClass.REQUEST, BINDING, bytes(12), (username, *extra))
    data = request.serialize(credentials.password.encode())
    commands = agent.receive(data, source, 0.0, lived_in=lived_in)
    assert sum(len(each.data) for each in commands if isinstance(each, Send)) <= 3 * len(data)
    assert len(agent._paths) <= 1
