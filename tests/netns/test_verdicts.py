"""Both dataplanes do with every packet what the tables of docs/verdicts.md say.

Frames are put on the cables as they are, and real sockets at the far ends say who got what. Behind
each goes one that takes the slow way: whatever has not come before that never does.
"""

import itertools
import re
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest

from relay.dataplane import xdp
from relay.wire.announcement import is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.question import is_question
from relay.wire.route import Target
from relay.wire.stun import BINDING, Message, MessageClass
from tests.lab import topology
from tests.lab.relay_testbed import RelayTestbed, transceiver, udp_socket, vip
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.netns.kinds import FROM_CLIENT, FROM_TRANSCEIVER, Kind, Talk, request, unlike

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
STATES = ("no flow", "pending flow", "confirmed flow")
WAIT = 5.0  # seconds until what must come has come
ETH_P_ALL = 0x0003  # linux/if_ether.h
PORTS = range(20_000, 30_000)  # the relay's upstream ports
# Below those that the kernel chooses: other tests have left flows of such.
client_ports = itertools.count(10_000)


class Said(NamedTuple):
    """What the page says about a packet in a state of its flow."""

    receiver: str
    counter: str


def tables(heading: str) -> dict[str, dict[str, Said]]:
    """The rows of the tables below a heading."""
    text = PAGE.read_text("utf-8")
    section = re.split(r"^##+ ", text.split(f"### {heading}\n")[1], flags=re.MULTILINE)[0]
    rows = {}
    for line in re.findall(r"^\| (?!packet|---)(.*) \|$", section, flags=re.MULTILINE):
        name, *cells = line.split(" | ")
        said = [re.fullmatch(r"(.+) \(`(\w+)`\)", cell) for cell in cells]
        assert all(said), line
        rows[name] = dict(zip(STATES, (Said(*each.groups()) for each in said if each), strict=True))
    return rows


SIDES = {
    "client": (tables("From the client"), FROM_CLIENT),
    "transceiver": (tables("From the transceiver"), FROM_TRANSCEIVER),
}


class Far:
    """Both far ends of a relay, for one IP version: cables, a transceiver, and another one."""

    def __init__(self, testbed: RelayTestbed, version: int, opened: ExitStack) -> None:
        self._testbed = testbed
        self.version = version
        self._opened = opened
        own, other = testbed.slots[version, version], testbed.slots[10 - version, version]
        self.targets = Target(1, own, 1), Target(1, other, 1)
        self.transceiver, self.other = (
            self._open(TRANSCEIVER, transceiver(slot, version)) for slot in (own, other)
        )
        self.vip = vip(version)
        flows = testbed.status()["flows"]  # other tests have left some
        self._used = {Endpoint.parse(each["upstream"]).port for each in flows}
        self.own = transceiver(own, version)

    def client(self) -> socket.socket:
        """A new client."""
        host = topology.address(CLIENT, PUBLIC, version=self.version)
        return self._open(CLIENT, Endpoint(host, next(client_ports)))

    def connect(self, state: str) -> tuple[socket.socket, Endpoint]:
        """A client whose flow is in a state, and its upstream address."""
        client = self.client()
        if state == "no flow":
            host = topology.address(RELAY, INTERNAL, version=self.version)
            return client, Endpoint(host, next(port for port in PORTS if port not in self._used))
        keys, ends = self._testbed.keys, (Endpoint.of(client.getsockname()), self.vip)
        asked = request(Talk(keys, *self.targets, ("", ""), *ends).ufrag())
        client.sendto(asked, self.vip)
        while (got := self.transceiver.recvfrom(2000))[0] != asked:
            assert is_announcement(got[0])
        upstream = Endpoint.of(got[1])
        self._used.add(upstream.port)
        if state == "confirmed flow":
            answer = Message(MessageClass.SUCCESS, BINDING, asked[8:20]).serialize(b"password")
            self.transceiver.sendto(answer, upstream)
            assert client.recv(2000) == answer
        return client, upstream

    def talk(self, side: str, client: socket.socket, upstream: Endpoint, macs: "Macs") -> Talk:
        """How one side of a flow speaks."""
        ends = (Endpoint.of(client.getsockname()), self.vip)
        if side == "transceiver":
            ends = (self.own, upstream)
        return Talk(self._testbed.keys, *self.targets, macs[side], *ends)

    def _open(self, host: str, local: Endpoint) -> socket.socket:
        udp = udp_socket(self._testbed.hosts[host], local)
        udp.settimeout(WAIT)
        return self._opened.enter_context(udp)


