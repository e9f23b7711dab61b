"""The matrix in docs/host-states.md is what the tests demand."""

from pathlib import Path

import pytest

from tests.hoststates.matrix import DOCUMENT, MODULES, State, document


def test_the_document_is_what_the_tests_demand() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), (
        "run: python -m tests.hoststates.matrix"
    )


def test_every_module_is_in_it() -> None:
    files = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert files == {f"test_{name}" for name in (*MODULES, "matrix")}


@pytest.mark.parametrize(
    ("says", "text", "found"),
    [
        ("stop it.", "icelane: stop\n  it.", True),
        ("at …: stop", "answers at /run/x: stop it", True),
        ("at …: stop", "answers at /run/x; stop it", False),
    ],
)
def test_a_sentence_is_found_however_it_is_wrapped(says: str, text: str, found: bool) -> None:
    assert State("a state", "ends", says).said(text) == found
