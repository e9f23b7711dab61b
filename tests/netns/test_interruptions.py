"""What happens to the agent or the program is not felt by a flow: nothing lost, doubled, overtaken.

Four loads run at a time, one for each pair of families.
"""

import json
import signal
from collections.abc import Callable
from contextlib import closing

import pytest

from relay.admin.place import default_path
from relay.dataplane.kernel import objects
from relay.dataplane.kernel.former import FormerFlows
from relay.dataplane.kernel.maps import FLOW_INDEX, has_layout
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pins import Pins
from tests.lab.former_index import run_former_index
from tests.lab.former_layout import run_former_program
from tests.lab.load import Load
from tests.lab.relay_testbed import RelayTestbed
from tests.netns.loads import PAUSE, loads

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

RATE = 500.0  # packets a second, each way and flow
# The agent takes a fraction of a millisecond with a packet. When the kernel takes a flow over, a
# packet that comes right behind it may overtake it; voice comes 20 ms apart.
VOICE_RATE = 50.0
CHECKS = 2  # packets of a flow that the agent forwards itself: the first check, and one behind it


@pytest.fixture
def testbed(new_testbed: Callable[[str, str], RelayTestbed]) -> RelayTestbed:
    return new_testbed("xdp", "two NICs")


def forwarded(testbed: RelayTestbed, load: Load) -> tuple[int, int]:
    """Packets, both ways, that the kernel and that the agent forwards in a while."""
    before = testbed.status()
    load.run_for(PAUSE)
    after = testbed.status()
    by_kernel, by_agent = (
        sum(after[counters][name] - before[counters][name] for name in names)
        for counters, *names in (
            ("dataplane_counters", "forwarded_to_client", "forwarded_to_transceiver"),
            ("counters", "forwarded_to_clients", "forwarded_to_transceivers"),
        )
    )
    return by_kernel, by_agent


def test_the_agent_is_killed_and_comes_back_a_while_later(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE) as running:
        flows = {flow["upstream"]: flow for flow in testbed.status()["flows"]}
        testbed.signal(signal.SIGKILL)
        running[0].run_for(1.0)
        testbed.start()
        status = testbed.status()
        adopted = {flow["upstream"]: flow for flow in status["flows"]}
        assert status["counters"]["adopted"] == len(flows)
        assert adopted.keys() == flows.keys()
        for load in running:  # their counters went on, but for the agent's own
            upstream = str(load.upstreams[0])
            flow = flows[upstream]
            for way in ("to_transceiver", "to_client"):
                assert adopted[upstream][way]["packets"] >= flow[way]["packets"] - CHECKS


def test_the_agent_is_restarted(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE):
        testbed.signal(signal.SIGTERM)
        testbed.start()


def test_the_agent_hangs_for_a_while(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE) as running:
        testbed.signal(signal.SIGSTOP)
        try:
            running[0].run_for(3.0)
            refused = testbed.icelane("flows", "close", "any", "--instance", testbed.instance)
        finally:
            testbed.signal(signal.SIGCONT)
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        f"icelane: no agent answers at {default_path(testbed.instance)}: "
    ), "it is said to be gone, and its operator starts another one"


def test_the_program_is_replaced(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE):
        done = testbed.icelane("relay", "load", "--config", str(testbed.config), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["outcome"] == "replaced"


def test_the_program_is_replaced_while_no_agent_runs(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE):
        testbed.signal(signal.SIGKILL)
        done = testbed.icelane("relay", "load", "--config", str(testbed.config), "--json")
        testbed.start()
        assert done.returncode == 0, done.stderr


def test_an_earlier_versions_program_is_replaced(testbed: RelayTestbed) -> None:
    pins = Pins(testbed.instance)
    with loads(testbed, RATE) as running:
        flows = {flow["upstream"] for flow in testbed.status()["flows"]}
        testbed.signal(signal.SIGKILL)
        run_former_program(pins)
        running[0].run_for(PAUSE)
        assert FormerFlows(pins).are_there()
        testbed.start()
        assert not FormerFlows(pins).are_there()
        assert {flow["upstream"] for flow in testbed.status()["flows"]} == flows


def test_the_program_of_a_version_with_another_hash_is_replaced(testbed: RelayTestbed) -> None:
    pins = Pins(testbed.instance)
    with loads(testbed, RATE) as running:
        testbed.signal(signal.SIGKILL)
        run_former_index(pins)
        running[0].run_for(PAUSE)
        assert not has_layout(pins, objects.find_or_build().object, FLOW_INDEX)
        testbed.start()
        assert has_layout(pins, objects.find_or_build().object, FLOW_INDEX)
        status = testbed.status()
    with closing(MappedArray(pins.opened(FLOW_INDEX))) as index:
        assert len(list(filter(None, index.longs))) == len(status["flows"])


def test_the_agent_takes_over_from_the_kernel_and_back(testbed: RelayTestbed) -> None:
    try:
        with loads(testbed, VOICE_RATE, taken_over=True) as running:
            for dataplane in ("userspace", "xdp"):
                done = testbed.icelane(
                    "dataplane", "switch", dataplane, "--instance", testbed.instance
                )
                assert done.returncode == 0, done.stderr
                by_kernel, by_agent = forwarded(testbed, running[0])
                assert (by_kernel > by_agent) == (dataplane == "xdp")
                assert min(by_kernel, by_agent) == 0
    finally:
        testbed.icelane("relay", "switch", "xdp", "--instance", testbed.instance)


def test_an_agent_that_has_just_come_back_takes_over_from_the_kernel(testbed: RelayTestbed) -> None:
    with loads(testbed, VOICE_RATE) as running:
        testbed.signal(signal.SIGKILL)
        testbed.start()  # it has met none of the flows yet
        try:
            done = testbed.icelane(
                "dataplane", "switch", "userspace", "--instance", testbed.instance
            )
            assert done.returncode == 0, done.stderr
            status = testbed.status()
            assert status["counters"]["adopted"] == len(status["flows"])
            by_kernel, by_agent = forwarded(testbed, running[0])
            assert by_agent > by_kernel == 0
        finally:
            testbed.icelane("dataplane", "switch", "xdp", "--instance", testbed.instance)


def test_the_kernel_takes_over_from_an_agent_that_was_started_without_it(
    new_testbed: Callable[[str, str], RelayTestbed],
) -> None:
    testbed = new_testbed("userspace", "two NICs")
    with loads(testbed, VOICE_RATE, taken_over=True):
        for dataplane in ("xdp", "userspace"):
            done = testbed.icelane("dataplane", "switch", dataplane, "--instance", testbed.instance)
            assert done.returncode == 0, done.stderr
