import json
from typing import Any

import pytest

from tests.transceiver.agent.skills.conversation import agent, answer, function
from transceiver.agent.skills.tools import MAX_TOOLS, functions, read_back

CITY = {"type": "string", "needed": True}
LAMP = function(
    "set_light",
    "Switch a lamp on or off",
    room={"type": "string", "enum": ["kitchen", "living room"], "needed": True},
)


def called(*history: object, tools: list[dict[str, object]]) -> list[tuple[str, object]]:
    reply = answer(*history, tools=tools)  # type: ignore[arg-type]
    return [(each.name, json.loads(each.arguments)) for each in reply.calls]


@pytest.mark.parametrize("name", ["get_weather", "getWeather", "weather", "get-weathers"])
def test_a_tool_is_meant_by_the_words_of_its_name(name: str) -> None:
    tool = function(name, city={"type": "string"})
    assert called("how is the weather in Rome", tools=[tool]) == [(name, {"city": "Rome"})]


def test_all_words_of_the_name_must_be_there() -> None:
    tool = function("find_restaurant")
    assert called("where is a restaurant", tools=[tool]) == []
    assert called("find me a restaurant", tools=[tool]) == [("find_restaurant", {})]


def test_of_several_the_one_with_most_words_is_meant() -> None:
    few, many = function("get_weather"), function("get_weather_forecast")
    assert called("weather forecast please", tools=[few, many])[0][0] == "get_weather_forecast"
    assert called("weather please", tools=[few, many])[0][0] == "get_weather"


def test_a_tool_is_meant_by_two_words_of_its_description() -> None:
    assert called("switch the kitchen lamp", tools=[LAMP]) == [("set_light", {"room": "kitchen"})]
    assert called("the kitchen lamp", tools=[LAMP]) == []


def test_what_is_missing_is_asked_for_and_the_answer_completes_the_call() -> None:
    tool = function("book_table", guests={"type": "integer", "needed": True}, city=dict(CITY))
    asked = answer("book a table", tools=[tool])
    assert asked.text == "Please tell me the guests."
    again = answer("book a table", agent(asked.text), "four", tools=[tool])
    assert again.text == "Please tell me the city."
    history = ["book a table", agent(asked.text), "four", agent(again.text), "Paris please"]
    assert called(*history, tools=[tool]) == [("book_table", {"guests": 4, "city": "Paris"})]


def test_an_answer_of_no_use_makes_no_circle() -> None:
    tool = function("book_table", guests={"type": "integer", "needed": True})
    reply = answer("book a table", agent("Please tell me the guests."), "many", tools=[tool])
    assert not reply.calls
    assert "guests" not in reply.text


def test_tools_of_other_kinds_and_broken_ones_are_passed_over() -> None:
    odd: list[dict[str, Any]] = [
        {"type": "mcp", "server_label": "x"},
        {"type": "function"},
        {"type": "function", "name": 5},
    ]
    assert functions([*odd, {"type": "function", "name": "f", "parameters": 7}])[0].name == "f"
    assert len(functions([function("f")] * 500)) == MAX_TOOLS


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('{"temperature": 21.5, "windSpeed": null, "sky": "clear"}',
         "Temperature is 21.5 and sky is clear."),
        ('["tea", "milk", "bread"]', "Tea, milk and bread."),
        ('"It is late."', "It is late."),
        ("plain words", "Plain words."),
        ("42", "42."),
        ("true", "Yes."),
        ("", "Done."),
        ("null", "Done."),
        ('{"error": "no such city"}', "That did not work: no such city."),
        ("[" * 50_000, "["),
        ("1e999", "Inf."),
    ],
)  # fmt: skip
def test_outputs_are_told_as_sentences(output: str, expected: str) -> None:
    assert read_back([output]).startswith(expected)


def test_what_is_told_is_bounded() -> None:
    big = json.dumps({f"key{n}": "word " * 500 for n in range(500)})
    assert len(read_back([big] * 50)) < 8 * 6 * 500
    assert len(read_back([json.dumps({"a": [[[[["deep"]]]]]})])) < 50
