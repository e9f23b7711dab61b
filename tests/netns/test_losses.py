"""What is lost after it was forwarded is counted, for the instance that forwarded it."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel import bpfsys, losses, proof
from relay.dataplane.kernel.config import LoadConfig, Mode
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.txports import TxPort, write_tx_ports
from relay.netns.offload import Offload, set_offload
from tests.lab import topology
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.netns.test_xdp_forwarding import SETTINGS, bound, flow, meet, payload

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

SO_RCVBUFFORCE = 33  # asm-generic/socket.h
PACKETS = 50
WAIT = 5.0
NOTHING = {"redirect_failed": 0, "transmit_dropped": 0}


class Relay:
    """A program in a network of its own, with a flow."""

    def __init__(self, network: str, opened: ExitStack) -> None:
        self.instance = network
        opened.callback(topology.destroy, network)
        topology.build(network)
        self.hosts = topology.hosts(network)
        opened.callback(xdp.unload, network)
        with self.hosts[RELAY].inside():
            xdp.load(LoadConfig(network, (PUBLIC, INTERNAL), SETTINGS, 8, Mode.NATIVE))
            self.indexes = {name: socket.if_nametoindex(name) for name in (PUBLIC, INTERNAL)}
        self.dataplane = opened.enter_context(closing(xdp.XdpDataplane(network)))
        self._ways = opened.enter_context(closing(losses.WaysOut(Pins(network))))
        self._proof = self._way_out()
        self.client = opened.enter_context(bound(self.hosts[CLIENT], flow().client))
        self.transceiver = opened.enter_context(bound(self.hosts[TRANSCEIVER], flow().transceiver))
        # A frame of XDP takes a page of a socket's room, so the usual one is for 49 of them.
        self.transceiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        meet(self.hosts[RELAY], (flow().transceiver, self.transceiver))
        self.dataplane.install(flow())

    def lost(self) -> dict[str, int]:
        counted = self.dataplane.counters()
        return {name: counted[name] for name in NOTHING}

    def towards_transceiver(self) -> losses.WayOut:
        """What became of packets on their way out there, frames of the loader's not counted."""
        return losses.WayOut(
            *(now - then for now, then in zip(self._way_out(), self._proof, strict=True))
        )

    def _way_out(self) -> losses.WayOut:
        counted = self._ways.of(self.indexes[INTERNAL])
        assert counted is not None
        return counted

    def lose_frames_of_ours(self) -> None:
        """Let a way out be tried that takes none, for as long as that lasts."""
        asked = {INTERNAL: self.indexes[INTERNAL]}
        with self.hosts[TRANSCEIVER].inside():
            set_offload(INTERNAL, Offload.GRO, on=False)
        with self.hosts[RELAY].inside():
            assert proof.find_refusing(Pins(self.instance), asked) == [INTERNAL]
        with self.hosts[TRANSCEIVER].inside():
            set_offload(INTERNAL, Offload.GRO, on=True)
        self._proof = self._way_out()

    def arrived(self) -> list[bytes]:
        """What has come to the transceiver, when all has or nothing has come for long."""
        arrived: list[bytes] = []
        with suppress(TimeoutError):
            while len(arrived) < PACKETS:
                arrived.append(self.transceiver.recv(2000))
        return arrived

    def delivered(self) -> int:
        return self.dataplane.counters()["forwarded_to_transceiver"]

    def take_the_far_end_down(self) -> None:
        """Nobody hears what leaves towards the transceiver, though the way there is known."""
        with self.hosts[TRANSCEIVER].netlink() as netlink:
            (index,) = netlink.link_lookup(ifname=INTERNAL)
            mac = netlink.get_links(index)[0].get("address")
            netlink.link("set", index=index, state="down")
        with self.hosts[RELAY].netlink() as netlink:
            netlink.neigh(
                "replace",
                ifindex=self.indexes[INTERNAL],
                dst=flow().transceiver.host,
                lladdr=mac,
                state="permanent",
            )

    def send(self) -> None:
        """Send packets that the program forwards, wherever they go then."""
        for number in range(PACKETS):
            self.client.sendto(payload(number), flow().vip)
        deadline = time.monotonic() + WAIT
        while self.delivered() + sum(self.lost().values()) < PACKETS:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def relays() -> Iterator[tuple[Relay, Relay]]:
    """Two, whose interfaces have the same numbers."""
    with ExitStack() as opened:
        name = f"test-{os.getpid()}-{secrets.token_hex(2)}"
        first, second = Relay(f"{name}-1", opened), Relay(f"{name}-2", opened)
        assert first.indexes == second.indexes
        yield first, second


