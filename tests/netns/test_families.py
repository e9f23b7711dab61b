"""Every pair of families passes, in either dataplane, with one NIC and with two."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.load import Load, Tally
from tests.lab.rig import FAMILIES, Rig

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

SECONDS = 0.6
SIZES = (171, 1200)  # bytes to the transceiver and to the client; an odd one takes padding
ENOUGH = 200  # packets each way, of some 600


@pytest.fixture(params=["two NICs", "one NIC"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["xdp", "userspace"])
def rig(request: pytest.FixtureRequest, network: str, new_rig: Callable[[str, str], Rig]) -> Rig:
    return new_rig(request.param, network)


@pytest.mark.parametrize("families", FAMILIES, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def test_a_steady_load_passes_unharmed(rig: Rig, families: tuple[int, int]) -> None:
    before = rig.status()
    with rig.load(families, sizes=SIZES) as load:
        load.last_seconds(SECONDS)
    assert load.there == Tally(load.there.sent)
    assert load.back == Tally(load.back.sent)
    assert min(load.there.sent, load.back.sent) > ENOUGH
    assert len(load.upstreams) == 1
    forwarded_by(rig.dataplane, load, before, rig.status())


def forwarded_by(dataplane: str, load: Load, before: dict[str, Any], after: dict[str, Any]) -> None:
    def grown(counters: str, name: str) -> int:
        return int(after[counters].get(name, 0)) - int(before[counters].get(name, 0))

    sent = load.there.sent
    if dataplane == "xdp":
        assert grown("dataplane_counters", "forwarded_to_transceiver") >= sent
        assert grown("dataplane_counters", "forwarded_to_client") >= load.back.sent
        # What the agent forwards is the check that makes the flow, and its answer.
        assert grown("counters", "forwarded_to_transceivers") <= 2
        assert grown("counters", "forwarded_to_clients") <= 2
    else:
        assert grown("counters", "forwarded_to_transceivers") >= sent
        assert grown("counters", "forwarded_to_clients") >= load.back.sent
