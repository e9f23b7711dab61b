"""What the program forwards arrives, whatever the other ends of the relay's interfaces take.

An ordinary veth, such as a container's, takes no frames of XDP: its other end would have to run a
program, too, or to have GRO.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.netns.offload import Offload, set_offload
from tests.lab.relay_testbed import RelayTestbed
from tests.lab.topology import INTERNAL, ONE_NIC, RELAY, TRANSCEIVER, TWO_NICS, LinkEnd, Network
from tests.netns.loads import loads

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

RATE = 100.0  # packets a second, each way and flow
LIMIT = 15.0  # seconds for what takes two on an idle machine


def with_ends(network: Network, *, gro: bool) -> Network:
    """The same network, in which no other end runs a program."""

    def changed(end: LinkEnd) -> LinkEnd:
        takes = gro and end.host != RELAY
        return replace(end, receives_xdp_redirect=takes, receives_xdp_tx=False)

    links = (
        replace(link, ends=(changed(link.ends[0]), changed(link.ends[1]))) for link in network.links
    )
    return replace(network, links=tuple(links))


@pytest.fixture(
    params=[
        pytest.param((with_ends(TWO_NICS, gro=False), "generic"), id="two NICs, nothing taken"),
        pytest.param((with_ends(ONE_NIC, gro=False), "generic"), id="one NIC, nothing taken"),
        pytest.param((with_ends(TWO_NICS, gro=True), "native"), id="two NICs with GRO"),
        pytest.param((with_ends(ONE_NIC, gro=True), "native"), id="one NIC with GRO"),
    ]
)
def testbed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RelayTestbed, str]]:
    network, mode = request.param
    name = f"delivery-{os.getpid()}-{request.node.callspec.indices['testbed']}"
    with RelayTestbed(name, tmp_path, "auto", network) as testbed:
        yield testbed, mode


def test_calls_work_in_a_mode_that_the_other_ends_take(
    testbed: tuple[RelayTestbed, str],
) -> None:
    relay, mode = testbed
    with loads(relay, RATE):
        pass
    status = relay.status()
    assert status["dataplane"] == "xdp"
    assert set(status["host"]["interfaces"].values()) == {mode}
    assert any("nothing that it sends there is taken" in line for line in relay.log()) == (
        mode != "native"
    )


NOTICED = 2.5  # seconds until an agent has noticed that nothing arrives, and has changed the mode


def test_an_agent_changes_the_mode_when_nothing_arrives_any_more(tmp_path: Path) -> None:
    with RelayTestbed(f"delivery-{os.getpid()}-late", tmp_path, "auto") as relay:
        with loads(relay, RATE, outage=NOTICED) as running:
            assert relay.status()["trouble"] is None
            with relay.hosts[TRANSCEIVER].inside():
                set_offload(INTERNAL, Offload.GRO, on=False)
            deadline = time.monotonic() + LIMIT
            while relay.status()["trouble"] is None:
                assert time.monotonic() < deadline, "\n".join(relay.log())
                time.sleep(0.02)
        lost = sum(load.to_transceiver.lost for load in running)
        status = relay.status()
        assert "internal runs the program, and nothing that it sends" in status["trouble"]
        told = relay.icelane("relay", "status", "--instance", relay.instance)
        assert "Trouble: internal runs the program, and nothing that it sends" in told.stdout
        (shown,) = json.loads(
            relay.icelane("relay", "status", "--instance", relay.instance, "--json").stdout
        )
        assert set(shown["interfaces"].values()) == {"generic"}
        # What was lost was not forwarded.
        counters = status["dataplane_counters"]
        assert counters["redirect_failed"] + counters["transmit_dropped"] >= lost > 0
        by_kernel = counters["forwarded_to_transceiver"]
        by_agent = status["counters"]["forwarded_to_transceivers"]
        sent = sum(load.to_transceiver.sent for load in running)
        checks = sum(load.checks for load in running)
        assert by_kernel + by_agent <= sent - lost + checks
