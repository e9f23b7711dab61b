"""The program is unloaded and loaded again under a running agent, and calls go on."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.relay_testbed import RelayTestbed
from tests.netns.loads import PAUSE, loads

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

# The kernel may overtake a packet that the agent has when it takes a flow over, unless packets come
# further apart than the agent takes for one: voice has 50 a second.
RATE = 50.0  # packets a second, each way and flow
NOTICED = 1.5  # seconds in which an agent is back that was left without its program
LIMIT = 15.0  # seconds for what takes none on an idle machine


@pytest.fixture
def testbed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RelayTestbed]:
    with RelayTestbed(f"unload-{abs(hash(request.node.name)) % 10**8}", tmp_path) as testbed:
        yield testbed


def unload(testbed: RelayTestbed, *options: str) -> None:
    done = testbed.icelane("relay", "unload", "--instance", testbed.instance, *options, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"instance": testbed.instance, "unloaded": True}


def load(testbed: RelayTestbed) -> None:
    done = testbed.icelane("relay", "load", "--config", str(testbed.config), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "loaded"


def wait_for(testbed: RelayTestbed, words: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not any(words in line for line in testbed.log()):
        assert time.monotonic() < deadline, "\n".join(testbed.log())
        time.sleep(0.02)


def test_the_agent_takes_over_before_the_program_goes_and_gives_back_to_the_next(
    testbed: RelayTestbed,
) -> None:
    with loads(testbed, RATE, taken_over=True) as running:
        counted = {flow["client"]: flow for flow in testbed.status()["flows"]}
        unload(testbed)
        status = testbed.status()
        assert (status["dataplane"], status["trouble"]) == ("userspace", None)
        for flow in status["flows"]:  # what the kernel has counted is not forgotten
            before = counted[flow["client"]]
            assert flow["to_client"]["packets"] >= before["to_client"]["packets"] > 0
        running[0].run_for(PAUSE)
        load(testbed)
        running[0].run_for(PAUSE)
        status = testbed.status()
        assert status["dataplane"] == "xdp"
        assert status["dataplane_counters"]["forwarded_to_client"] > 0


def test_an_agent_that_has_taken_flows_over_from_another_one_takes_them_all(
    testbed: RelayTestbed,
) -> None:
    """It has not met them yet: the kernel has forwarded all since it started."""
    with loads(testbed, RATE, taken_over=True) as running:
        testbed.signal(signal.SIGKILL)
        testbed.start()
        unload(testbed)
        running[0].run_for(PAUSE)
        load(testbed)
        running[0].run_for(PAUSE)


def test_an_agent_that_was_not_asked_is_back_by_itself_and_says_what_happened(
    testbed: RelayTestbed,
) -> None:
    with loads(testbed, RATE, outage=NOTICED, taken_over=True) as running:
        unload(testbed, "--force")
        wait_for(testbed, "somebody has unloaded the XDP program")
        running[0].run_for(PAUSE)
        assert testbed.status()["dataplane"] == "userspace"
        assert "somebody has unloaded" in testbed.status()["trouble"]
    with loads(testbed, RATE, taken_over=True) as running:  # nothing is lost from then on
        load(testbed)
        running[0].run_for(PAUSE)
    assert testbed.status()["trouble"] is None


def test_a_program_that_was_unloaded_and_loaded_at_once_gets_its_flows_again(
    testbed: RelayTestbed,
) -> None:
    with loads(testbed, RATE, outage=NOTICED, taken_over=True) as running:
        unload(testbed, "--force")
        load(testbed)
        wait_for(testbed, "somebody has unloaded the XDP program")
        running[0].run_for(PAUSE)
    with loads(testbed, RATE) as running:
        running[0].run_for(PAUSE)
    status = testbed.status()
    assert (status["dataplane"], status["trouble"]) == ("xdp", None)
    assert status["dataplane_counters"]["forwarded_to_client"] > 0
