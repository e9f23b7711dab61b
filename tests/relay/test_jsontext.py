"""Events as JSON in UTF-8."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.jsontext import as_json, length

HALF = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)
TEXT = st.text(st.characters() | HALF | st.sampled_from('"\\\n\0ä\u2028'))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_it_is_the_value_and_utf_8_can_say_it(value: Any) -> None:
    text = as_json(value)
    assert len(text.encode()) == length(text)
    # Two halves that meet are one character to who reads it, also of JSON in ASCII.
    assert json.loads(text) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "text", "size"),
    [
        ({"a": [1, None]}, '{"a":[1,null]}', 14),
        ("привет", '"привет"', 14),
        ("你好", '"你好"', 8),
        ("\N{GRINNING FACE}", '"\N{GRINNING FACE}"', 6),
        ("\\\ud800", '"\\\\\\ud800"', 10),
        ("\udc00x", '"\\udc00x"', 9),
    ],
)
def test_letters_are_themselves(value: Any, text: str, size: int) -> None:
    assert as_json(value) == text
    assert length(text) == size


def test_the_length_of_what_utf_8_cannot_say_is_that_of_its_escape() -> None:
    assert length("\ud800") == len("\\ud800")


def test_numbers_that_json_lacks_are_refused_where_that_is_wanted() -> None:
    assert as_json(float("inf")) == "Infinity"
    with pytest.raises(ValueError, match="JSON compliant"):
        as_json(float("nan"), strict=True)
