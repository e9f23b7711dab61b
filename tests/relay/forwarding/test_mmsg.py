"""Batches of datagrams on real sockets of the loopback."""

import errno
import socket
from collections.abc import Iterator

import pytest

from relay.forwarding.mmsg import Inbox, Outbox, Slots, pack_name, unpack_name
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
LARGEST = 65_507  # the most that fits into an IPv4 packet


def udp_socket(family: int) -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((HOSTS[socket.AddressFamily(family)], 0))
    udp.settimeout(5)
    return udp


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    with udp_socket(request.param) as one, udp_socket(request.param) as other:
        yield one, other


def address(udp: socket.socket) -> Endpoint:
    return Endpoint.of(udp.getsockname())


@pytest.mark.parametrize("text", ["192.0.2.1:3478", "[2001:db8::1]:65535", "[::1]:1"])
def test_names_are_read_as_they_were_written(text: str) -> None:
    endpoint = Endpoint.parse(text)
    assert unpack_name(pack_name(endpoint)) == endpoint


def test_link_local_names_are_refused() -> None:
    name = bytearray(pack_name(Endpoint("fe80::1", 5000)))
    name[24:] = (2).to_bytes(4, "little")  # its zone: an interface of this host
    with pytest.raises(EndpointError, match="zone"):
        unpack_name(bytes(name))


def test_all_that_waits_is_taken_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    slots = Slots(8)
    inbox = Inbox(slots, here.family)
    assert inbox.receive(here.fileno()) == 0
    sent = [b"one", b"", b"three" * 100, bytes(1) * LARGEST]
    for data in sent:
        there.sendto(data, here.getsockname())
    assert inbox.receive(here.fileno()) == len(sent)
    sizes = inbox.sizes(len(sent))
    assert [slots.copy(slot, size) for slot, size in enumerate(sizes)] == sent
    assert [unpack_name(name) for name in inbox.names(len(sent))] == [address(there)] * len(sent)
    firsts = slots.firsts(len(sent))
    assert [firsts[0], firsts[2], firsts[3]] == [ord("o"), ord("t"), 0]


def test_no_more_is_taken_than_there_are_slots(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    slots = Slots(4)
    inbox = Inbox(slots, here.family)
    for number in range(6):
        there.sendto(bytes([number]), here.getsockname())
    assert inbox.receive(here.fileno()) == 4
    assert slots.firsts(4) == [0, 1, 2, 3]
    assert inbox.receive(here.fileno()) == 2
    assert slots.firsts(2) == [4, 5]


def test_batch_is_sent_to_whom_it_belongs(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    with udp_socket(here.family) as third:
        slots = Slots(8)
        for slot in range(8):
            slots.views[slot][:2] = bytes([slot, slot])
        to = {0: there, 3: third, 5: there}
        names = [pack_name(address(udp)) for udp in to.values()]
        outbox = Outbox(slots, here.family)
        assert outbox.send(here.fileno(), list(to), names, [2, 2, 1]) == []
        assert [there.recv(10), there.recv(10), third.recv(10)] == [b"\0\0", b"\5", b"\3\3"]


def test_refused_datagram_does_not_hold_up_the_others(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    slots = Slots(4)
    for slot in range(4):
        slots.views[slot][0] = slot
    name = pack_name(address(there))
    sizes = [1, 65_536, 1, 65_536]  # more than a datagram can have
    outbox = Outbox(slots, here.family)
    assert outbox.send(here.fileno(), range(4), [name] * 4, sizes) == [errno.EMSGSIZE] * 2
    assert [there.recv(10), there.recv(10)] == [b"\0", b"\2"]
