"""What happens to the agent or the program is not felt by a flow: nothing lost, doubled, overtaken.

Four loads run at a time, one for each pair of families.
"""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab.load import Load, Tally
from tests.lab.rig import FAMILIES, Rig

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

RATE = 500.0  # packets a second, each way and flow
# The agent takes a fraction of a millisecond with a packet. When the kernel takes a flow over, a
# packet that comes right behind it may overtake it; voice comes 20 ms apart.
VOICE_RATE = 50.0
PAUSE = 0.3  # seconds before and after what happens
CHECKS = 2  # packets of a flow that the agent forwards itself: the first check, and one behind it


@pytest.fixture
def rig(new_rig: Callable[[str, str], Rig]) -> Rig:
    return new_rig("xdp", "two NICs")


@contextmanager
def loads(rig: Rig, rate: float = RATE) -> Iterator[list[Load]]:
    """A load of each pair of families, before, during and after what happens; all unharmed."""
    with ExitStack() as stack:
        running = [stack.enter_context(rig.load(pair, rate=rate)) for pair in FAMILIES]
        running[0].last_seconds(PAUSE)
        yield running
        running[0].last_seconds(PAUSE)
    for pair, load in zip(FAMILIES, running, strict=True):
        assert (pair, load.there) == (pair, Tally(load.there.sent))
        assert (pair, load.back) == (pair, Tally(load.back.sent))
        assert min(load.there.sent, load.back.sent) > rate * PAUSE
        assert len(load.upstreams) == 1, "the flow moved to another upstream address"


def test_the_agent_is_killed_and_comes_back_a_while_later(rig: Rig) -> None:
    with loads(rig) as running:
        flows = {flow["upstream"]: flow for flow in rig.status()["flows"]}
        rig.signal(signal.SIGKILL)
        running[0].last_seconds(1.0)
        rig.start()
        status = rig.status()
        adopted = {flow["upstream"]: flow for flow in status["flows"]}
        assert status["counters"]["adopted"] == len(flows)
        assert adopted.keys() == flows.keys()
        for load in running:  # their counters went on, but for the agent's own
            upstream = str(load.upstreams[0])
            flow = flows[upstream]
            for way in ("to_transceiver", "to_client"):
                assert adopted[upstream][way]["packets"] >= flow[way]["packets"] - CHECKS


def test_the_agent_is_restarted(rig: Rig) -> None:
    with loads(rig):
        rig.signal(signal.SIGTERM)
        rig.start()


def test_the_agent_hangs_for_a_while(rig: Rig) -> None:
    with loads(rig) as running:
        rig.signal(signal.SIGSTOP)
        try:
            running[0].last_seconds(3.0)
        finally:
            rig.signal(signal.SIGCONT)


def test_the_program_is_replaced(rig: Rig) -> None:
    with loads(rig):
        done = rig.icelane("relay", "load", "--config", str(rig.config), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["outcome"] == "replaced"


def test_the_program_is_replaced_while_no_agent_runs(rig: Rig) -> None:
    with loads(rig):
        rig.signal(signal.SIGKILL)
        done = rig.icelane("relay", "load", "--config", str(rig.config), "--json")
        rig.start()
        assert done.returncode == 0, done.stderr


def test_the_agent_takes_over_from_the_kernel_and_back(rig: Rig) -> None:
    try:
        with loads(rig, VOICE_RATE) as running:
            for dataplane in ("userspace", "xdp"):
                done = rig.icelane("dataplane", "switch", dataplane, "--instance", rig.instance)
                assert done.returncode == 0, done.stderr
                before = rig.status()
                running[0].last_seconds(PAUSE)
                after = rig.status()
                by_kernel, by_agent = (
                    after[counters][name] - before[counters][name]
                    for counters, name in (
                        ("dataplane_counters", "forwarded_to_client"),
                        ("counters", "forwarded_to_clients"),
                    )
                )
                assert (by_kernel > by_agent) == (dataplane == "xdp")
                assert min(by_kernel, by_agent) == 0
    finally:
        rig.icelane("relay", "switch", "xdp", "--instance", rig.instance)


def test_the_kernel_takes_over_from_an_agent_that_was_started_without_it(
    new_rig: Callable[[str, str], Rig],
) -> None:
    rig = new_rig("userspace", "two NICs")
    with loads(rig, VOICE_RATE):
        for dataplane in ("xdp", "userspace"):
            done = rig.icelane("dataplane", "switch", dataplane, "--instance", rig.instance)
            assert done.returncode == 0, done.stderr
