"""The part of a document that a benchmark writes."""

import pytest

from tests.bench.document import renewed
from tests.bench.errors import BenchError


def test_what_stands_between_the_marks_is_replaced() -> None:
    text = "before\n<!-- tables: begin -->\nold\n<!-- tables: end -->\nafter\n"
    new = renewed(text, "new")
    assert new == text.replace("old", "new")
    assert renewed(new, "new") == new


@pytest.mark.parametrize("text", ["nothing", "<!-- tables: begin -->", "<!-- tables: end -->"])
def test_a_document_without_a_place_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="add them"):
        renewed(text, "new")
