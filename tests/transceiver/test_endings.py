"""Each reason for which a call ends has a name."""

import re
from pathlib import Path

import pytest

from transceiver.endings import ENDINGS, OTHER, ending

CODE = Path(__file__).parents[2] / "transceiver"
WRITTEN = sorted(
    {
        reason
        for path in CODE.glob("*.py")
        for reason in re.findall(
            r'(?:\.end|_listener\.closed|\bend)\(f?"([^"]+)"', path.read_text("utf-8")
        )
        # That of an offer, which never was a call.
        if reason != "its offer was refused"
    }
)


@pytest.mark.parametrize("reason", [*WRITTEN, "no check came within 10 s", "hung up"])
def test_a_reason_of_the_code_has_a_name(reason: str) -> None:
    assert ending(reason) in ENDINGS
    assert ending(reason) != OTHER


def test_the_code_was_looked_through() -> None:
    assert {"consent lost", "closed by the client", "it broke"} <= set(WRITTEN)


def test_whatever_else_is_other() -> None:
    assert ending("of 203.0.113.9, who knows why") == OTHER
