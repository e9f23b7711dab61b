"""Resume tokens: what they look like, and for whom they are good."""

import pytest

from signaling.errors import ApiError
from signaling.resume import HEADER, NO_TOKENS, TOKEN_BYTES, Tokens, name_of

RANDOM = bytes(range(TOKEN_BYTES))


def test_a_call_gets_a_token_that_the_next_one_may_show() -> None:
    first = Tokens.of({}, RANDOM)
    assert first.shown is None
    second = Tokens.of({HEADER: first.own or ""}, RANDOM[::-1])
    assert second.shown == first.own
    assert second.own != first.own
    assert name_of(second.shown, "alice") == name_of(first.own, "alice")


def test_a_name_is_of_its_principal() -> None:
    token = Tokens.of({}, RANDOM).own
    names = {name_of(token, who) for who in (None, "", "-", "alice", "bob", "\ud800")}
    assert len(names) == 6
    assert all(len(name or "") == 43 for name in names)


def test_a_name_says_nothing_of_its_token() -> None:
    token = Tokens.of({}, RANDOM).own
    assert token is not None
    assert token not in (name_of(token, None) or "")
    assert token not in repr(Tokens.of({HEADER: token}, RANDOM)), "nor does a log"


def test_without_a_token_there_is_no_name() -> None:
    assert name_of(NO_TOKENS.own, "alice") is None


@pytest.mark.parametrize("shown", ["", "x", "A" * 44, "A" * 42 + "=", "A" * 42 + "é"])
def test_what_is_no_token_is_refused(shown: str) -> None:
    with pytest.raises(ApiError) as raised:
        Tokens.of({HEADER: shown}, RANDOM)
    assert (raised.value.status, raised.value.code) == (400, "invalid_value")
