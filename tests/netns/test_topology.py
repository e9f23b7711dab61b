"""The lab's network, as it is drawn in tests/lab/topology.py."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.lab import nat, topology
from tests.lab.capture import DatagramCapture
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, SIGNALING, TRANSCEIVER, address

pytestmark = pytest.mark.netns

WAIT = 5.0  # seconds; a limit, everything here takes milliseconds
Network = dict[str, Host]


def udp(host: Host, local: str, port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    with host.inside():
        made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(WAIT)
    made.bind((local, port))
    return made


@pytest.mark.parametrize(
    ("near", "near_address", "far", "far_address"),
    [
        (CLIENT, address(CLIENT, PUBLIC), RELAY, address(RELAY, PUBLIC)),
        (CLIENT, address(CLIENT, PUBLIC, version=6), RELAY, address(RELAY, PUBLIC, version=6)),
        (RELAY, address(RELAY, INTERNAL), TRANSCEIVER, address(TRANSCEIVER, INTERNAL)),
        (RELAY, "2001:db8:2::1", TRANSCEIVER, "2001:db8:2::2"),
        (CLIENT, address(CLIENT, PUBLIC), TRANSCEIVER, address(TRANSCEIVER, SIGNALING)),
    ],
)
def test_neighbours_reach_each_other(
    network: Network, near: str, near_address: str, far: str, far_address: str
) -> None:
    with udp(network[near], near_address) as one, udp(network[far], far_address) as other:
        one.sendto(b"there", other.getsockname())
        data, source = other.recvfrom(100)
        other.sendto(data + b" and back", source)
        assert one.recv(100) == b"there and back"


def test_one_processor_takes_in_what_comes_so_that_it_keeps_its_order(network: Network) -> None:
    if not Path("/proc/sys/net/core/rps_default_mask").exists():
        pytest.skip("needs Linux 6.4, for net.core.rps_default_mask")
    files = 'for file in /sys/class/net/[!l]*/queues/rx-*/rps_cpus; do cat "$file"; done'
    for name in (CLIENT, RELAY, TRANSCEIVER):
        # This mounts a /sys of the host's own interfaces.
        command = ["ip", "netns", "exec", network[name].namespace, "sh", "-c", files]
        masks = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert {int(mask.replace(",", ""), 16) for mask in masks} == {1}


def test_the_client_has_one_address_of_each_family(network: Network) -> None:
    """With a second one, ICE would try media from there, and the relay could not answer."""
    with network[CLIENT].netlink() as netlink:
        found = [each.get("address") for each in netlink.get_addr() if each["scope"] == 0]
    assert sorted(found) == [address(CLIENT, PUBLIC, version=6), address(CLIENT, PUBLIC)]


def test_the_transceiver_is_reached_from_the_public_address(network: Network) -> None:
    with network[CLIENT].inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_port:
        any_port.connect((address(TRANSCEIVER, SIGNALING), 8080))
        assert any_port.getsockname()[0] == address(CLIENT, PUBLIC)


def test_every_host_has_its_own_loopback(network: Network) -> None:
    for host in network.values():
        with udp(host, "127.0.0.1") as one, udp(host, "::1") as six:
            for each in (one, six):
                each.sendto(b"me", each.getsockname())
                assert each.recv(10) == b"me"


def test_the_relay_is_no_router(network: Network) -> None:
    assert network[RELAY].sysctl("ipv4/ip_forward") == 0
    assert network[RELAY].sysctl("ipv6/conf/all/forwarding") == 0
    client = network[CLIENT]
    with (
        client.inside(),
        pytest.raises(OSError, match="unreachable"),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lost,
    ):
        lost.connect((address(TRANSCEIVER, INTERNAL), 5000))


def test_a_datagram_leaves_with_its_checksum_complete(network: Network) -> None:
    relay = address(RELAY, PUBLIC)
    with (
        udp(network[CLIENT], address(CLIENT, PUBLIC)) as sender,
        udp(network[RELAY], relay) as receiver,
    ):
        with DatagramCapture(network[RELAY], PUBLIC) as capture:
            sender.sendto(b"whole", receiver.getsockname())
            receiver.recv(100)
            _wait_for(lambda: any(each.payload == b"whole" for each in capture.datagrams))
        assert [each.intact for each in capture.datagrams if each.payload == b"whole"] == [True]

        with network[CLIENT].inside():
            set_offload(PUBLIC, Offload.TX_CHECKSUM, on=True)
        with DatagramCapture(network[RELAY], PUBLIC) as capture:
            sender.sendto(b"partial", receiver.getsockname())
            receiver.recv(100)
            _wait_for(lambda: any(each.payload == b"partial" for each in capture.datagrams))
        # So the setting matters, and the capture tells a bad checksum from a good one.
        assert [each.intact for each in capture.datagrams if each.payload == b"partial"] == [False]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.01)


def test_a_command_runs_in_the_host_and_still_sees_the_bpf_file_system(network: Network) -> None:
    host = network[RELAY]
    here = Path("/proc/self/ns/net").stat().st_ino
    line = host.command(["stat", "-L", "-c", "%i", "/proc/self/ns/net"])
    there = int(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    assert there == host.path.stat().st_ino
    assert there != here

    def mounts(command: list[str]) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert mounts(host.command(["cat", "/proc/self/mountinfo"])) == mounts(
        ["cat", "/proc/self/mountinfo"]
    )


@pytest.mark.parametrize("version", [4, 6])
def test_behind_a_nat_the_relay_is_reached_at_an_address_that_it_does_not_have(
    network_name: str, version: int
) -> None:
    topology.build(network_name, nat.BEHIND_NAT)
    hosts = topology.hosts(network_name, nat.BEHIND_NAT)
    nat.translate(hosts[topology.NAT])
    mine = address(CLIENT, PUBLIC, version=version)
    with (
        udp(hosts[CLIENT], mine) as client,
        udp(hosts[RELAY], nat.private(version), 3478) as relay,
    ):
        client.sendto(b"there", (nat.public(version), 3478))
        data, source = relay.recvfrom(100)
        assert source[:2] == client.getsockname()[:2]
        relay.sendto(data + b" and back", source)
        assert client.recvfrom(100)[0] == b"there and back"
        relay.sendto(b"unasked", source)
        data, source = client.recvfrom(100)
        assert (data, source[:2]) == (b"unasked", (nat.public(version), 3478))
    with pytest.raises(OSError, match="assign requested address"):
        udp(hosts[RELAY], nat.public(version))


@pytest.mark.parametrize(
    "network",
    [topology.TWO_NICS, topology.ONE_NIC, nat.BEHIND_NAT],
    ids=["two NICs", "one NIC", "behind a NAT"],
)
def test_what_was_built_is_gone_after_destroying_it(
    network_name: str, network: topology.Network
) -> None:
    topology.build(network_name, network)
    assert all(host.exists() for host in topology.hosts(network_name, network).values())
    topology.destroy(network_name)
    assert not any(host.exists() for host in topology.hosts(network_name, network).values())
    topology.destroy(network_name)


def test_a_shell_left_in_a_host_does_not_keep_the_cables(
    network: Network, network_name: str
) -> None:
    waiting = subprocess.Popen(
        network[CLIENT].command(["sh", "-c", "echo there; exec sleep 600"]), stdout=subprocess.PIPE
    )
    try:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        topology.destroy(network_name)
        assert PUBLIC not in Path(f"/proc/{waiting.pid}/net/dev").read_text(encoding="ascii")
    finally:
        waiting.send_signal(signal.SIGKILL)
        waiting.communicate()


def test_building_twice_is_refused_with_the_way_out(network: Network, network_name: str) -> None:
    with pytest.raises(LabError, match=f"python -m tests.lab down --name {network_name}"):
        topology.build(network_name)
    assert all(host.exists() for host in network.values())


def test_nothing_is_left_of_a_network_that_could_not_be_built(
    network_name: str,
) -> None:
    ends = (
        topology.LinkEnd(CLIENT, ("203.0.113.2/24",)),
        topology.LinkEnd(RELAY, ("203.0.113.10/24",)),
    )
    twice = topology.Network(topology.HOSTS, (topology.Link(PUBLIC, ends),) * 2)
    with pytest.raises(LabError, match="cannot be created"):
        topology.build(network_name, twice)
    assert not any(host.exists() for host in topology.hosts(network_name).values())
