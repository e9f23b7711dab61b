"""What a response is asked to be."""

from typing import Any

import pytest

from transceiver.realtime.errors import EventError
from transceiver.realtime.responses import Wish
from transceiver.realtime.session import Session

SESSION = Session.new("sess_1", "a-model", "a-voice", 3600)


def test_it_is_what_the_session_says() -> None:
    wish = Wish.of(SESSION, None)
    assert (wish.speaks, wish.kept, wish.most, wish.voice) == (True, True, None, "a-voice")
    assert Wish.of(SESSION, {}) == Wish.of(SESSION, {"instructions": None, "audio": None}) == wish


def test_it_may_be_something_else() -> None:
    asked = {
        "output_modalities": ["text"],
        "max_output_tokens": 10,
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "conversation": "none",
        "metadata": {"a": "b"},
    }
    wish = Wish.of(SESSION, asked)
    assert (wish.speaks, wish.kept, wish.most) == (False, False, 10)
    assert [each["name"] for each in wish.tools] == ["f"]
    assert wish.metadata == {"a": "b"}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"metadata": {str(number): "x" for number in range(17)}}, "response.metadata"),
        ({"metadata": {"k" * 65: "x"}}, "response.metadata"),
        ({"metadata": {"k": "x" * 513}}, "response.metadata.k"),
        ({"metadata": {"k": 5}}, "response.metadata.k"),
        ({"metadata": []}, "response.metadata"),
        ({"conversation": []}, "response.conversation"),
        (
            {"audio": {"output": {"format": {"type": "audio/opus"}}}},
            "response.audio.output.format.type",
        ),
        (5, "response"),
    ],
)
def test_what_is_wrong(asked: Any, param: str) -> None:
    with pytest.raises(EventError) as caught:
        Wish.of(SESSION, asked)
    assert caught.value.param == param
