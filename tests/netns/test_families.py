"""Every pair of families passes, in either dataplane, with two NICs, one, and one address."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.delivery import Delivery
from tests.lab.load import Load
from tests.lab.relay_testbed import FAMILIES, RelayTestbed

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

SECONDS = 0.6
SIZES = (171, 1200)  # bytes to the transceiver and to the client; an odd one takes padding
ENOUGH = 200  # packets each way, of some 600


@pytest.fixture(params=["two NICs", "one NIC", "one address"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["xdp", "userspace"])
def testbed(
    request: pytest.FixtureRequest, network: str, new_testbed: Callable[[str, str], RelayTestbed]
) -> RelayTestbed:
    return new_testbed(request.param, network)


@pytest.mark.parametrize("families", FAMILIES, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def test_a_steady_load_passes_unharmed(testbed: RelayTestbed, families: tuple[int, int]) -> None:
    before = testbed.status()
    with testbed.load(families, sizes=SIZES) as load:
        load.run_for(SECONDS)
    assert load.to_transceiver == Delivery(load.to_transceiver.sent)
    assert load.to_client == Delivery(load.to_client.sent)
    assert min(load.to_transceiver.sent, load.to_client.sent) > ENOUGH
    assert len(load.upstreams) == 1
    forwarded_by(testbed.dataplane, load, before, testbed.status())


def forwarded_by(dataplane: str, load: Load, before: dict[str, Any], after: dict[str, Any]) -> None:
    def grown(counters: str, name: str) -> int:
        return int(after[counters].get(name, 0)) - int(before[counters].get(name, 0))

    sent = load.to_transceiver.sent
    if dataplane == "xdp":
        assert grown("dataplane_counters", "forwarded_to_transceiver") >= sent
        assert grown("dataplane_counters", "forwarded_to_client") >= load.to_client.sent
        # What the agent forwards is the check that makes the flow, and its answer.
        assert grown("counters", "forwarded_to_transceivers") <= 2
        assert grown("counters", "forwarded_to_clients") <= 2
    else:
        assert grown("counters", "forwarded_to_transceivers") >= sent
        assert grown("counters", "forwarded_to_clients") >= load.to_client.sent
