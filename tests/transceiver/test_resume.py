"""Names of sessions that are kept."""

import pytest

from transceiver.resume import is_name


@pytest.mark.parametrize("text", ["A" * 43, "-_" * 40])
def test_what_nobody_can_guess_is_a_name(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "A" * 42, "A" * 129, "A" * 43 + "\n", "é" * 43, None, 43])
def test_anything_else_is_none(text: object) -> None:
    assert not is_name(text)
