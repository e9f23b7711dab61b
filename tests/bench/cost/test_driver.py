"""Every flow has its turn, with packets that the program forwards as they should be."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from tests.bench.cost import memory
from tests.bench.cost.cost import Effort, measure
from tests.bench.cost.driver import Driver
from tests.bench.cost.kinds import kinds
from tests.bench.cost.site import FAMILIES, IPV4, Site, site

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

FLOWS = 100
EFFORT = Effort(packets=100, bursts=1, repeats=1)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


@pytest.fixture
def filled(request: pytest.FixtureRequest) -> Iterator[Site]:
    with site(request.param, FLOWS) as made:
        memory.fill(made, 0, FLOWS)
        yield made


@pytest.mark.parametrize("filled", FAMILIES, ids=lambda family: family.name, indirect=True)
def test_every_flow_has_as_many_packets(filled: Site, driver: Driver) -> None:
    with (
        kinds(filled, FLOWS) as measured,
        filled.host.inside(),
        closing(XdpDataplane(filled.instance)) as dataplane,
    ):
        for kind in measured[:2]:  # hits, both ways
            driver.prepare(kind.packets, FLOWS)
            driver.run(kind.program, FLOWS)
            driver.run(kind.program, FLOWS)
        for record in dataplane.flows():
            assert (record.to_transceiver.packets, record.to_client.packets) == (2, 2)


@pytest.mark.parametrize("filled", [IPV4], ids=lambda family: family.name, indirect=True)
def test_packets_without_a_flow_are_no_hits(filled: Site, driver: Driver) -> None:
    # There are packets of one flow more than there are flows.
    with pytest.raises(DataplaneError, match=r"IPv4 hit to transceiver|verdict"):
        measure([filled], driver, FLOWS * 2, EFFORT)
