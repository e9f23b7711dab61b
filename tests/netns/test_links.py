"""Links and neighbours that change under a load: packets are lost while a link is down, or go to
an address that has just gone, and not for longer."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from relay.netns.host import Host
from relay.run.agent import SWEEP_EVERY
from tests.lab import topology
from tests.lab.delivery import Delivery
from tests.lab.relay_testbed import FAMILIES, RelayTestbed
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.netns.loads import PAUSE, loads

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

RATE = 250.0  # packets a second, each way and flow
DOWN = 0.2  # seconds
# The kernel notices within a second that a link is up; what the machine takes for it is added.
NOTICED = 2.0
NEIGHBOUR_LEARNT = 0.3  # seconds


@pytest.fixture
def testbed(new_testbed: Callable[[str, str], RelayTestbed]) -> RelayTestbed:
    return new_testbed("xdp", "two NICs")


def counters(testbed: RelayTestbed) -> dict[str, int]:
    return dict(testbed.status()["dataplane_counters"])


def set_link(testbed: RelayTestbed, host: str, interface: str, **change: Any) -> None:
    with testbed.hosts[host].netlink() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], **change)


@pytest.mark.parametrize(("host", "interface"), [(CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL)])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
def test_a_neighbour_has_another_mac_address(
    testbed: RelayTestbed, host: str, interface: str, announced: bool
) -> None:
    """A host that announces nothing asks for its own neighbours anew, and is learnt by that."""
    neighbour = testbed.hosts[host]
    for notify in ("ipv4/conf/{}/arp_notify", "ipv6/conf/{}/ndisc_notify"):
        neighbour.sysctl(notify.format(interface), int(announced))
    number = 2 * (interface == PUBLIC) + announced
    before = counters(testbed)
    with loads(testbed, RATE, outage=NEIGHBOUR_LEARNT) as running:
        set_link(testbed, host, interface, address=f"02:00:00:00:00:{number:02x}")
        running[0].run_for(NEIGHBOUR_LEARNT)
    # It was the kernel that took the change up: the agent forwarded the first checks only.
    assert counters(testbed)["no_neighbour"] - before["no_neighbour"] < RATE * NEIGHBOUR_LEARNT
    with loads(testbed, RATE):
        pass


def test_a_neighbour_that_moved_without_a_word_is_found(testbed: RelayTestbed) -> None:
    """Nobody sends to it but the program, of which the kernel's neighbour table hears nothing."""
    relay, transceiver = testbed.hosts[RELAY], testbed.hosts[TRANSCEIVER]
    for version in (4, 6):  # usually 5 s, then three times 1 s
        relay.sysctl(f"ipv{version}/neigh/{INTERNAL}/delay_first_probe_time", 1)
        relay.sysctl(f"ipv{version}/neigh/{INTERNAL}/retrans_time_ms", 100)
    with relay.netlink() as netlink:
        (link,) = netlink.get_links(ifname=INTERNAL)
    pairs = ((4, 4), (6, 6))
    with ExitStack() as stack:
        for version, _ in pairs:
            # The transceiver asks for nobody, and so says nothing about itself.
            known = topology.address(RELAY, INTERNAL, version=version), link.get("address")
            set_neighbour(transceiver, *known, state="permanent")
            stack.callback(set_neighbour, transceiver, *known, state="stale")
        running = [stack.enter_context(testbed.load(pair, rate=RATE)) for pair in pairs]
        for version, _ in pairs:
            there = topology.address(TRANSCEIVER, INTERNAL, version=version)
            set_neighbour(relay, there, "02:00:00:00:00:ff", state="stale")
        running[0].run_for(PAUSE)
        cut = [load.arrived for load in running]
        running[0].run_for(PAUSE)
        assert [load.arrived for load in running] == cut, "packets still find it"
        for load in running:
            load.wait_for_packets(seconds=10.0)
    with loads(testbed, RATE):
        pass


def set_neighbour(host: Host, address: str, mac: str, *, state: str) -> None:
    with host.netlink() as netlink:
        index = netlink.link_lookup(ifname=INTERNAL)[0]
        netlink.neigh("replace", dst=address, lladdr=mac, ifindex=index, state=state)


