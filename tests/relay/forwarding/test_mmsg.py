"""Batches of datagrams on real sockets of the loopback."""

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from relay.forwarding.mmsg import (
    BatchReceiver,
    BatchSender,
    PacketBuffers,
    from_sockaddr,
    tell_arrivals,
    tell_destinations,
    to_sockaddr,
)
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from tests.relay.forwarding.tos import CE, ECT0, EF, receive, send, tell

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
def test_addresses_are_read_as_they_were_written(text: str) -> None:
    endpoint = Endpoint.parse(text)
    assert from_sockaddr(to_sockaddr(endpoint.packed)) == endpoint.packed


@pytest.mark.parametrize("family", HOSTS)
def test_addresses_are_those_that_sockets_take(family: int) -> None:
    with udp_socket(family) as udp:
        port = address(udp).port.to_bytes(2, "big")
        assert to_sockaddr(address(udp).packed)[:4] == struct.pack("=H", family) + port


def test_link_local_addresses_are_refused() -> None:
    sockaddr = bytearray(to_sockaddr(Endpoint("fe80::1", 5000).packed))
    sockaddr[24:] = (2).to_bytes(4, "little")  # its zone: an interface of this host
    with pytest.raises(EndpointError, match="zone"):
        from_sockaddr(bytes(sockaddr))


@pytest.mark.parametrize("host", ["::", "::ffff:127.0.0.1", "::ffff:203.0.113.2"])
def test_addresses_that_no_ipv6_host_has_are_refused(host: str) -> None:
    packed = socket.inet_pton(socket.AF_INET6, host)
    sockaddr = struct.pack("=H", socket.AF_INET6) + bytes(6) + packed + bytes(4)
    with pytest.raises(EndpointError, match="no IPv6 host"):
        from_sockaddr(sockaddr)


def test_all_that_waits_is_taken_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    buffers = PacketBuffers(8)
    receiver = BatchReceiver(buffers, here.family)
    assert receiver.receive(here.fileno()) == 0
    sent = [b"one", b"", b"three" * 100, bytes(1) * LARGEST]
    for data in sent:
        there.sendto(data, here.getsockname())
    assert receiver.receive(here.fileno()) == len(sent)
    sizes = receiver.sizes(len(sent))
    assert [buffers.copy(slot, size) for slot, size in enumerate(sizes)] == sent
    assert [from_sockaddr(source) for source in receiver.sources(len(sent))] == [
        address(there).packed
    ] * len(sent)
    assert receiver.destinations(len(sent)) == [b""] * len(sent)
    first_bytes = buffers.first_bytes(len(sent))
    assert [first_bytes[0], first_bytes[2], first_bytes[3]] == [ord("o"), ord("t"), 0]


