"""What the tests of states share."""

import os
from collections.abc import Callable, Iterator

import pytest

from relay.dataplane import xdp

Says = Callable[[str], None]


@pytest.fixture
def says(request: pytest.FixtureRequest) -> Iterator[Says]:
    """Demands that a text has the sentence of the test's row of the matrix."""
    mark = request.node.get_closest_marker("state")
    demanded = mark.args[0]
    demanded_once = []

    def check(text: str) -> None:
        demanded_once.append(text)
        assert demanded.says, "the row names no sentence"
        assert demanded.said(text), f"{demanded.says!r} is not in:\n{text}"
        assert "Traceback" not in text

    yield check
    assert demanded_once, "the test does not look at what was said"


@pytest.fixture(autouse=True)
def _a_sentence_is_looked_at(request: pytest.FixtureRequest) -> None:
    mark = request.node.get_closest_marker("state")
    if mark is not None and mark.args[0].says:
        assert "says" in request.fixturenames, "the row has a sentence that no one looks at"


@pytest.fixture
def instance() -> Iterator[str]:
    """The name of a relay, whose program is unloaded in the end."""
    name = f"hs{os.getpid()}"
    yield name
    xdp.unload(name)
