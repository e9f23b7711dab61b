"""When the network changes, the program uses the old way for a moment only, agent or not.

With an agent that is until it has told the program. Without one it is for the leases, which are in
the kernel's own ticks: no packet that is sent later goes the old way, however busy this machine is.
"""

import os
import signal
from collections.abc import Iterator

import pytest

from relay.dataplane.kernel.nexthops import FLOW_LEASE, UNIT, WATCH_LEASE
from tests.lab.relay_testbed import RelayTestbed
from tests.lab.reroute_traffic import Rerouted, measure, wait_until_unwatched
from tests.lab.reroutes import NETWORK, REROUTES, Reroute

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

# A lease is rounded down to ticks, of which the kernel may be late with one or two where the
# processor that counts them is taken from this machine for a while.
LATE = 0.03  # seconds
ALONE = UNIT + LATE


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayTestbed]:
    """A relay with its agent."""
    directory = tmp_path_factory.mktemp("reroutes")
    with RelayTestbed(f"reroutes-{os.getpid()}", directory, network=NETWORK) as testbed:
        yield testbed


@pytest.fixture(scope="module")
def unwatched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayTestbed]:
    """A relay whose agent was killed a while ago."""
    directory = tmp_path_factory.mktemp("unwatched")
    with RelayTestbed(f"unwatched-{os.getpid()}", directory, network=NETWORK) as testbed:
        testbed.signal(signal.SIGKILL)
        wait_until_unwatched(testbed)
        yield testbed


def tell(reroute: Reroute, version: int, agent: str, found: Rerouted) -> None:
    """For whoever runs the tests with -s, or sees one fail."""
    print(  # noqa: T201
        f"{reroute.name}, IPv{version}, {agent}: {found.seconds * 1000:.1f} ms, "
        f"{found.stale} packets"
    )


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("reroute", REROUTES, ids=lambda reroute: reroute.name)
class TestReroute:
    def test_no_packet_goes_the_old_way_once_the_agent_has_told(
        self, testbed: RelayTestbed, reroute: Reroute, version: int
    ) -> None:
        found = measure(testbed, reroute, version, agent=True)
        tell(reroute, version, "an agent", found)
        assert (found.after_told, found.astray) == (0, 0)

    def test_without_an_agent_none_does_after_the_lease(
        self, unwatched: RelayTestbed, reroute: Reroute, version: int
    ) -> None:
        found = measure(unwatched, reroute, version, agent=False)
        tell(reroute, version, "no agent", found)
        assert found.late <= ALONE
        assert found.astray == 0


def test_the_agent_counts_changes(testbed: RelayTestbed) -> None:
    def counted() -> dict[str, int]:
        return dict(testbed.status()["network_changes"])

    before = counted()
    measure(testbed, REROUTES[0], 4, agent=True)
    after = counted()
    assert after["neighbours"] > before["neighbours"]
    assert after["routes"] > before["routes"]


def test_an_agent_that_has_just_died_is_believed_for_a_moment(testbed: RelayTestbed) -> None:
    (one_client,) = (each for each in REROUTES if each.name == "route for one client")
    testbed.signal(signal.SIGKILL)
    longest = WATCH_LEASE + FLOW_LEASE + LATE
    found = measure(testbed, one_client, 4, agent=False, after=longest + 0.2)
    tell(one_client, 4, "an agent that has just died", found)
    assert found.late <= longest
    testbed.start()
