"""A bond runs the program natively on its parts: its packets, and those of its VLANs, come out."""

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
from scapy.layers.l2 import Dot1Q, Ether

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.delivery import Delivery, count_delivery, numbered_packet, packet_number
from tests.lab.frame import parse
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.netns.wire import Wire, datagram_frame, next_udp

pytestmark = [pytest.mark.netns, pytest.mark.bpf, pytest.mark.kinds]

PACKETS, SIZE = 100, 171


@dataclass(frozen=True)
class Side:
    """Where the relay meets its clients, or its transceivers.

    Attributes:
        cable: The cable that is the bond's only part.
        vlan: The VLAN above the bond; None for the bond itself.
        net: The first three bytes of its addresses.
    """

    cable: str
    vlan: int | None
    net: str

    @property
    def interface(self) -> str:
        return f"bond-{self.cable}" if self.vlan is None else f"bond-{self.cable}.{self.vlan}"

    @property
    def ours(self) -> str:
        return f"{self.net}.10"

    @property
    def theirs(self) -> str:
        return f"{self.net}.2"


# Clients' side and transceivers'; the nets of the cables themselves are others.
PLACES = {
    "two bonds": (Side(PUBLIC, None, "203.0.116"), Side(INTERNAL, None, "192.0.5")),
    "VLANs above two": (Side(PUBLIC, 5, "203.0.114"), Side(INTERNAL, 6, "192.0.3")),
    "VLANs above one": (Side(PUBLIC, 7, "203.0.115"), Side(PUBLIC, 8, "192.0.4")),
}
FLOWS = {
    place: FlowTuple(
        Endpoint(clients.theirs, 50000),
        Endpoint(clients.ours, 3478),
        Endpoint(transceivers.ours, 20001),
        Endpoint(transceivers.theirs, 5000),
        bytes(21),
    )
    for place, (clients, transceivers) in PLACES.items()
}


def ip(host: Host, line: str) -> None:
    done = subprocess.run(
        host.command(["ip", *line.split()]), capture_output=True, text=True, check=False
    )
    if "Unknown device type" in done.stderr:
        pytest.skip(f"this kernel cannot: ip {line}")
    assert done.returncode == 0, (line, done.stderr)


@pytest.fixture
def wires(network: dict[str, Host]) -> Iterator[dict[str, Wire]]:
    """The far ends of the bonds' parts."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(Wire(network[host], name)))
            for host, name in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL))
        }


@pytest.fixture
def macs(network: dict[str, Host], wires: dict[str, Wire]) -> Mapping[str, str]:
    """Bonds of the relay's interfaces, VLANs above them, and their addresses; the bonds' MACs."""
    relay = network[RELAY]
    for name in (PUBLIC, INTERNAL):
        ip(relay, f"link add bond-{name} type bond mode active-backup")
        ip(relay, f"link set dev {name} down")
        ip(relay, f"link set dev {name} master bond-{name}")
        for interface in (name, f"bond-{name}"):
            ip(relay, f"link set dev {interface} up")
    for side in (side for sides in PLACES.values() for side in sides):
        if side.vlan is not None:
            below = f"bond-{side.cable}"
            ip(relay, f"link add {side.interface} link {below} type vlan id {side.vlan}")
            ip(relay, f"link set dev {side.interface} up")
        ip(relay, f"addr add {side.ours}/24 dev {side.interface}")
        ip(relay, f"neigh add {side.theirs} lladdr {wires[side.cable].mac} dev {side.interface}")
    with relay.netlink() as netlink:
        return {
            name: netlink.get_links(ifname=f"bond-{name}")[0].get("address")
            for name in (PUBLIC, INTERNAL)
        }


@pytest.fixture
def dataplane(
    network: dict[str, Host],
    macs: Mapping[str, str],  # noqa: ARG001  # the bonds are there
) -> Iterator[xdp.XdpDataplane]:
    """The program on both bonds."""
    instance = f"test-{os.getpid()}-{secrets.token_hex(2)}"
    config = LoadConfig(
        instance=instance,
        interfaces=(f"bond-{PUBLIC}", f"bond-{INTERNAL}"),
        settings=Settings(
            tuple(flow.vip for flow in FLOWS.values()),
            tuple(UpstreamRange(flow.upstream.host, 20000, 29999) for flow in FLOWS.values()),
            {},
        ),
        max_flows=8,
        mode=Mode.NATIVE,
    )
    try:
        with network[RELAY].inside():
            xdp.load(config)
        with closing(xdp.XdpDataplane(instance)) as dataplane:
            yield dataplane
    finally:
        xdp.unload(instance)


@pytest.mark.parametrize("place", PLACES)
def test_every_packet_comes_out_with_its_sides_tag(
    wires: dict[str, Wire], macs: Mapping[str, str], dataplane: xdp.XdpDataplane, place: str
) -> None:
    flow, (clients, transceivers) = FLOWS[place], PLACES[place]
    dataplane.install(flow)
    for entry, exit_, source, destination, left in (
        (clients, transceivers, flow.client, flow.vip, (flow.upstream, flow.transceiver)),
        (transceivers, clients, flow.transceiver, flow.upstream, (flow.vip, flow.client)),
    ):
        head = Ether(src=wires[entry.cable].mac, dst=macs[entry.cable])
        if entry.vlan is not None:
            head /= Dot1Q(vlan=entry.vlan)
        arrived = []
        for number in range(PACKETS):
            payload = numbered_packet(number, SIZE)
            wires[entry.cable].send(datagram_frame(head, source, destination, payload))
            frame, vlan = next_udp(wires[exit_.cable])
            datagram = parse(frame)
            assert datagram is not None
            assert datagram.intact
            assert vlan == exit_.vlan
            assert (datagram.source, datagram.destination) == left
            arrived.append(packet_number(datagram.payload))
        numbers = [number for number in arrived if number is not None]
        assert count_delivery(range(PACKETS), numbers) == Delivery(PACKETS)
    (record,) = dataplane.flows()
    assert record.to_transceiver.packets == record.to_client.packets == PACKETS
    assert dataplane.counters()["vlan_unknown"] == 0
