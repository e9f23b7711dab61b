"""Real clients of many makers come through calls with failures, some at once, over both paths."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.lab.clients import scenarios, stimulus
from tests.lab.clients.kinds import KINDS
from tests.lab.clients.outcome import Outcome, Scenario, Verdict
from tests.lab.config import Options
from tests.lab.lab import Lab

pytestmark = [pytest.mark.e2e, pytest.mark.netns, pytest.mark.alone]

# A relay whose agent is down answers with ICMP that its port is unreachable, where the kernel does
# not forward. libwebrtc's own sockets, other than a browser's, never read again after that.
# It may fail: the kernel sends few such messages to one host, and others call from there, too.
KNOWN = {("libwebrtc", "userspace"): {Scenario.KILL, Scenario.LOSS}}

# As many at once as two processors have time for: all of them together would take more than that.
GROUPS = (list(KINDS)[::2], list(KINDS)[1::2])

Outcomes = dict[tuple[str, Scenario], Outcome]


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def outcomes_of(
    request: pytest.FixtureRequest,
    bring_up: Callable[[Options], Lab],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Outcomes]:
    """What came of all scenarios, of a client and those that were there with it."""
    tones = stimulus.write(tmp_path_factory.mktemp("tones"))

    @cache
    def outcomes(group: int) -> Outcomes:
        kinds = [KINDS[name] for name in GROUPS[group]]
        lab = bring_up(scenarios.options(request.param))
        found = scenarios.run(lab, [kind for kind in kinds if kind.missing() is None], tones)
        lab.down()  # before the next one comes up: its clients need the processor
        return {(each.client, each.scenario): each for each in found}

    return lambda client: outcomes(next(i for i, names in enumerate(GROUPS) if client in names))


@pytest.mark.parametrize("client", KINDS)
def test_a_client_comes_through_what_it_can(
    outcomes_of: Callable[[str], Outcomes], client: str
) -> None:
    kind = KINDS[client]
    if (missing := kind.missing()) is not None:
        pytest.skip(f"{client} {missing}")
    outcomes = outcomes_of(client)
    mine = {scenario: outcomes[client, scenario] for scenario in Scenario}
    failed = {
        scenario: each.note for scenario, each in mine.items() if each.verdict is Verdict.FAILED
    }
    known = KNOWN.get((client, mine[Scenario.CALL].dataplane), set())
    assert set(failed) <= known, failed
    cannot = {scenario for scenario, each in mine.items() if each.verdict is Verdict.CANNOT}
    assert cannot == set(kind.cannot)