@pytest.mark.parametrize(
    ("host", "interface"), [(CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL), (RELAY, INTERNAL)]
)
def test_a_link_goes_down_and_up(testbed: RelayTestbed, host: str, interface: str) -> None:
    # Otherwise a host loses its IPv6 addresses with the link, which nobody would give back here.
    testbed.hosts[host].sysctl(f"ipv6/conf/{interface}/keep_addr_on_down", 1)
    with loads(testbed, RATE, outage=DOWN + NOTICED) as running:
        set_link(testbed, host, interface, state="down")
        running[0].run_for(DOWN)
        set_link(testbed, host, interface, state="up")
        for load in running:
            load.wait_for_packets()
    before = counters(testbed)
    with loads(testbed, RATE) as running:
        pass
    grown = counters(testbed)["forwarded_to_client"] - before["forwarded_to_client"]
    assert grown >= sum(load.to_client.sent for load in running), "the kernel no longer forwards"


def test_an_interface_goes_and_comes_back(testbed: RelayTestbed) -> None:
    """Without the program on it, the agent forwards; soon it has the program again."""
    with loads(testbed, RATE, outage=NOTICED) as running:
        topology.remove_link(testbed.hosts[RELAY], INTERNAL)
        topology.restore_link(testbed.name, testbed.network, INTERNAL)
        for load in running:
            load.wait_for_packets()
    with loads(testbed, RATE, taken_over=True) as running:
        deadline = time.monotonic() + 4 * SWEEP_EVERY
        while not any("internal is back, and runs" in line for line in testbed.log()):
            assert time.monotonic() < deadline, "the agent does not notice"
            running[0].run_for(PAUSE)
        attached = counters(testbed)
        running[0].run_for(PAUSE)
    after = counters(testbed)
    assert after["foreign_interface"] == attached["foreign_interface"]
    assert after["forwarded_to_client"] > attached["forwarded_to_client"] + RATE * PAUSE
    status = testbed.icelane("relay", "status", "--instance", testbed.instance, "--json")
    assert json.loads(status.stdout)[0]["interfaces"] == {PUBLIC: "native", INTERNAL: "native"}


def test_an_agent_that_is_restarted_takes_an_interface_back(testbed: RelayTestbed) -> None:
    topology.remove_link(testbed.hosts[RELAY], PUBLIC)
    topology.restore_link(testbed.name, testbed.network, PUBLIC)
    testbed.signal(signal.SIGTERM)
    testbed.start()
    before = counters(testbed)
    with loads(testbed, RATE):
        pass
    assert counters(testbed)["foreign_interface"] == before["foreign_interface"]


class TestSmallMtu:
    """What is too big for the way out goes up, and the agent sends it on in fragments."""

    LARGE, SMALL = 1440, 1340  # bytes of payload: the one does not fit 1400, the other does

    @pytest.fixture(params=[(PUBLIC, CLIENT), (INTERNAL, TRANSCEIVER)], ids=[PUBLIC, INTERNAL])
    def narrow(self, request: pytest.FixtureRequest, testbed: RelayTestbed) -> Iterator[str]:
        """The network with an MTU of 1400."""
        network, host = request.param
        for each in (RELAY, host):
            set_link(testbed, each, network, mtu=1400)
        yield network
        for each in (RELAY, host):
            set_link(testbed, each, network, mtu=1500)

    @pytest.mark.parametrize("families", FAMILIES, ids=lambda pair: f"{pair[0]} to {pair[1]}")
    def test_both_ends_get_every_byte(
        self, testbed: RelayTestbed, narrow: str, families: tuple[int, int]
    ) -> None:
        sizes = (self.LARGE, self.SMALL) if narrow == INTERNAL else (self.SMALL, self.LARGE)
        before = counters(testbed)
        with testbed.load(families, rate=RATE, sizes=sizes) as load:
            load.run_for(PAUSE)
        assert load.to_transceiver == Delivery(load.to_transceiver.sent)
        assert load.to_client == Delivery(load.to_client.sent)
        large = load.to_transceiver.sent if narrow == INTERNAL else load.to_client.sent
        assert large > RATE * PAUSE / 2
        assert counters(testbed)["too_big"] - before["too_big"] == large
