import json
import random

import pytest

from tests.transceiver.agent.skills.conversation import (
    NOW,
    agent,
    answer,
    call,
    function,
    output,
    user,
)
from transceiver.agent.skills import PlayBack, Situation, Skills
from transceiver.agent.skills.dialogue import NOT_UNDERSTOOD, STILL_THERE
from transceiver.agent.skills.known import ECHO

WEATHER = function(
    "get_weather", "Current weather at a place", city={"type": "string", "needed": True}
)


def test_what_is_not_understood_is_asked_for_again_with_more_help_each_time() -> None:
    history: list[dict[str, object]] = []
    told = []
    for request in ("gibberish", None, "", "more gibberish"):
        history.append(user(request))
        told.append(answer(*history).text)
        history.append(agent(told[-1]))
    assert told == [*NOT_UNDERSTOOD, NOT_UNDERSTOOD[-1]]
    assert answer(*history, "hello", agent("Hi."), "gibberish").text == NOT_UNDERSTOOD[0]


def test_the_voice_is_played_back_once() -> None:
    asked = answer("echo my voice")
    assert asked.text == ECHO
    back = answer("echo my voice", agent(ECHO), "what time is it")
    assert back.intent == PlayBack()
    assert back.text == "what time is it"
    after = answer("echo my voice", agent(ECHO), "hey", agent("hey"), "what time is it")
    assert after.text == "It is 7:05 PM."
    assert answer("echo my voice", agent(ECHO), user(None)).intent == PlayBack()


def test_without_a_request_it_greets_says_what_it_is_told_or_asks() -> None:
    assert answer().text.startswith("Hello, this is Icelane.")
    assert answer(instructions='Say "Welcome!"').text == "Welcome!"
    assert answer("hello", agent("Hi.")).text == "Is there anything else?"
    assert answer("hello", agent("Hi."), situation=Situation(NOW, idle=True)).text == STILL_THERE


def test_what_it_is_told_to_say_does_not_take_the_place_of_an_answer() -> None:
    assert answer("what time is it", instructions='Say "Welcome!"').text == "It is 7:05 PM."


def test_another_language_is_refused_honestly_and_once() -> None:
    german = "Speak German."
    first = answer("what time is it", instructions=german)
    assert first.text == "I only speak English. It is 7:05 PM."
    later = answer("hello", agent("Hi."), "what time is it", instructions=german)
    assert later.text == "It is 7:05 PM."


def test_a_tool_is_called_and_its_output_told() -> None:
    asked = answer("what is the weather in Rome", tools=[WEATHER])
    assert asked.text == ""
    assert [(each.name, json.loads(each.arguments)) for each in asked.calls] == [
        ("get_weather", {"city": "Rome"})
    ]
    history = [user("what is the weather in Rome"), call("get_weather")]
    told = answer(*history, output('{"sky": "clear"}'), tools=[WEATHER])
    assert told.text == "Sky is clear."
    assert not told.calls


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
def test_a_call_that_is_required_is_made_whatever_was_said(choice: object) -> None:
    reply = answer("what time is it", tools=[WEATHER], tool_choice=choice)
    assert [each.name for each in reply.calls] == ["get_weather"]
    told = answer("x", call("get_weather"), output("7"), tools=[WEATHER], tool_choice=choice)
    assert told.text == "7."


def test_no_tool_is_called_where_none_may_be() -> None:
    reply = answer("what is the weather in Rome", tools=[WEATHER], tool_choice="none")
    assert not reply.calls
    assert reply.text == NOT_UNDERSTOOD[0]


def test_the_clients_tool_goes_before_the_agents_own_skill() -> None:
    tool = function("get_time", "The time")
    assert answer("what time is it", tools=[tool]).calls
    assert answer("what is two plus two", tools=[tool]).text == "That is 4."


def test_a_timer_that_ends_is_told() -> None:
    assert Skills().timer_ended(300) == "Your timer for 5 minutes has ended."


def test_nothing_that_is_said_raises() -> None:
    chance = random.Random(7)
    vocabulary = (
        "what is the time timer set for minus point hundred and a spell echo ( ) 5 1/0 weather in "
        "percent of squared root power to by from please how is spelled left \N{SNOWMAN} \x00 ' -"
    )
    for _ in range(3_000):
        line = " ".join(chance.choices(vocabulary.split(" "), k=chance.randrange(14)))
        reply = answer(line, tools=[WEATHER])
        assert bool(reply.text) != bool(reply.calls), line
