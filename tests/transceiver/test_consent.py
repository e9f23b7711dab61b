"""Clients that do not check are asked; how an agent does it is in `test_ice`."""

from relay.wire.endpoint import Endpoint
from relay.wire.stun import BINDING, Message, MessageClass
from transceiver.consent import ASK_AFTER, ASK_EVERY, CONSENT_LIFETIME, Asker, consents
from transceiver.path import Path
from transceiver.plan import Credentials

HOME = Endpoint("198.51.100.1", 40000)
PASSWORD = "their-password-of-24-cha"


def path(*, checked: float, heard: float = 0.0) -> Path:
    return Path(checked, heard, 0, None)


def answer(transaction_id: bytes) -> tuple[Message, bytes]:
    message = Message(MessageClass.SUCCESS, BINDING, transaction_id)
    return message, message.serialize(PASSWORD.encode())


def test_consent_lives_for_thirty_seconds() -> None:
    assert consents(path(checked=5.0), 5.0 + CONSENT_LIFETIME - 0.1)
    assert not consents(path(checked=5.0), 5.0 + CONSENT_LIFETIME)


def test_it_asks_after_a_while_and_not_more_often_than_that() -> None:
    asker = Asker(Credentials("theirs", PASSWORD))
    assert not asker.is_due(path(checked=0.0), ASK_AFTER - 0.1)
    assert asker.is_due(path(checked=0.0), ASK_AFTER)
    asker.ask("ours", HOME, ASK_AFTER, bytes(12))
    assert not asker.is_due(path(checked=0.0), ASK_AFTER + ASK_EVERY - 0.1)
    assert asker.is_due(path(checked=0.0), ASK_AFTER + ASK_EVERY)


def test_any_of_the_last_requests_may_be_answered_once() -> None:
    asker = Asker(Credentials("theirs", PASSWORD))
    numbers = [number.to_bytes(12, "big") for number in range(17)]
    for number in numbers:
        asker.ask("ours", HOME, 0.0, number)
    assert not asker.is_answer(*answer(numbers[0]), HOME), "so many are not remembered"
    assert asker.is_answer(*answer(numbers[1]), HOME)
    assert not asker.is_answer(*answer(numbers[1]), HOME)