Macs = dict[str, tuple[str, str]]  # source and destination of frames, by who sends


class Stage:
    """A relay, and all that is around it."""

    def __init__(self, testbed: RelayTestbed, opened: ExitStack) -> None:
        self.in_kernel = testbed.status()["dataplane"] == "xdp"
        self._far = {version: Far(testbed, version, opened) for version in (4, 6)}
        self._cables: dict[str, socket.socket] = {}
        self._macs: Macs = {}
        for side, host, link in (
            ("client", CLIENT, PUBLIC),
            ("transceiver", TRANSCEIVER, INTERNAL),
        ):
            with testbed.hosts[RELAY].netlink() as netlink:
                to = netlink.get_links(ifname=link)[0].get("address")
            with testbed.hosts[host].inside():
                cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                cable.bind((link, ETH_P_ALL))
            self._cables[side] = opened.enter_context(cable)
            self._macs[side] = cable.getsockname()[4].hex(":"), to
        self._markers = {
            version: far.connect("confirmed flow") for version, far in self._far.items()
        }

    def received(self, side: str, kind: Kind, state: str, expected: str) -> str:
        """Who gets a packet of this kind that this side sends; who is expected to is waited for."""
        far = self._far[kind.version]
        client, upstream = far.connect(state)
        enters = "client" if kind.from_client_side else side
        talk = far.talk(side, client, upstream, self._macs)
        talk.macs = self._macs[enters]
        payload = kind.payload(talk)
        for frame in kind.frames(talk, payload):
            self._cables[enters].send(frame)
        receivers = {"client": client}
        if side == "client":
            receivers = {"transceiver": far.transceiver, "other transceiver": far.other}
        got: dict[str, list[bytes]] = {name: [] for name in receivers}
        # Of a transceiver's packets, the mark comes to another client.
        got["transceiver" if side == "client" else "another client"] = self._wait_for_mark(
            side, far
        )
        for name, udp in receivers.items():
            if name == expected and not got[name]:
                select.select([udp], [], [], WAIT)
            got[name] += waiting(udp)
        assert [data for data in got.values() if data not in ([], [payload])] == []
        return " and ".join(name for name, data in got.items() if data) or "nobody"

    def _wait_for_mark(self, side: str, far: Far) -> list[bytes]:
        """Send what takes the slow way; what comes to its receiver before it."""
        client, upstream = self._markers[far.version]
        mark = unlike(0x80)
        talk = far.talk(side, client, upstream, self._macs)
        slow = FROM_CLIENT["IPv4 options" if far.version == 4 else "IPv6 destination options"]
        for frame in slow.frames(talk, mark):
            self._cables[side].send(frame)
        udp = far.transceiver if side == "client" else client
        found = []
        while (data := udp.recv(4000)) != mark:
            if not is_of_relay(data):
                found.append(data)
        return found


def is_of_relay(data: bytes) -> bool:
    """Whether the relay says it to transceivers: who a client is, or whose."""
    return is_announcement(data) or is_question(data)


def waiting(udp: socket.socket) -> list[bytes]:
    """What has come, apart from what the relay itself says."""
    found = []
    while select.select([udp], [], [], 0)[0]:
        if not is_of_relay(data := udp.recv(4000)):
            found.append(data)
    return found


@pytest.fixture(scope="module", params=["xdp", "userspace", "switched"])
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


@pytest.fixture(scope="module")
def stage(testbed: RelayTestbed) -> Iterator[Stage]:
    with ExitStack() as opened:
        yield Stage(testbed, opened)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("side", "name"), [(side, name) for side, (rows, _) in SIDES.items() for name in rows]
)
def test_who_gets_it(testbed: RelayTestbed, stage: Stage, side: str, name: str, state: str) -> None:
    rows, kinds = SIDES[side]
    said = rows[name][state]
    if not stage.in_kernel:
        assert stage.received(side, kinds[name], state, said.receiver) == said.receiver
        return
    with closing(xdp.XdpDataplane(testbed.instance)) as dataplane:
        before = dataplane.counters()
        assert stage.received(side, kinds[name], state, said.receiver) == said.receiver
        after = dataplane.counters()
    counted = {reason for reason in after if after[reason] > before[reason]}
    assert said.counter in counted


@pytest.mark.parametrize("side", SIDES)
def test_every_kind_has_a_row(side: str) -> None:
    rows, kinds = SIDES[side]
    assert rows.keys() == kinds.keys()
