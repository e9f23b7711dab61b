from typing import Any

import pytest

from transceiver.agent.skills.arguments import arguments, missing, title

STRING, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}


def schema(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


@pytest.mark.parametrize(
    ("properties", "request_", "expected"),
    [
        ({"city": STRING}, "weather in New York please", {"city": "New York"}),
        ({"city": STRING}, "weather for the city of Rome", {"city": "Rome"}),
        ({"query": STRING}, "search red shoes", {"query": "red shoes"}),
        ({"text": STRING}, 'say "Good morning, all"', {"text": "Good morning, all"}),
        ({"unit": {"enum": ["celsius", "fahrenheit"]}}, "in Celsius", {"unit": "celsius"}),
        ({"mode": {"enum": ["eco", "eco_plus"]}}, "eco plus", {"mode": "eco_plus"}),
        ({"count": WHOLE}, "twenty five of them", {"count": 25}),
        ({"price": NUMBER}, "for 3.5", {"price": 3.5}),
        ({"count": WHOLE}, "3.5", {}),
        ({"level": {**WHOLE, "maximum": 100}}, "500 or 50", {"level": 50}),
        ({"level": {"type": ["null", "integer"]}}, "five", {"level": 5}),
        ({"on": {"type": "boolean"}}, "light off", {"on": False}),
        ({"on": {"type": "boolean"}}, "switch on", {"on": True}),
        ({"tags": {"type": "array", "items": STRING}}, "about cats", {"tags": ["cats"]}),
        ({"at": schema(hour=WHOLE)}, "seven", {"at": {"hour": 7}}),
        ({"v": {"const": 1}}, "", {"v": 1}),
        (
            {"guests": WHOLE, "name": STRING, "day": STRING},
            "four people on Friday named Miller",
            {"guests": 4, "name": "Miller", "day": "Friday"},
        ),
        ({"from": STRING, "to": STRING}, "from Rome to Paris", {"from": "Rome", "to": "Paris"}),
    ],
)
def test_arguments_are_filled(
    properties: dict[str, Any], request_: str, expected: dict[str, Any]
) -> None:
    assert arguments(schema(**properties), request_, ("weather", "search", "light")) == expected


def test_what_is_required_has_its_default_or_is_missing() -> None:
    with_default = schema("unit", unit={**STRING, "default": "celsius"})
    assert missing(with_default, "", ()) is None
    assert arguments(with_default, "", ()) == {"unit": "celsius"}
    assert missing(schema("sizeInCm", sizeInCm=WHOLE), "", ()) == "size in cm"
    assert missing(schema(sizeInCm=WHOLE), "", ()) is None


def test_a_call_that_must_be_made_has_a_value_for_all_that_is_required() -> None:
    properties: dict[str, dict[str, Any]] = {
        "a": STRING,
        "b": {**WHOLE, "minimum": 3},
        "c": {"type": "boolean"},
        "d": {"type": "array"},
        "e": {"type": "object"},
        "f": {"enum": ["x", "y"]},
    }
    filled = arguments(schema(*properties, **properties), "", ())
    assert filled == {"a": "", "b": 3, "c": False, "d": [], "e": {}, "f": "x"}


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"properties": []},
        {"properties": {"a": 5}, "required": "a"},
        {"properties": {"a": {"type": 5}}},
        {"properties": {"a": {"type": "array", "items": 3}}},
        {"properties": {"a": {"enum": [None, {}, []]}}},
        {"properties": {f"p{n}": STRING for n in range(1_000)}},
    ],
)
def test_schemas_that_make_no_sense_do_not_raise(odd: dict[str, Any]) -> None:
    assert isinstance(arguments(odd, "five in Rome", ()), dict)
    missing(odd, "five in Rome", ())


def test_titles() -> None:
    assert title("sizeInCm") == "size in cm"
    assert title("__") == "value"