def test_the_kernel_says_where_datagrams_were_sent_to(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    tell(here)
    tell_destinations(here)
    buffers = PacketBuffers(4)
    receiver = BatchReceiver(buffers, here.family)
    for _ in range(2):  # the kernel writes how much it told in place of how much it may
        for data in (b"one", b"two"):
            there.sendto(data, here.getsockname())
        assert receiver.receive(here.fileno()) == 2
        assert receiver.destinations(2) == [to_sockaddr(address(here).packed)] * 2


def test_the_kernel_says_when_datagrams_came(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    tell(here)
    tell_arrivals(here)
    buffers = PacketBuffers(4)
    receiver = BatchReceiver(buffers, here.family)
    limit, in_time = time.monotonic() + 5, 0
    # It begins to look at its clock a little later, and until then says when they are read.
    while in_time < 2:
        assert time.monotonic() < limit
        before = time.time()
        for data in (b"one", b"two"):
            there.sendto(data, here.getsockname())
        after = time.time()
        assert receiver.receive(here.fileno()) == 2
        first, second = receiver.arrivals(2)
        assert before <= first <= second
        in_time += second <= after


@pytest.mark.parametrize("says", [lambda _: None, tell])
def test_where_it_does_not_nothing_is_said_of_them(
    says: Callable[[socket.socket], None], pair: tuple[socket.socket, socket.socket]
) -> None:
    here, there = pair
    says(here)
    buffers = PacketBuffers(4)
    receiver = BatchReceiver(buffers, here.family)
    there.sendto(b"one", here.getsockname())
    assert receiver.receive(here.fileno()) == 1
    assert receiver.arrivals(1) == []


def test_no_more_is_taken_than_there_are_slots(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    buffers = PacketBuffers(4)
    receiver = BatchReceiver(buffers, here.family)
    for number in range(6):
        there.sendto(bytes([number]), here.getsockname())
    assert receiver.receive(here.fileno()) == 4
    assert buffers.first_bytes(4) == bytes([0, 1, 2, 3])
    assert receiver.receive(here.fileno()) == 2
    assert buffers.first_bytes(2) == bytes([4, 5])


def test_batch_is_sent_to_whom_it_belongs(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    with udp_socket(here.family) as third:
        buffers = PacketBuffers(8)
        for slot in range(8):
            buffers.views[slot][:2] = bytes([slot, slot])
        to = {0: there, 3: third, 5: there}
        destinations = [to_sockaddr(address(udp).packed) for udp in to.values()]
        sender = BatchSender(buffers, here.family)
        assert sender.send(here.fileno(), list(to), destinations, [2, 2, 1], bytes(3)) == []
        assert [there.recv(10), there.recv(10), third.recv(10)] == [b"\0\0", b"\5", b"\3\3"]


def test_refused_datagram_does_not_hold_up_the_others(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    buffers = PacketBuffers(4)
    for slot in range(4):
        buffers.views[slot][0] = slot
    destination = to_sockaddr(address(there).packed)
    sizes = [1, 65_536, 1, 65_536]  # more than a datagram can have
    sender = BatchSender(buffers, here.family)
    tos = bytes([EF, EF, CE, CE])
    refused = sender.send(here.fileno(), range(4), [destination] * 4, sizes, tos)
    assert refused == [errno.EMSGSIZE] * 2
    tell(there)
    assert [receive(there), receive(there)] == [(b"\0", EF), (b"\2", CE)]


def test_the_kernel_tells_dscp_and_ecn(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    tell(here)
    buffers = PacketBuffers(4)
    receiver = BatchReceiver(buffers, here.family)
    for tos in (bytes([EF, ECT0, 0, CE]), bytes([0, 0, EF]), bytes(4)):
        for each in tos:
            send(there, b"x", each, address(here))
        assert receiver.receive(here.fileno()) == len(tos)
        assert receiver.tos(len(tos)) == tos
        assert receiver.destinations(len(tos)) == [b""] * len(tos)


def test_dscp_and_ecn_are_told_beside_where_datagrams_were_sent_to(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    here, there = pair
    tell(here)
    tell_destinations(here)
    buffers = PacketBuffers(4)
    receiver = BatchReceiver(buffers, here.family)
    for tos in (EF, 0):
        send(there, b"x", tos, address(here))
    assert receiver.receive(here.fileno()) == 2
    assert receiver.tos(2) == bytes([EF, 0])
    assert receiver.destinations(2) == [to_sockaddr(address(here).packed)] * 2


def test_each_leaves_with_its_dscp_and_ecn(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    tell(there)
    buffers = PacketBuffers(4)
    sender = BatchSender(buffers, here.family)
    to, fds = [to_sockaddr(address(there).packed)] * 4, [here.fileno()] * 4
    # The last two have none of what the same slots had before.
    for tos in (bytes([0, EF, CE, EF | ECT0]), bytes([CE, 0]), bytes(4)):
        count = len(tos)
        assert sender.send(here.fileno(), range(count), to[:count], [1] * count, tos) == []
        assert bytes(receive(there)[1] for _ in tos) == tos
        assert sender.send_by(fds[:count], to[:count], [1] * count, tos) == []
        assert bytes(receive(there)[1] for _ in tos) == tos
