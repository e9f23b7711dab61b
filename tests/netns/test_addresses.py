"""Whose a client's address is, in both dataplanes: the session's that lives there."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from socket import socket
from typing import Any

import pytest

from relay.wire import stun
from relay.wire.announcement import Announcement, is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.goodbye import Goodbye
from relay.wire.route import Target, mint
from tests.lab import topology
from tests.lab.relay_testbed import RelayTestbed, transceiver, udp_socket, vip
from tests.lab.topology import CLIENT, PUBLIC, TRANSCEIVER
from tests.netns.conftest import NewTestbed

pytestmark = pytest.mark.netns

RTP = bytes([0x80, 111]) + bytes(40)
LIMIT = 5.0  # seconds until what must come has come
RESIDENCE = 15.0  # seconds; Limits.residence
FIRST, SECOND = (4, 4), (4, 6)  # families of client and transceiver: two slots


@pytest.fixture(params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def testbed(request: pytest.FixtureRequest, new_testbed: NewTestbed) -> RelayTestbed:
    return new_testbed(request.param, "two NICs")


class Transceiver:
    """A transceiver's socket, with what a relay announced to it."""

    def __init__(self, testbed: RelayTestbed, families: tuple[int, int]) -> None:
        self._keys = testbed.keys
        self._target = Target(1, testbed.slots[families], 1)
        self.udp = udp_socket(
            testbed.hosts[TRANSCEIVER], transceiver(self._target.slot, families[1])
        )
        self.udp.settimeout(LIMIT)
        self.upstream: Any = None
        self.announced: Announcement | None = None
        self.passed: list[bytes] = []  # what else came before a check

    def ufrag(self) -> str:
        nonce = secrets.token_bytes(4)
        return mint(self._target, self._keys, now=time.time(), lifetime=3600.0, nonce=nonce).ufrag

    def answer(self) -> bytes:
        """Answer the next check with success."""
        while True:
            data, source = self.udp.recvfrom(2048)
            if is_announcement(data):
                self.announced = Announcement.parse(data, self._keys)
            elif data[0] < 4:
                break
            else:
                self.passed.append(data)
        self.upstream = source
        success = stun.Message(stun.MessageClass.SUCCESS, stun.BINDING, data[8:20])
        self.udp.sendto(answer := success.serialize(b"password"), source)
        return answer

    def goodbye(self) -> bytes:
        assert self.announced is not None
        upstream = Endpoint.of(self.upstream)
        said = Goodbye(self.announced.route, self.announced.client, upstream)
        return said.serialize(self._keys)

    def take(self) -> list[bytes]:
        """What has come and was not read."""
        self.udp.settimeout(0)
        taken = []
        try:
            while True:
                taken.append(self.udp.recv(2048))
        except BlockingIOError:
            return taken
        finally:
            self.udp.settimeout(LIMIT)


def client_socket(testbed: RelayTestbed) -> socket:
    udp = udp_socket(
        testbed.hosts[CLIENT], Endpoint(topology.address(CLIENT, PUBLIC, version=4), 0)
    )
    udp.settimeout(LIMIT)
    return udp


@pytest.fixture
def client(testbed: RelayTestbed) -> Iterator[socket]:
    with client_socket(testbed) as udp:
        yield udp


@pytest.fixture
def transceivers(testbed: RelayTestbed) -> Iterator[tuple[Transceiver, Transceiver]]:
    with ExitStack() as stack:
        both = Transceiver(testbed, FIRST), Transceiver(testbed, SECOND)
        for each in both:
            stack.enter_context(each.udp)
        yield both


def check(client: socket, of: Transceiver, ufrag: str) -> None:
    """A check with that ufrag, and its answer."""
    username = ((stun.Attribute.USERNAME, f"{ufrag}:peer".encode()),)
    request = stun.Message(
        stun.MessageClass.REQUEST, stun.BINDING, secrets.token_bytes(12), username
    )
    client.sendto(request.serialize(b"password"), vip(4))
    answer = of.answer()
    assert client.recv(2048) == answer


