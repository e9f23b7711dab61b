"""Clients that do not check are asked."""

from collections.abc import Callable

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.stun import (
    BINDING,
    Attribute,
    Message,
    MessageClass,
    verify_integrity,
    xor_address,
)
from transceiver.commands import Command, Send
from transceiver.consent import ASK_AFTER, ASK_EVERY, CONSENT_LIFETIME, Asker, consents
from transceiver.ice import IceAgent
from transceiver.path import Path
from transceiver.plan import Credentials

HOME = Endpoint("198.51.100.1", 40000)
MOBILE = Endpoint("198.51.100.2", 40000)
THEIRS = Credentials("theirs", "their-password-of-24-cha")
NEW = Credentials("newufrag", "new-password-of-24-chars")

Check = Callable[..., bytes]


def path(*, checked: float, heard: float = 0.0) -> Path:
    return Path(checked, heard, 0, None)


def answer(transaction_id: bytes) -> tuple[Message, bytes]:
    message = Message(MessageClass.SUCCESS, BINDING, transaction_id)
    return message, message.serialize(THEIRS.password.encode())


def test_consent_lives_for_thirty_seconds() -> None:
    assert consents(path(checked=5.0), 5.0 + CONSENT_LIFETIME - 0.1)
    assert not consents(path(checked=5.0), 5.0 + CONSENT_LIFETIME)


def test_it_asks_after_a_while_and_not_more_often_than_that() -> None:
    asker = Asker(THEIRS)
    assert not asker.is_due(path(checked=0.0), ASK_AFTER - 0.1)
    assert asker.is_due(path(checked=0.0), ASK_AFTER)
    asker.ask("ours", HOME, ASK_AFTER, bytes(12))
    assert not asker.is_due(path(checked=0.0), ASK_AFTER + ASK_EVERY - 0.1)
    assert asker.is_due(path(checked=0.0), ASK_AFTER + ASK_EVERY)


def test_any_of_the_last_requests_may_be_answered_once() -> None:
    asker = Asker(THEIRS)
    numbers = [number.to_bytes(12, "big") for number in range(17)]
    for number in numbers:
        asker.ask("ours", HOME, 0.0, number)
    assert not asker.is_answer(*answer(numbers[0]), HOME), "so many are not remembered"
    assert asker.is_answer(*answer(numbers[1]), HOME)
    assert not asker.is_answer(*answer(numbers[1]), HOME)


# --- an agent that asks ---


@pytest.fixture
def asking(credentials: Credentials, check: Check) -> IceAgent:
    """An agent that knows its client's credentials, and has given its first check an answer."""
    agent = IceAgent(credentials, THEIRS)
    agent.receive(check(nominate=True), HOME, 0.0)
    agent.prove(HOME)
    return agent


def respond(command: Command, password: str = THEIRS.password) -> bytes:
    """What a client says to a request."""
    assert isinstance(command, Send)
    request = Message.parse(command.data)
    mapped = (Attribute.XOR_MAPPED_ADDRESS, xor_address(HOME, request.transaction_id))
    answer = Message(MessageClass.SUCCESS, BINDING, request.transaction_id, (mapped,))
    return answer.serialize(password.encode())


def test_a_client_that_does_not_check_is_asked_and_its_answer_is_consent(
    asking: IceAgent, credentials: Credentials
) -> None:
    """GStreamer heard nothing after 30 s, and Pion nothing for 2 s of each 32."""
    last = 0.0
    for second in range(1, 200):
        now = float(second)
        for command in asking.ask(now, second.to_bytes(12, "big")):
            assert isinstance(command, Send)
            assert command.destination == HOME
            request = Message.parse(command.data)
            assert request.get(Attribute.USERNAME) == f"{THEIRS.ufrag}:{credentials.ufrag}".encode()
            assert request.get(Attribute.ICE_CONTROLLED) is not None
            verify_integrity(command.data, THEIRS.password.encode())
            assert asking.receive(respond(command), HOME, now) == []
            assert now - last == ASK_AFTER
            last = now
        assert asking.destination(now) == HOME
    assert asking.destination(last + CONSENT_LIFETIME) is None


def test_a_client_that_checks_is_not_asked(asking: IceAgent, check: Check) -> None:
    for second in range(5, 60, 5):
        assert asking.ask(float(second), bytes(12)) == []
        asking.receive(check(), HOME, float(second))


def test_who_does_not_answer_loses_consent_and_is_not_asked_any_more(asking: IceAgent) -> None:
    asked = []
    for second in range(60):
        asked += [second] * len(asking.ask(float(second), second.to_bytes(12, "big")))
        asking.heard(HOME, float(second))
    assert asked == [*range(int(ASK_AFTER), int(CONSENT_LIFETIME), int(ASK_EVERY))]
    assert asking.destination(CONSENT_LIFETIME) is None, "media gives no consent"


def test_who_has_answered_and_is_heard_again_after_an_outage_is_asked_again(
    asking: IceAgent,
) -> None:
    (command,) = asking.ask(ASK_AFTER, bytes(12))
    asking.receive(respond(command), HOME, ASK_AFTER)
    lost = ASK_AFTER + CONSENT_LIFETIME
    assert asking.ask(lost, bytes(12)) == [], "nobody is there"
    asking.heard(HOME, lost + 1)
    assert asking.destination(lost + 1) is None
    (command,) = asking.ask(lost + 1, bytes(12))
    asking.receive(respond(command), HOME, lost + 1)
    assert asking.destination(lost + 1) == HOME


@pytest.mark.parametrize("wrong", ["password", "source", "transaction", "again", "class"])
def test_what_does_not_answer_us_is_no_consent(asking: IceAgent, wrong: str) -> None:
    (command,) = asking.ask(ASK_AFTER, bytes(12))
    data, source = respond(command), HOME
    match wrong:
        case "password":
            data = respond(command, "another-password-of-24-c")
        case "source":
            source = MOBILE
        case "transaction":
            data = respond(Send(replace_transaction(command), HOME))
        case "again":
            asking.receive(data, HOME, ASK_AFTER)
        case "class":
            data = bytes([data[0], data[1] | 0x10]) + data[2:]  # an error
    asking.receive(data, source, CONSENT_LIFETIME - 1)
    consented = ASK_AFTER if wrong == "again" else 0.0
    assert asking.destination(consented + CONSENT_LIFETIME) is None


def replace_transaction(command: Command) -> bytes:
    assert isinstance(command, Send)
    return command.data[:8] + b"unasked12345" + command.data[20:]


def test_an_address_that_has_not_shown_to_receive_is_not_asked(
    credentials: Credentials, check: Check
) -> None:
    agent = IceAgent(credentials, THEIRS)
    agent.receive(check(nominate=True), HOME, 0.0)
    assert agent.ask(ASK_AFTER, bytes(12)) == []


def test_a_restarted_client_is_asked_with_its_new_password(
    asking: IceAgent, credentials: Credentials
) -> None:
    asking.restart(credentials, 1.0, NEW)
    (command,) = asking.ask(ASK_AFTER, bytes(12))
    assert isinstance(command, Send)
    verify_integrity(command.data, NEW.password.encode())
