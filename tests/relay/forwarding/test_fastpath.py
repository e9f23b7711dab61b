"""The fast path between real sockets: what it forwards, what it hands over, and in which order."""

import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from relay.core.flow import Flow
from relay.forwarding.connected import ManySockets, PlainSockets, open_sockets
from relay.forwarding.fastpath import BATCH, FastPath
from relay.forwarding.flowcache import Lane, Lanes
from relay.forwarding.gro import SOL_UDP, UDP_SEGMENT, join
from relay.forwarding.mmsg import Slots, pack_name
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import ALICE, DTLS, RTP, Scene

SO_NO_CHECK = 11  # asm-generic/socket.h
STUN = bytes([0, 1]) + bytes(18)


class Street:
    """A fast path with two VIPs, and clients and transceivers that are plain sockets."""

    def __init__(self, flow: Flow, many: Callable[[Slots], ManySockets]) -> None:
        self.counters: Counter[str] = Counter()
        self.lanes = Lanes(self.counters)
        self.fast = FastPath(self.lanes, self.counters, many)
        self.handed: list[bytes] = []
        self._flow = flow
        self._open: list[socket.socket] = []
        self.vips = [self.udp(), self.udp("::1")]
        for vip in self.vips:
            join(vip)
            self.fast.add_vip(vip.fileno(), vip.family)

    def udp(self, host: str = "127.0.0.1") -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((host, 0))
        udp.settimeout(5)
        self._open.append(udp)
        return udp

    def lane(self, vip: int = 0) -> tuple[socket.socket, socket.socket, Lane]:
        """A client of a VIP, its transceiver, and the lane between them."""
        client, transceiver = self.udp("::1" if vip else "127.0.0.1"), self.udp()
        upstream = self.udp()
        upstream.connect(transceiver.getsockname())
        transceiver.connect(upstream.getsockname())
        name = pack_name(Endpoint.of(client.getsockname()))
        lane = Lane(self._flow, self.vips[vip].fileno(), name, upstream.fileno())
        self.lanes.open(lane)
        return client, transceiver, lane

    def send(self, client: socket.socket, *data: bytes, vip: int = 0) -> None:
        for each in data:
            client.sendto(each, self.vips[vip].getsockname())

    def inward(self, *, vip: int = 0) -> bool:
        return self.fast.from_clients(
            self.vips[vip].fileno(), lambda data, _: self.handed.append(data)
        )

    def outward(self, *fds: int) -> None:
        self.fast.from_transceivers(fds, lambda data, _: self.handed.append(data))

    def close(self) -> None:
        self.fast.close()
        for udp in self._open:
            udp.close()


@pytest.fixture(params=[open_sockets, PlainSockets], ids=["best", "plain"])
def street(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Street]:
    made = Street(scene.connect(ALICE), request.param)
    yield made
    made.close()


def test_media_is_forwarded_and_the_rest_is_handed_over(street: Street) -> None:
    client, transceiver, _ = street.lane()
    stranger = street.udp()
    street.send(client, RTP, STUN, DTLS)
    street.send(stranger, RTP)
    assert street.inward() is False
    assert [transceiver.recv(100), transceiver.recv(100)] == [RTP, DTLS]
    assert street.handed == [STUN, RTP]


def test_order_within_a_flow_is_kept(street: Street) -> None:
    client, transceiver, lane = street.lane()
    media = [bytes([0x80, number]) for number in range(4)]
    street.send(client, media[0], media[1], STUN, media[2], STUN, media[3])
    forward = socket.socket(fileno=socket.dup(lane.upstream))
    with forward:
        street.fast.from_clients(lane.vip, lambda data, _: forward.sendall(data))
    got = [transceiver.recv(100) for _ in range(6)]
    assert got == [media[0], media[1], STUN, media[2], STUN, media[3]]


def test_batch_that_is_full_may_not_be_all(street: Street) -> None:
    client, transceiver, _ = street.lane()
    street.send(client, *[RTP] * (BATCH + 1))
    assert street.inward() is True
    assert street.inward() is False
    assert [transceiver.recv(100) for _ in range(BATCH + 1)] == [RTP] * (BATCH + 1)
    assert street.counters["forwarded_to_transceivers"] == BATCH + 1