def test_what_arrives_is_not_lost(relays: tuple[Relay, Relay]) -> None:
    relay, _ = relays
    relay.send()
    arrived = relay.arrived()
    assert relay.lost() == NOTHING
    assert relay.delivered() == PACKETS
    assert arrived == [payload(number) for number in range(PACKETS)]


def test_what_a_driver_does_not_take_is_counted(relays: tuple[Relay, Relay]) -> None:
    relay, other = relays
    relay.take_the_far_end_down()
    relay.send()
    assert relay.lost() == {"redirect_failed": 0, "transmit_dropped": PACKETS}
    assert relay.delivered() == 0
    assert relay.towards_transceiver() == (0, PACKETS, PACKETS)
    assert other.lost() == NOTHING
    assert other.towards_transceiver() == (0, 0, 0)


def test_what_is_taken_counts_after_a_loss(relays: tuple[Relay, Relay]) -> None:
    relay, other = relays
    for each in relays:
        each.lose_frames_of_ours()
    relay.send()
    assert relay.arrived() == [payload(number) for number in range(PACKETS)]
    assert relay.towards_transceiver() == (PACKETS, 0, 0)
    assert other.towards_transceiver() == (0, 0, 0)
    assert relay.lost() == other.lost() == NOTHING


def test_what_an_interface_cannot_take_is_counted(relays: tuple[Relay, Relay]) -> None:
    """The peer of a veth takes frames of XDP only while it runs a program, or does GRO."""
    relay, other = relays
    with relay.hosts[TRANSCEIVER].inside():
        set_offload(INTERNAL, Offload.GRO, on=False)
    relay.send()
    # Newer kernels refuse to redirect to it, older ones find out when they do.
    assert sum(relay.lost().values()) == PACKETS
    assert relay.towards_transceiver() == (0, PACKETS, PACKETS)
    assert other.lost() == NOTHING
    assert other.towards_transceiver() == (0, 0, 0)


def test_what_cannot_be_redirected_is_counted(relays: tuple[Relay, Relay]) -> None:
    relay, other = relays
    internal = relay.indexes[INTERNAL]
    write_tx_ports(Pins(relay.instance), [TxPort(internal, 4999)])  # which is not there
    relay.send()
    assert relay.lost() == {"redirect_failed": PACKETS, "transmit_dropped": 0}
    assert relay.towards_transceiver() == (0, 0, 0)
    assert other.lost() == NOTHING


def programs_that_count(instance: str) -> list[int]:
    """The kernel's numbers of the programs at tracepoints."""
    found = []
    for tracepoint in losses.TRACEPOINTS.values():
        with bpfsys.pinned(Pins(instance).tracepoint(tracepoint)) as link:
            found.append(bpfsys.link_info(link).program_id)
    return found


def test_a_program_that_is_loaded_again_counts_on(relays: tuple[Relay, Relay]) -> None:
    relay, _ = relays
    relay.take_the_far_end_down()
    relay.send()
    config = LoadConfig(relay.instance, (PUBLIC, INTERNAL), SETTINGS, 8, Mode.NATIVE, reload=True)
    counting = programs_that_count(relay.instance)
    with relay.hosts[RELAY].inside():
        xdp.load(config)
    assert programs_that_count(relay.instance) == counting  # two would count a packet twice
    assert relay.lost()["transmit_dropped"] == PACKETS
    relay.client.sendto(payload(1), flow().vip)
    deadline = time.monotonic() + WAIT
    while relay.lost()["transmit_dropped"] == PACKETS:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert relay.lost()["transmit_dropped"] == PACKETS + 1