def media(client: socket, of: Transceiver) -> None:
    """A packet there and one back, and nothing else comes."""
    client.sendto(RTP, vip(4))
    assert of.udp.recv(2048) == RTP
    of.udp.sendto(RTP, of.upstream)
    assert client.recv(2048) == RTP


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 3 * LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def states(testbed: RelayTestbed, client: socket) -> list[str]:
    address = str(Endpoint.of(client.getsockname()))
    return [each["state"] for each in testbed.status()["flows"] if each["client"] == address]


def test_a_spoofed_check_of_another_session_moves_nothing_while_the_victim_talks(
    testbed: RelayTestbed, client: socket, transceivers: tuple[Transceiver, Transceiver]
) -> None:
    """What the spoofer sends carries the victim's address: here it comes from the same socket."""
    victims, attackers = transceivers
    before = testbed.counted("address_in_use"), testbed.counted("rebound")
    check(client, victims, victims.ufrag())
    ufrag = attackers.ufrag()
    checks = 0
    # Longer than the agent itself knows of the victim: in the kernel's time, so to say.
    until = time.monotonic() + RESIDENCE + 2
    while time.monotonic() < until:
        media(client, victims)
        check(client, attackers, ufrag)
        checks += 1
        time.sleep(0.5)
    media(client, victims)
    assert RTP not in attackers.take()
    assert testbed.counted("address_in_use") - before[0] == checks
    assert testbed.counted("rebound") == before[1]
    # The victim's session ends, and the address is free at once.
    heard = testbed.counted("goodbye")
    victims.udp.sendto(victims.goodbye(), victims.upstream)
    eventually(lambda: testbed.counted("goodbye") == heard + 1, "the goodbye is heard")
    check(client, attackers, ufrag)
    media(client, attackers)
    assert testbed.counted("rebound") == before[1] + 1


def test_a_goodbye_frees_flow_and_port_and_the_next_call_from_there_works_at_once(
    testbed: RelayTestbed, client: socket, transceivers: tuple[Transceiver, Transceiver]
) -> None:
    one, _ = transceivers
    check(client, one, one.ufrag())
    media(client, one)
    forged = bytearray(said := one.goodbye())
    forged[-1] ^= 1
    before = testbed.counted("goodbye_forged")
    one.udp.sendto(bytes(forged), one.upstream)
    client.sendto(said, vip(4))
    eventually(lambda: testbed.counted("goodbye_forged") == before + 1, "the forged one is heard")
    assert states(testbed, client) == ["confirmed"]
    media(client, one)

    heard = testbed.counted("goodbye")
    one.udp.sendto(said, one.upstream)
    eventually(lambda: testbed.counted("goodbye") == heard + 1, "the goodbye is heard")
    one.udp.sendto(RTP, one.upstream)  # late
    assert client.recv(2048) == RTP
    check(client, one, one.ufrag())  # the next call, to the same transceiver
    media(client, one)
    assert states(testbed, client) == ["confirmed"]
    before = testbed.counted("goodbye_of_another")
    one.udp.sendto(said, one.upstream)  # the one of the call before
    eventually(lambda: testbed.counted("goodbye_of_another") == before + 1, "it is heard")
    media(client, one)

    one.udp.sendto(one.goodbye(), one.upstream)
    eventually(lambda: states(testbed, client) == [], "the flow goes")


def test_a_client_whose_nat_rebinds_is_heard_again_from_its_next_check_on(
    testbed: RelayTestbed, client: socket, transceivers: tuple[Transceiver, Transceiver]
) -> None:
    one, _ = transceivers
    check(client, one, ufrag := one.ufrag())
    media(client, one)
    with client_socket(testbed) as rebound:
        too_early = RTP + b"from where nobody has checked"
        rebound.sendto(too_early, vip(4))
        check(rebound, one, ufrag)
        assert one.announced is not None
        assert one.announced.client == Endpoint.of(rebound.getsockname())
        media(rebound, one)
        assert too_early not in one.passed
        assert states(testbed, rebound) == ["confirmed"]
    # The port that the NAT has given up goes when its time is over, and nobody is led there.
    client.settimeout(0)
    with pytest.raises(BlockingIOError):
        client.recv(2048)