def test_flow_that_ends_during_a_batch_gets_nothing_more(street: Street) -> None:
    client, transceiver, lane = street.lane()
    street.send(client, RTP, STUN, DTLS)

    def end(data: bytes, _: bytes) -> None:
        street.handed.append(data)
        street.lanes.close(lane.upstream)

    street.fast.from_clients(lane.vip, end)
    assert transceiver.recv(100) == RTP
    assert street.handed == [STUN, DTLS]


def test_flow_that_begins_during_a_batch_has_its_lane_at_once(street: Street) -> None:
    client, transceiver, lane = street.lane()
    street.lanes.close(lane.upstream)
    street.send(client, STUN, RTP)

    def begin(data: bytes, _: bytes) -> None:
        street.handed.append(data)
        street.lanes.open(lane)

    street.fast.from_clients(lane.vip, begin)
    assert transceiver.recv(100) == RTP
    assert street.handed == [STUN]


def test_transceivers_reach_the_clients_of_all_vips(street: Street) -> None:
    client4, transceiver4, lane4 = street.lane()
    client6, transceiver6, lane6 = street.lane(1)
    for number in range(3):
        transceiver4.send(STUN + bytes([number]))
        transceiver6.send(RTP + bytes([number]))
    street.outward(*[lane4.upstream, lane6.upstream] * 3)
    for number in range(3):
        assert client4.recvfrom(100) == (STUN + bytes([number]), street.vips[0].getsockname())
        assert client6.recvfrom(100) == (RTP + bytes([number]), street.vips[1].getsockname())
    assert street.handed == []
    assert street.counters["forwarded_to_clients"] == 6


def test_socket_without_a_lane_is_handed_over_in_its_turn(street: Street) -> None:
    client, transceiver, lane = street.lane()
    pending, pending_transceiver, without = street.lane()
    street.lanes.close(without.upstream)
    transceiver.send(b"\x80 one")
    transceiver.send(b"\x80 two")
    pending_transceiver.send(STUN)
    arrived: list[bytes] = []

    def hand_over(data: bytes, fd: int) -> None:
        assert fd == without.upstream
        arrived.append(client.recv(100))  # what came before it has gone before it
        arrived.append(data)
        street.lanes.close(lane.upstream)

    street.fast.from_transceivers([lane.upstream, without.upstream], hand_over)
    assert arrived == [b"\x80 one", STUN]
    street.outward(lane.upstream)
    assert street.handed == [b"\x80 two"]
    pending.close()


def test_lane_that_ends_during_a_batch_of_transceivers_takes_nothing_more(street: Street) -> None:
    client, transceiver, lane = street.lane()
    _, pending_transceiver, without = street.lane()
    street.lanes.close(without.upstream)
    pending_transceiver.send(STUN)
    transceiver.send(RTP)

    def end(data: bytes, _: int) -> None:
        street.handed.append(data)
        street.lanes.close(lane.upstream)

    street.fast.from_transceivers([without.upstream, lane.upstream], end)
    assert street.handed == [STUN, RTP]
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(100)


def test_lane_that_begins_during_a_batch_of_transceivers_takes_the_next(street: Street) -> None:
    client, transceiver, lane = street.lane()
    street.lanes.close(lane.upstream)
    transceiver.send(STUN)
    transceiver.send(RTP)

    def begin(data: bytes, _: int) -> None:
        street.handed.append(data)
        street.lanes.open(lane)

    street.fast.from_transceivers([lane.upstream, lane.upstream], begin)
    assert street.handed == [STUN]
    assert client.recv(100) == RTP


def test_nothing_and_errors_are_no_datagrams(street: Street) -> None:
    client, transceiver, lane = street.lane()
    silent, _, other = street.lane()
    _, gone, refused = street.lane()
    gone.close()
    with socket.socket(fileno=socket.dup(refused.upstream)) as udp:
        udp.send(RTP)  # to nobody: the error waits at the socket
    transceiver.send(RTP)
    street.outward(refused.upstream, other.upstream, lane.upstream, lane.upstream)
    assert client.recv(100) == RTP
    assert street.counters["send_failed_econnrefused"] == 1
    assert street.counters["forwarded_to_clients"] == 1
    silent.setblocking(False)
    with pytest.raises(BlockingIOError):
        silent.recv(100)


