"""Checks of fields."""

from typing import Any

import pytest

from transceiver.realtime.errors import EventError, error_event
from transceiver.realtime.fields import (
    Check,
    choice,
    either,
    flag,
    free,
    list_of,
    number,
    record,
    tagged,
    text,
    whole,
)


@pytest.mark.parametrize(
    ("check", "value", "meant"),
    [
        (text(5), "hällo", "hällo"),
        (choice("a", "b"), "a", "a"),
        (flag, False, False),
        (number(0, 1), 1, 1),
        (whole(0, 1000), 500.0, 500),
        (either("a number or 'inf'", whole(1, 9), choice("inf")), "inf", "inf"),
        (list_of(flag), [True, False], [True, False]),
        (record({"a": flag}), {"a": True, "b": 5}, {"a": True}),
        (record({"a": flag}), {"a": None}, {"a": None}),
        (record({"a": flag}, defaults={"a": True}), {"a": None}, {"a": True}),
        (tagged({"x": record({"a": flag})}), {"type": "x", "a": True}, {"type": "x", "a": True}),
        (free(), {"a": [1]}, {"a": [1]}),
        (free(14), {"a": "жжж"}, {"a": "жжж"}),
        (free(14), {"a": "\ud800"}, {"a": "\ud800"}),
    ],
)
def test_what_is_right(check: Check, value: Any, meant: Any) -> None:
    assert check(value, "p") == meant


@pytest.mark.parametrize(
    ("check", "value", "code", "param"),
    [
        (text(5), "sixsix", "string_above_max_length", "p"),
        (text(5, 1), "", "invalid_value", "p"),
        (text(5), 5, "invalid_value", "p"),
        (text(5), "\ud800", "invalid_value", "p"),
        (choice("a"), "b", "invalid_value", "p"),
        (choice("a"), ["a"], "invalid_value", "p"),
        (flag, 1, "invalid_value", "p"),
        (number(0, 1), True, "invalid_value", "p"),
        (number(0, 1), 1.5, "invalid_value", "p"),
        (number(0, 1), float("inf"), "invalid_value", "p"),
        (whole(0, 5), 1.5, "invalid_value", "p"),
        (either("this", flag), 1, "invalid_value", "p"),
        (list_of(flag, 1), [True, True], "array_above_max_length", "p"),
        (list_of(flag), [True, 1], "invalid_value", "p[1]"),
        (list_of(flag), {}, "invalid_value", "p"),
        (record({"a": flag}, required=("a",)), {}, "missing_required_parameter", "p.a"),
        (record({"a": flag}, required=("a",)), {"a": None}, "missing_required_parameter", "p.a"),
        (record({"a": record({"b": flag})}), {"a": {"b": 1}}, "invalid_value", "p.a.b"),
        (record({}), [], "invalid_value", "p"),
        (tagged({"x": record({})}), {}, "missing_required_parameter", "p.type"),
        (tagged({"x": record({})}), {"type": "y"}, "invalid_value", "p.type"),
        (tagged({"x": record({})}), "x", "invalid_value", "p"),
        (free(10), {"a": "long enough"}, "string_above_max_length", "p"),
        (free(13), {"a": "жжж"}, "string_above_max_length", "p"),
        (free(), {"a": float("inf")}, "invalid_value", "p"),
        (free(), [], "invalid_value", "p"),
    ],
)
def test_what_is_wrong(check: Check, value: Any, code: str, param: str) -> None:
    with pytest.raises(EventError) as caught:
        check(value, "p")
    assert (caught.value.code, caught.value.param) == (code, param)


def test_an_error_shows_no_long_value() -> None:
    with pytest.raises(EventError) as caught:
        choice("a")("secret" * 1000, "p")
    assert len(str(caught.value)) < 200


def test_what_is_not_known_of_an_error_is_left_out() -> None:
    event = error_event("code", "Words.")
    assert event["error"] == {
        "type": "invalid_request_error",
        "code": "code",
        "message": "Words.",
    }
