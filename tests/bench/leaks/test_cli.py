"""`python -m tests.bench leaks`: calls that end in every way leave nothing behind."""

import json

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.bench.leaks.calls import Ending
from tests.lab.usage import Usage


def test_calls_leave_nothing_behind_however_they_end() -> None:
    done = CliRunner().invoke(
        app, ["leaks", "--calls", "99", "--at-a-time", "25", "--hurry", "--json"]
    )
    told = json.loads(done.stdout)
    assert told["failed"] == {}
    assert told["done"] == {ending.value: 11 for ending in Ending}
    assert told["left"] == {"transceiver": [], "signaling": []}
    assert told["tracebacks"] == 0
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("after", "left"),
    [
        (Usage(5, 2, 7, 1000), []),
        (Usage(4, 1, 6, 900), []),
        (Usage(5, 2, 7, 1050), []),
        (Usage(7, 2, 7, 1000), ["2 descriptors"]),
        (Usage(5, 3, 8, 1051), ["1 threads", "1 tasks", "51 KiB"]),
    ],
)
def test_what_is_left_behind_is_told(after: Usage, left: list[str]) -> None:
    assert after.left_behind(Usage(5, 2, 7, 1000), 0.05) == left
