"""What `python -m tests.soak` prints."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from relay.dataplane.interface import DataplaneChoice
from tests.lab.errors import LabError
from tests.soak import __main__ as program
from tests.soak.__main__ import dumped
from tests.soak.account import Account, Fault
from tests.soak.soak import Outcome, Settings


@pytest.fixture
def outcome() -> Outcome:
    lost = Account(sent=9, lost=[Fault(1.0, 7, "there")])
    settings = Settings(DataplaneChoice.XDP, 1.0, 1)
    return Outcome(settings, faults=Counter({"link down": 2}), account=lost, problems=["lost"])


def test_what_cannot_be_done_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Outcome:
        raise LabError("there is no network")

    monkeypatch.setattr(program, "run", fail)
    ended = CliRunner().invoke(program.app, ["--seconds", "1"])
    assert (ended.exit_code, ended.exception.__class__) == (1, SystemExit)
    assert ended.stderr.endswith("icelane: there is no network\n")


def test_an_outcome_as_json(outcome: Outcome) -> None:
    said = json.loads(json.dumps(dumped(outcome)))
    assert (said["faults"], said["account"]["lost"]) == ({"link down": 2}, 1)
