"""Which clients are put through the scenarios."""

import pytest

from tests.bench.clients.run import measure, select
from tests.bench.errors import BenchError
from tests.lab.clients.kinds import KINDS, Kind
from tests.lab.clients.outcome import Scenario, Verdict


def test_clients_are_chosen_by_name() -> None:
    assert select(None) == list(KINDS.values())
    assert select(["pion"]) == [KINDS["pion"]]
    with pytest.raises(BenchError, match="there is no client 'netscape': use chromium, firefox"):
        select(["netscape"])


def test_an_unknown_dataplane_is_refused() -> None:
    with pytest.raises(BenchError, match="there is no dataplane 'dpdk': use xdp or userspace"):
        measure([], ["dpdk"], print, together=True)


def test_what_is_not_installed_is_told_so() -> None:
    absent = Kind("pion", lambda _: ["/nowhere"], ("/nowhere",), str)
    outcomes = measure([absent], ["xdp"], print, together=False)
    assert [each.scenario for each in outcomes] == list(Scenario)
    assert {each.verdict for each in outcomes} == {Verdict.CANNOT}
    assert {each.note for each in outcomes} == {"needs /nowhere: `make setup-test`"}