def test_refused_datagram_holds_nobody_up(street: Street) -> None:
    client, transceiver, _ = street.lane()
    other, gone, _ = street.lane()
    gone.close()
    street.send(other, RTP)
    street.inward()
    street.send(other, RTP)
    street.send(client, DTLS)
    street.inward()
    assert transceiver.recv(100) == DTLS
    assert street.counters["send_failed_econnrefused"] == 1
    assert street.counters["forwarded_to_transceivers"] == 3  # also what is lost on the way


@pytest.mark.parametrize("size", [1, 1_473, 9_000, 65_507])
def test_datagrams_of_any_size_pass_whole(street: Street, size: int) -> None:
    client, transceiver, lane = street.lane()
    data = (b"\x80" + bytes(range(251)) * 262)[:size]
    street.send(client, RTP, data)
    street.inward()
    assert transceiver.recv(70_000) == RTP
    assert transceiver.recv(70_000) == data
    transceiver.send(data)
    street.outward(lane.upstream)
    assert client.recv(70_000) == data
    assert street.handed == []


def train(*data: bytes) -> tuple[bytes, list[tuple[int, int, bytes]]]:
    """What a socket sends as one, and how it is taken apart."""
    return b"".join(data), [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", len(data[0])))]


def send_train(street: Street, client: socket.socket, *data: bytes) -> None:
    joined, control = train(*data)
    client.sendmsg([joined], control, 0, street.vips[0].getsockname())


MEDIA = [bytes([0x80, number]) + bytes(98) for number in range(6)]


def test_train_goes_on_as_its_datagrams(street: Street) -> None:
    client, transceiver, _ = street.lane()
    other, other_transceiver, _ = street.lane()
    street.send(client, RTP)
    send_train(street, client, *MEDIA[:4], MEDIA[4][:7])
    street.send(other, DTLS)
    street.send(client, MEDIA[5])
    street.inward()
    got = [transceiver.recv(70_000) for _ in range(7)]
    assert got == [RTP, *MEDIA[:4], MEDIA[4][:7], MEDIA[5]]
    assert other_transceiver.recv(100) == DTLS
    assert street.handed == []
    assert street.counters["forwarded_to_transceivers"] == 8


def test_train_with_stun_in_it_is_taken_apart(street: Street) -> None:
    client, transceiver, lane = street.lane()
    check = STUN + bytes(80)
    send_train(street, client, *MEDIA[:2], check, MEDIA[2], check[:20])
    with socket.socket(fileno=socket.dup(lane.upstream)) as forward:
        street.fast.from_clients(lane.vip, lambda data, _: forward.sendall(data))
    got = [transceiver.recv(70_000) for _ in range(5)]
    assert got == [*MEDIA[:2], check, MEDIA[2], check[:20]]
    assert street.counters["forwarded_to_transceivers"] == 3


def test_train_of_a_stranger_is_handed_over_in_parts(street: Street) -> None:
    stranger = street.udp()
    send_train(street, stranger, *MEDIA)
    street.inward()
    assert street.handed == MEDIA


def test_flow_that_ends_within_a_train_gets_nothing_more(street: Street) -> None:
    client, transceiver, lane = street.lane()
    check = STUN + bytes(80)
    send_train(street, client, MEDIA[0], check, MEDIA[1])
    street.send(client, RTP)

    def end(data: bytes, _: bytes) -> None:
        street.handed.append(data)
        street.lanes.close(lane.upstream)

    street.fast.from_clients(lane.vip, end)
    assert transceiver.recv(70_000) == MEDIA[0]
    assert street.handed == [check, MEDIA[1], RTP]


def test_train_that_cannot_go_as_one_goes_in_parts(street: Street) -> None:
    client, transceiver, lane = street.lane()
    send_train(street, client, *MEDIA)
    upstream = socket.socket(fileno=socket.dup(lane.upstream))
    with upstream:
        upstream.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)  # refused for UDP_SEGMENT: EINVAL
        street.inward()
    assert [transceiver.recv(70_000) for _ in MEDIA] == MEDIA
    assert not [name for name in street.counters if name.startswith("send_failed")]


def test_error_at_a_vip_is_counted(street: Street) -> None:
    vip = street.vips[0]
    vip.connect(("127.0.0.1", 9))
    vip.send(RTP)
    assert street.inward() is False
    name = errno.errorcode[errno.ECONNREFUSED].lower()
    assert street.counters[f"send_failed_{name}"] == 1
