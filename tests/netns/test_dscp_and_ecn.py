"""DSCP and ECN of a packet are the same behind the relay, whichever dataplane forwards it.

Frames are looked at on the cables. Packets of all kinds: first checks and their answers, which the
agent passes on in any dataplane, media, and STUN of a confirmed flow.
"""

import itertools
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from relay.dataplane import xdp
from relay.wire.announcement import is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from relay.wire.stun import BINDING, Message, MessageClass
from tests.lab import topology
from tests.lab.frame import parse
from tests.lab.relay_testbed import RelayTestbed, transceiver, udp_socket, vip
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, TRANSCEIVER
from tests.netns.kinds import Talk, request
from tests.netns.wire import Wire
from tests.relay.forwarding.tos import CE, ECT0, EF, send

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

ECT1 = 0b01
ALL = bytes([EF, ECT0, ECT1, CE, EF | CE, 0, 0xFF])
FAMILIES = [(4, 4), (6, 6), (4, 6), (6, 4)]  # IP versions of client and transceiver
client_ports = itertools.count(9_000)


class Way:
    """A client and a transceiver, with what comes to each as it is on the cable."""

    def __init__(self, testbed: RelayTestbed, versions: tuple[int, int], opened: ExitStack) -> None:
        self._testbed = testbed
        hosts = testbed.hosts
        self.client_version, version = versions
        slot = testbed.slots[versions]
        self.target, self.vip = Target(1, slot, 1), vip(self.client_version)
        own = transceiver(slot, version)
        host = topology.address(CLIENT, PUBLIC, version=self.client_version)
        here = Endpoint(host, next(client_ports))
        self.client = opened.enter_context(udp_socket(hosts[CLIENT], here))
        self.transceiver = opened.enter_context(udp_socket(hosts[TRANSCEIVER], own))
        self.at_client, self.at_transceiver = (
            opened.enter_context(closing(Wire(hosts[name], link)))
            for name, link in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL))
        )
        self.upstream = own  # until it is known

    def connect(self) -> list[int]:
        """A check and its success; with what DSCP and ECN each has come."""
        asked = self.check()
        to_transceiver = self.to_transceiver(asked, EF | CE)
        answer = Message(MessageClass.SUCCESS, BINDING, asked[8:20]).serialize(b"password")
        return [to_transceiver, self.to_client(answer, EF | ECT0)]

    def check(self) -> bytes:
        """A Binding request of this flow's client."""
        ends = Endpoint.of(self.client.getsockname()), self.vip
        return request(Talk(self._testbed.keys, self.target, self.target, ("", ""), *ends).ufrag())

    def to_transceiver(self, data: bytes, tos: int) -> int:
        """With what DSCP and ECN a datagram comes that left with these."""
        send(self.client, data, tos, self.vip)
        got, self.upstream = arrived(self.at_transceiver, data)
        return got

    def to_client(self, data: bytes, tos: int) -> int:
        """The same, from the transceiver."""
        send(self.transceiver, data, tos, self.upstream)
        got, source = arrived(self.at_client, data)
        assert source == self.vip
        return got


def arrived(wire: Wire, data: bytes) -> tuple[int, Endpoint]:
    """The DSCP and ECN of this datagram, and its source; announcements have none."""
    while True:
        frame, _ = wire.receive()
        datagram = parse(frame)
        if datagram is None:
            continue
        (word,) = struct.unpack_from("!H", frame, 14)
        tos = word & 0xFF if word >> 12 == 4 else word >> 4 & 0xFF
        assert datagram.intact
        if datagram.payload == data:
            return tos, datagram.source
        assert not is_announcement(datagram.payload) or tos == 0


@pytest.fixture(params=["xdp", "userspace", "switched"])
def testbed(
    request: pytest.FixtureRequest, new_testbed: Callable[[str, str], RelayTestbed]
) -> Iterator[RelayTestbed]:
    """A relay in the kernel, in userspace, and one that was switched to it: one socket for all."""
    testbed = new_testbed("userspace" if request.param == "userspace" else "xdp", "two NICs")
    if request.param != "switched":
        yield testbed
        return
    for dataplane in ("userspace", "xdp"):
        switch = "dataplane", "switch", dataplane, "--instance", testbed.instance
        assert testbed.icelane(*switch).returncode == 0
        if dataplane == "userspace":
            yield testbed


@pytest.mark.parametrize("versions", FAMILIES, ids=[f"{c} to {t}" for c, t in FAMILIES])
def test_dscp_and_ecn_are_passed_on(testbed: RelayTestbed, versions: tuple[int, int]) -> None:
    with ExitStack() as opened:
        way = Way(testbed, versions, opened)
        assert way.connect() == [EF | CE, EF | ECT0]
        for number, tos in enumerate(ALL):
            for first in (b"\x80", b"\x16"):
                data = first + bytes([number]) * 40
                assert way.to_transceiver(data, tos) == tos
                assert way.to_client(data, tos) == tos
            # Of a confirmed flow, the agent passes a client's STUN on where the kernel does not.
            assert way.to_transceiver(way.check(), tos) == tos


def test_in_the_kernel_it_was_not_the_agent_that_was_looked_at(
    new_testbed: Callable[[str, str], RelayTestbed],
) -> None:
    testbed = new_testbed("xdp", "two NICs")
    with ExitStack() as opened, closing(xdp.XdpDataplane(testbed.instance)) as dataplane:
        way = Way(testbed, (4, 4), opened)
        way.connect()
        before = dataplane.counters()["forwarded_to_transceiver"]
        way.to_transceiver(b"\x80" + bytes(40), EF)
        assert dataplane.counters()["forwarded_to_transceiver"] == before + 1
