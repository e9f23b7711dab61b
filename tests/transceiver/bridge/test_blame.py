"""Whose event an error is about."""

import pytest

from transceiver.bridge.blame import MAX_KNOWN, PATIENCE, Blame
from transceiver.bridge.events import CANCEL, DELETE, TRUNCATE, Fault


def test_an_error_names_its_event() -> None:
    blame = Blame()
    blame.sent(TRUNCATE, "mine", ours=True, now=0.0)
    blame.sent(TRUNCATE, "yours", ours=False, now=0.0)
    assert blame.is_ours(Fault("anything", "", "mine"), 1.0)
    assert not blame.is_ours(Fault("item_truncate_invalid_item_id", "", "yours"), 1.0)
    assert not blame.is_ours(Fault("x", "", "of nobody"), 1.0)
    assert not blame.is_ours(Fault("insufficient_quota", "", "mine"), 1.0)
    assert not blame.is_ours(Fault("anything", "", "mine"), PATIENCE + 1)


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        (CANCEL, "response_cancel_not_active", ""),
        (CANCEL, "", "Cancellation failed: no active response found"),
        (TRUNCATE, "item_truncate_invalid_item_id", ""),
        (TRUNCATE, "invalid_value", "Audio content of 300ms is already shorter than 400ms"),
        (TRUNCATE, "", "Unknown event type: conversation.item.truncate"),
        (DELETE, "item_delete_invalid_item_id", ""),
    ],
)
def test_without_a_name_it_is_ours_if_only_we_have_sent_such_an_event(
    kind: str, code: str, message: str
) -> None:
    fault = Fault(code, message, "")
    blame = Blame()
    assert not blame.is_ours(fault, 0.0)
    blame.sent(kind, "mine", ours=True, now=0.0)
    assert not blame.is_ours(Fault("server_error", "it broke", ""), 1.0)
    assert blame.is_ours(fault, 1.0)
    assert not blame.is_ours(fault, 1.0), "one event, one error"
    blame.sent(kind, "mine", ours=True, now=2.0)
    blame.sent(kind, "", ours=False, now=2.0)
    assert not blame.is_ours(fault, 3.0), "it may be the client's"


def test_little_is_remembered() -> None:
    blame = Blame()
    for number in range(3 * MAX_KNOWN):
        blame.sent(CANCEL, str(number), ours=True, now=0.0)
    assert len(blame._sent) == MAX_KNOWN
    assert not blame.is_ours(Fault("", "", "0"), 0.0)
    assert blame.is_ours(Fault("", "", str(3 * MAX_KNOWN - 1)), 0.0)
