import re

from tests.transceiver.agent.skills.conversation import answer, function
from transceiver.agent.skills.dialogue import NOT_UNDERSTOOD
from transceiver.agent.skills.grammar import MAX_PHRASES, jsgf, tool_phrases


def test_each_rule_that_is_named_is_there() -> None:
    grammar = jsgf(("weather",))
    assert set(re.findall(r"<(\w+)>", grammar)) == set(
        re.findall(r"^(?:public )?<(\w+)> =", grammar, re.MULTILINE)
    )


def test_phrases_are_taken_without_what_could_change_the_grammar() -> None:
    grammar = jsgf(("light; <evil> = x | *", "", "Light Kitchen"))
    assert "<others> = light evil x | light kitchen;" in grammar
    assert "<others>" not in jsgf(("", "123"))


def test_tools_make_phrases() -> None:
    tool = function("set_light", room={"type": "string", "enum": ["living_room"]})
    assert "set light" in tool_phrases([tool])
    assert "set light in the living room" in tool_phrases([tool])
    many = [function(f"tool_{letter}x") for letter in "abcdefghij"] * 50
    assert len(tool_phrases(many)) <= MAX_PHRASES


def test_what_the_grammar_has_the_dialogue_understands() -> None:
    rules = dict(re.findall(r"^<(\w+)> = (.*?);$", jsgf(), re.MULTILINE | re.DOTALL))
    for name in ("time", "date", "echo", "again", "talk"):
        for sentence in expanded(" ".join(rules[name].split())):
            assert answer(sentence).text not in NOT_UNDERSTOOD, sentence


def expanded(rule: str) -> list[str]:
    """All sentences of a rule that names no other."""
    tokens = re.findall(r"[()\[\]|]|[^\s()\[\]|]+", rule)

    def choice() -> list[str]:
        found = sequence()
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            found += sequence()
        return found

    def sequence() -> list[str]:
        found = [""]
        while tokens and tokens[0] not in ")]|":
            token = tokens.pop(0)
            options = [token]
            if token in "([":
                options = choice() + ([""] if token == "[" else [])
                tokens.pop(0)
            found = [f"{before} {option}".strip() for before in found for option in options]
        return found

    return choice()
