"""Interfaces that lie above others: in generic mode every packet comes out of the far end."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from scapy.layers.l2 import Ether

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Settings, UpstreamRange
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.delivery import Delivery, count_delivery, numbered_packet, packet_number
from tests.lab.frame import parse
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.netns.wire import Wire, datagram_frame, next_udp

pytestmark = [pytest.mark.netns, pytest.mark.bpf, pytest.mark.kinds]

PACKETS, SIZE = 100, 171
# How the interface "above" is made of one that is called as it says.
KINDS = {
    "bridge": (
        "link add above.{0} type bridge",
        "link set dev {0} master above.{0}",
    ),
    "macvlan": ("link add above.{0} link {0} type macvlan mode bridge",),
    "bond": (
        "link add above.{0} type bond mode active-backup",
        "link set dev {0} down",
        "link set dev {0} master above.{0}",
        "link set dev {0} up",
    ),
}
NETS = {
    PUBLIC: {4: ("198.18.1.10/24", "198.18.1.2"), 6: ("2001:db8:a::10/64", "2001:db8:a::2")},
    INTERNAL: {4: ("198.18.2.1/24", "198.18.2.2"), 6: ("2001:db8:b::1/64", "2001:db8:b::2")},
}


def ours(name: str, version: int, port: int) -> Endpoint:
    return Endpoint(NETS[name][version][0].partition("/")[0], port)


def theirs(name: str, version: int, port: int) -> Endpoint:
    return Endpoint(NETS[name][version][1], port)


def above(name: str) -> str:
    return f"above.{name}"


def ip(host: Host, line: str) -> None:
    done = subprocess.run(
        host.command(["ip", *line.split()]), capture_output=True, text=True, check=False
    )
    if "Unknown device type" in done.stderr:
        pytest.skip(f"this kernel cannot: ip {line}")
    assert done.returncode == 0, (line, done.stderr)


@pytest.fixture
def wires(network: dict[str, Host]) -> Iterator[dict[str, Wire]]:
    """The far ends of the relay's cables."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(Wire(network[host], name)))
            for host, name in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL))
        }


@pytest.fixture(params=KINDS)
def dataplane(
    request: pytest.FixtureRequest, network: dict[str, Host], wires: dict[str, Wire]
) -> Iterator[xdp.XdpDataplane]:
    """The program on interfaces above those of the relay, which have the addresses."""
    relay = network[RELAY]
    relay.sysctl("ipv6/conf/default/accept_dad", 0)
    for name, nets in NETS.items():
        for line in KINDS[request.param]:
            ip(relay, line.format(name))
        ip(relay, f"link set dev {above(name)} up")
        for version, (address, peer) in nets.items():
            ip(relay, f"-{version} addr add {address} dev {above(name)}")
            ip(relay, f"neigh add {peer} lladdr {wires[name].mac} dev {above(name)}")
    instance = f"test-{os.getpid()}-{secrets.token_hex(2)}"
    config = LoadConfig(
        instance=instance,
        interfaces=(above(PUBLIC), above(INTERNAL)),
        settings=Settings(
            tuple(ours(PUBLIC, version, 3478) for version in (4, 6)),
            tuple(
                UpstreamRange(ours(INTERNAL, version, 0).host, 20000, 29999) for version in (4, 6)
            ),
            {},
        ),
        max_flows=8,
    )
    try:
        with relay.inside():
            xdp.load(config)
        with closing(xdp.XdpDataplane(instance)) as dataplane:
            yield dataplane
    finally:
        xdp.unload(instance)


@pytest.mark.parametrize("pair", [(4, 4), (6, 6), (4, 6), (6, 4)])
def test_every_packet_comes_out(
    network: dict[str, Host],
    wires: dict[str, Wire],
    dataplane: xdp.XdpDataplane,
    pair: tuple[int, int],
) -> None:
    with network[RELAY].netlink() as netlink:
        macs = {
            name: netlink.get_links(ifname=above(name))[0].get("address")
            for name in (PUBLIC, INTERNAL)
        }
    client, transceiver = pair
    flow = FlowTuple(
        theirs(PUBLIC, client, 50000),
        ours(PUBLIC, client, 3478),
        ours(INTERNAL, transceiver, 20001),
        theirs(INTERNAL, transceiver, 5000),
        bytes(21),
    )
    dataplane.install(flow)
    for entry, source, destination, exit_ in (
        (PUBLIC, flow.client, flow.vip, INTERNAL),
        (INTERNAL, flow.transceiver, flow.upstream, PUBLIC),
    ):
        arrived = []
        head = Ether(src=wires[entry].mac, dst=macs[entry])
        for number in range(PACKETS):
            payload = numbered_packet(number, SIZE)
            wires[entry].send(datagram_frame(head, source, destination, payload))
            frame, _ = next_udp(wires[exit_])
            datagram = parse(frame)
            assert datagram is not None
            assert datagram.intact
            arrived.append(packet_number(datagram.payload))
        numbers = [number for number in arrived if number is not None]
        assert count_delivery(range(PACKETS), numbers) == Delivery(PACKETS)
    (record,) = dataplane.flows()
    assert record.to_transceiver.packets == record.to_client.packets == PACKETS
