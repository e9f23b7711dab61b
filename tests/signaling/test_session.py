import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import ApiError
from signaling.session import (
    MAX_DEPTH,
    MAX_MODEL,
    MAX_SESSION,
    Setup,
    check_model,
    check_session,
    choose_model,
)


def nested(levels: int) -> Any:
    value: Any = "end"
    for number in range(levels):
        value = {"a": value} if number % 2 or number == levels - 1 else [value]
    return value


@pytest.mark.parametrize(
    ("session", "status", "code", "param"),
    [
        ([], 400, "invalid_session", "session"),
        ("x", 400, "invalid_session", "session"),
        (1, 400, "invalid_session", "session"),
        ({"type": "other"}, 400, "invalid_value", "session.type"),
        ({"type": ["realtime"]}, 400, "invalid_value", "session.type"),
        ({"model": ""}, 400, "invalid_value", "session.model"),
        ({"model": 5}, 400, "invalid_value", "session.model"),
        ({"model": "a\nb"}, 400, "invalid_value", "session.model"),
        ({"model": "m" * (MAX_MODEL + 1)}, 400, "invalid_value", "session.model"),
        ({"speed": float("inf")}, 400, "invalid_session", "session"),
        ({"speed": float("nan")}, 400, "invalid_session", "session"),
        ({"instructions": "x" * MAX_SESSION}, 413, "session_too_large", "session"),
        ({"instructions": "ж" * (MAX_SESSION // 2)}, 413, "session_too_large", "session"),
        (nested(MAX_DEPTH + 1), 400, "invalid_session", "session"),
        (nested(50_000), 400, "invalid_session", "session"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(
    session: Any, status: int, code: str, param: str
) -> None:
    with pytest.raises(ApiError) as raised:
        check_session(session)
    assert (raised.value.status, raised.value.code, raised.value.param) == (status, code, param)


@pytest.mark.parametrize(
    "session",
    [
        {},
        {"type": "realtime"},
        {"type": "transcription", "unknown": {"to": ["any", "schema"]}},
        {"instructions": "ж" * (MAX_SESSION // 2 - 10)},
        {"instructions": "你" * (MAX_SESSION // 3 - 10)},
        {"instructions": "half a character: \ud83d"},
        nested(MAX_DEPTH),
    ],
)
def test_what_can_is_taken_as_it_is(session: dict[str, Any]) -> None:
    assert check_session(session) is session
    assert json.loads(json.dumps(session, allow_nan=False)) == session


def test_a_session_may_be_left_out_unless_it_is_what_a_secret_is_for() -> None:
    assert check_session(None) is None
    absent: tuple[Any, ...] = (None, {})
    for missing in absent:
        with pytest.raises(ApiError) as raised:
            check_session(missing, typed=True)
    assert (raised.value.code, raised.value.param) == (
        "missing_required_parameter",
        "session.type",
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_json_is_taken_or_refused_in_words(value: Any) -> None:
    with contextlib.suppress(ApiError):
        taken = check_session(value)
        assert taken is None or json.loads(json.dumps(taken, allow_nan=False)) == taken


class TestBound:
    def test_a_secrets_session_is_what_the_call_does_not_say(self) -> None:
        asked = Setup({"voice": "b", "speed": 2}, "other")
        begun = asked.under({"type": "realtime", "voice": "a", "instructions": "x"})
        assert begun.session == {
            "type": "realtime",
            "voice": "b",
            "speed": 2,
            "instructions": "x",
        }
        assert begun.model == "other"

    def test_its_model_is_bound(self) -> None:
        begun = Setup({"model": "other"}, "other").under({"type": "realtime", "model": "own"})
        assert begun == Setup({"type": "realtime", "model": "own"}, "own")

    def test_without_one_nothing_is_changed(self) -> None:
        asked = Setup({"voice": "b"}, "m")
        assert asked.under(None) is asked


def test_a_key_uses_its_models_only_and_the_first_by_itself() -> None:
    assert choose_model("any", ()) == "any"
    assert choose_model(None, ()) is None
    assert choose_model(None, ("a", "b")) == "a"
    assert choose_model("b", ("a", "b")) == "b"
    with pytest.raises(ApiError) as raised:
        choose_model("c", ("a", "b"))
    assert (raised.value.status, raised.value.code) == (403, "model_not_found")


@given(st.text())
def test_a_model_has_a_name_of_one_line(text: str) -> None:
    with contextlib.suppress(ApiError):
        assert check_model(text) == text
        assert text.isprintable()
