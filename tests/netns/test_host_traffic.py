"""Everything else on the relay's host passes untouched, while the program is attached and busy."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Thread

import pytest
from scapy.layers.inet import ICMP
from scapy.layers.inet6 import ICMPv6EchoRequest

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.config import icelane
from tests.lab.delivery import Delivery, count_delivery, numbered_packet, packet_number
from tests.lab.relay_testbed import RelayTestbed, udp_socket
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER, address
from tests.lab.xdp_pass import attach_xdp_pass

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

ROUNDS = 200
WAIT = 5.0  # seconds; a limit
REPLY = {4: 0, 6: 129}  # the types of ICMP and ICMPv6 echo replies
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(params=["two NICs", "one NIC"])
def testbed(
    request: pytest.FixtureRequest, new_testbed: Callable[[str, str], RelayTestbed]
) -> Iterator[RelayTestbed]:
    """A relay whose program forwards a load meanwhile, and must not pay for it either."""
    testbed = new_testbed("xdp", request.param)
    with testbed.load(rate=200) as load:
        yield testbed
    assert load.to_transceiver == Delivery(load.to_transceiver.sent)
    assert load.to_client == Delivery(load.to_client.sent)


@contextmanager
def untouched(testbed: RelayTestbed) -> Iterator[None]:
    """The program drops nothing meanwhile."""
    before = testbed.status()["dataplane_counters"]
    yield
    after = testbed.status()["dataplane_counters"]
    grown = {name for name in after if after[name] > before[name]}
    assert grown <= {
        *("forwarded_to_transceiver", "forwarded_to_client", "stun_routed", "stun_answer"),
        *("not_ip", "not_udp", "not_ours", "extension_headers"),
    }


@VERSIONS
def test_a_tcp_connection_as_of_ssh(testbed: RelayTestbed, version: int) -> None:
    relay = address(RELAY, PUBLIC, version=version)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sent = bytes(range(256)) * 4096  # a megabyte, in segments as large as the link allows
    with untouched(testbed):
        with testbed.hosts[RELAY].inside():
            server = socket.create_server((relay, 22), family=family)
        with testbed.hosts[CLIENT].inside():
            shell = socket.create_connection((relay, 22), timeout=WAIT)
        with closing(server), closing(shell), closing(server.accept()[0]) as served:
            served.settimeout(WAIT)
            upload = Thread(target=shell.sendall, args=(sent,))
            upload.start()
            assert exactly(served, len(sent)) == sent
            upload.join()
            for _ in range(ROUNDS):
                shell.sendall(b"ls\n")
                assert exactly(served, 3) == b"ls\n"
                served.sendall(b"README.md\n")
                assert exactly(shell, 10) == b"README.md\n"


def exactly(stream: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = stream.recv(size - len(data))
        assert chunk, "the connection ended"
        data += chunk
    return bytes(data)


@VERSIONS
@pytest.mark.parametrize(
    ("server", "asker", "network"),
    [
        ((RELAY, 53), CLIENT, PUBLIC),
        ((RELAY, 3479), CLIENT, PUBLIC),  # the port beside the VIP's
        ((TRANSCEIVER, 53), RELAY, INTERNAL),  # the answer comes to a port of the kernel's choice
        ((RELAY, 19999), TRANSCEIVER, INTERNAL),  # the ports beside the upstream range
        ((RELAY, 30000), TRANSCEIVER, INTERNAL),
    ],
)
def test_questions_and_answers_over_udp(
    testbed: RelayTestbed, version: int, server: tuple[str, int], asker: str, network: str
) -> None:
    host, port = server
    where = Endpoint(address(host, network, version=version), port)
    nobody = Endpoint(address(asker, network, version=version), 0)
    answered = []
    with (
        untouched(testbed),
        closing(udp_socket(testbed.hosts[host], where)) as serving,
        closing(udp_socket(testbed.hosts[asker], nobody)) as asking,
    ):
        for udp in (serving, asking):
            udp.settimeout(WAIT)
        for number in range(ROUNDS):
            # It looks like media, and its first byte must not matter here.
            asking.sendto(numbered_packet(number, 60), where)
            question, source = serving.recvfrom(100)
            serving.sendto(question, source)
            answered.append(packet_number(asking.recv(100)))
    numbers = [number for number in answered if number is not None]
    assert count_delivery(range(ROUNDS), numbers) == Delivery(ROUNDS)


@VERSIONS
@pytest.mark.parametrize(("asker", "network"), [(CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL)])
def test_icmp_echo(testbed: RelayTestbed, version: int, asker: str, network: str) -> None:
    with untouched(testbed):
        answered = list(
            pings(testbed.hosts[asker], address(RELAY, network, version=version), version)
        )
    assert answered == list(range(ROUNDS))


def pings(host: Host, target: str, version: int) -> Iterator[int]:
    family, protocol, request = (
        (socket.AF_INET, socket.IPPROTO_ICMP, ICMP)
        if version == 4
        else (socket.AF_INET6, socket.IPPROTO_ICMPV6, ICMPv6EchoRequest)
    )
    with host.inside():
        raw = socket.socket(family, socket.SOCK_RAW, protocol)
    with closing(raw):
        raw.settimeout(WAIT)
        for number in range(ROUNDS):
            raw.sendto(bytes(request(id=7, seq=number)), (target, 0))
            while True:  # what else comes is neighbour discovery
                data = raw.recv(200)
                message = data[20:] if version == 4 else data
                if message[0] == REPLY[version]:
                    break
            assert message[4:6] == b"\0\7"
            yield int.from_bytes(message[6:8], "big")


def test_another_program_on_an_interface_is_not_replaced(
    network_name: str, network: dict[str, Host], new_testbed: Callable[[str, str], RelayTestbed]
) -> None:
    """The agent refuses, says who is in the way and what to do, and takes nothing off."""
    like = new_testbed("xdp", "two NICs")
    config = like.config.with_name("second.toml")
    config.write_text(
        like.config.read_text("utf-8").replace(like.instance, f"lab-{network_name}"), "utf-8"
    )
    relay = network[RELAY]
    attach_xdp_pass(relay, INTERNAL)
    before = programs(relay)
    command = (icelane(), "relay", "run", "--config", str(config))
    done = subprocess.run(relay.command(command), check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "internal runs another XDP program already" in done.stderr
    assert "Traceback" not in done.stderr
    assert programs(relay) == before
    assert before[PUBLIC] is None
    assert before[INTERNAL] is not None


def programs(host: Host) -> dict[str, int | None]:
    """The number of the program that each interface runs."""
    with host.netlink() as netlink:
        return {
            name: netlink.get_links(ifname=name)[0].get_nested("IFLA_XDP", "IFLA_XDP_PROG_ID")
            for name in (PUBLIC, INTERNAL)
        }
