"""The fast path between real sockets: what it forwards, what it leaves to the slow path, and in
which order."""

import errno
import socket
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from relay.core.flow import Flow
from relay.forwarding.batchio import BatchIO, SyscallBatchIO, open_batch_io
from relay.forwarding.fastpath import BATCH, FastPath
from relay.forwarding.flowcache import CachedFlow, FlowCache
from relay.forwarding.mmsg import PacketBuffers, to_sockaddr
from relay.wire.endpoint import Endpoint
from tests.relay.conftest import ALICE, DTLS, RTP, Scene
from tests.relay.forwarding.tos import CE, ECT0, EF, receive, send, tell

STUN = bytes([0, 1]) + bytes(18)


class Bench:
    """A fast path with two VIPs, and clients and transceivers that are plain sockets."""

    def __init__(self, flow: Flow, open_io: Callable[[PacketBuffers], BatchIO]) -> None:
        self.counters: Counter[str] = Counter()
        self.cache = FlowCache(self.counters)
        self.fast = FastPath(self.cache, self.counters, open_io)
        self.slow_path: list[bytes] = []
        self._flow = flow
        self._open: list[socket.socket] = []
        self.vips = [self.udp(), self.udp("::1")]
        for vip in self.vips:
            self.fast.add_vip(vip.fileno(), vip.family)

    def udp(self, host: str = "127.0.0.1") -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((host, 0))
        udp.settimeout(5)
        self._open.append(udp)
        return udp

    def connect(self, vip: int = 0) -> tuple[socket.socket, socket.socket, CachedFlow]:
        """A client of a VIP, its transceiver, and the cached flow between them."""
        client, transceiver = self.udp("::1" if vip else "127.0.0.1"), self.udp()
        upstream = self.udp()
        upstream.connect(transceiver.getsockname())
        transceiver.connect(upstream.getsockname())
        sockaddr = to_sockaddr(Endpoint.of(client.getsockname()).packed)
        cached = CachedFlow(self._flow, self.vips[vip].fileno(), sockaddr, upstream.fileno())
        self.cache.add(cached)
        return client, transceiver, cached

    def send(self, client: socket.socket, *data: bytes, vip: int = 0) -> None:
        for each in data:
            client.sendto(each, self.vips[vip].getsockname())

    def from_clients(self, *, vip: int = 0) -> bool:
        return self.fast.from_clients(
            self.vips[vip].fileno(), lambda data, *_: self.slow_path.append(data)
        )

    def from_transceivers(self, *fds: int) -> None:
        self.fast.from_transceivers(fds, lambda data, *_: self.slow_path.append(data))

    def close(self) -> None:
        self.fast.close()
        for udp in self._open:
            udp.close()


@pytest.fixture(params=[open_batch_io, SyscallBatchIO], ids=["fastest", "syscalls"])
def bench(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Bench]:
    made = Bench(scene.connect(ALICE), request.param)
    yield made
    made.close()


def test_media_is_forwarded_and_the_rest_takes_the_slow_path(bench: Bench) -> None:
    client, transceiver, _ = bench.connect()
    stranger = bench.udp()
    bench.send(client, RTP, STUN, DTLS)
    bench.send(stranger, RTP)
    assert bench.from_clients() is False
    assert [transceiver.recv(100), transceiver.recv(100)] == [RTP, DTLS]
    assert bench.slow_path == [STUN, RTP]


@pytest.mark.parametrize("data", [b"\x0c", b"\x10", b"\x7f", b"\xff"])
def test_what_is_no_media_of_a_client_takes_the_slow_path(bench: Bench, data: bytes) -> None:
    client, transceiver, _ = bench.connect()
    bench.send(client, RTP, data * 20, data * 20, DTLS)
    bench.from_clients()
    assert [transceiver.recv(100), transceiver.recv(100)] == [RTP, DTLS]
    assert bench.slow_path == [data * 20] * 2


def test_what_a_transceiver_says_to_the_relay_takes_the_slow_path(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    for data in (STUN, b"\x0ctold", b"", b"\x10zrtp", b"\xfftold", RTP):
        transceiver.send(data)
    bench.from_transceivers(*[cached.upstream_fd] * 6)
    assert [client.recv(100) for _ in range(4)] == [STUN, b"", b"\x10zrtp", RTP]
    assert bench.slow_path == [b"\x0ctold", b"\xfftold"]


def test_order_within_a_flow_is_kept(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    media = [bytes([0x80, number]) for number in range(4)]
    bench.send(client, media[0], media[1], STUN, media[2], STUN, media[3])
    forward = socket.socket(fileno=socket.dup(cached.upstream_fd))
    with forward:
        bench.fast.from_clients(cached.vip_fd, lambda data, *_: forward.sendall(data))
    got = [transceiver.recv(100) for _ in range(6)]
    assert got == [media[0], media[1], STUN, media[2], STUN, media[3]]


def test_batch_that_is_full_may_not_be_all(bench: Bench) -> None:
    client, transceiver, _ = bench.connect()
    bench.send(client, *[RTP] * (BATCH + 1))
    assert bench.from_clients() is True
    assert bench.from_clients() is False
    assert [transceiver.recv(100) for _ in range(BATCH + 1)] == [RTP] * (BATCH + 1)
    assert bench.counters["forwarded_to_transceivers"] == BATCH + 1


def test_flow_that_ends_during_a_batch_gets_nothing_more(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    bench.send(client, RTP, STUN, DTLS)

    def end(data: bytes, *_: object) -> None:
        bench.slow_path.append(data)
        bench.cache.remove(cached.upstream_fd)

    bench.fast.from_clients(cached.vip_fd, end)
    assert transceiver.recv(100) == RTP
    assert bench.slow_path == [STUN, DTLS]


def test_flow_that_begins_during_a_batch_is_cached_at_once(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    bench.cache.remove(cached.upstream_fd)
    bench.send(client, STUN, RTP)

    def begin(data: bytes, *_: object) -> None:
        bench.slow_path.append(data)
        bench.cache.add(cached)

    bench.fast.from_clients(cached.vip_fd, begin)
    assert transceiver.recv(100) == RTP
    assert bench.slow_path == [STUN]


def test_transceivers_reach_the_clients_of_all_vips(bench: Bench) -> None:
    client4, transceiver4, cached4 = bench.connect()
    client6, transceiver6, cached6 = bench.connect(1)
    for number in range(3):
        transceiver4.send(STUN + bytes([number]))
        transceiver6.send(RTP + bytes([number]))
    bench.from_transceivers(*[cached4.upstream_fd, cached6.upstream_fd] * 3)
    for number in range(3):
        assert client4.recvfrom(100) == (STUN + bytes([number]), bench.vips[0].getsockname())
        assert client6.recvfrom(100) == (RTP + bytes([number]), bench.vips[1].getsockname())
    assert bench.slow_path == []
    assert bench.counters["forwarded_to_clients"] == 6


def test_uncached_flow_takes_the_slow_path_in_its_turn(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    pending, pending_transceiver, uncached = bench.connect()
    bench.cache.remove(uncached.upstream_fd)
    transceiver.send(b"\x80 one")
    transceiver.send(b"\x80 two")
    pending_transceiver.send(STUN)
    arrived: list[bytes] = []

    def slow_path(data: bytes, fd: int, _: int) -> None:
        assert fd == uncached.upstream_fd
        arrived.append(client.recv(100))  # what came before it has gone before it
        arrived.append(data)
        bench.cache.remove(cached.upstream_fd)

    bench.fast.from_transceivers([cached.upstream_fd, uncached.upstream_fd], slow_path)
    assert arrived == [b"\x80 one", STUN]
    bench.from_transceivers(cached.upstream_fd)
    assert bench.slow_path == [b"\x80 two"]
    pending.close()


def test_flow_that_ends_during_a_batch_of_transceivers_gets_nothing_more(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    _, pending_transceiver, uncached = bench.connect()
    bench.cache.remove(uncached.upstream_fd)
    pending_transceiver.send(STUN)
    transceiver.send(RTP)

    def end(data: bytes, *_: object) -> None:
        bench.slow_path.append(data)
        bench.cache.remove(cached.upstream_fd)

    bench.fast.from_transceivers([uncached.upstream_fd, cached.upstream_fd], end)
    assert bench.slow_path == [STUN, RTP]
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(100)


def test_flow_that_begins_during_a_batch_of_transceivers_gets_the_next(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    bench.cache.remove(cached.upstream_fd)
    transceiver.send(STUN)
    transceiver.send(RTP)

    def begin(data: bytes, *_: object) -> None:
        bench.slow_path.append(data)
        bench.cache.add(cached)

    bench.fast.from_transceivers([cached.upstream_fd, cached.upstream_fd], begin)
    assert bench.slow_path == [STUN]
    assert client.recv(100) == RTP


def test_nothing_and_errors_are_no_datagrams(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    silent, _, other = bench.connect()
    _, gone, refused = bench.connect()
    gone.close()
    with socket.socket(fileno=socket.dup(refused.upstream_fd)) as udp:
        udp.send(RTP)  # to nobody: the error waits at the socket
    transceiver.send(RTP)
    bench.from_transceivers(
        refused.upstream_fd, other.upstream_fd, cached.upstream_fd, cached.upstream_fd
    )
    assert client.recv(100) == RTP
    assert bench.counters["send_failed_econnrefused"] == 1
    assert bench.counters["forwarded_to_clients"] == 1
    silent.setblocking(False)
    with pytest.raises(BlockingIOError):
        silent.recv(100)


def test_refused_datagram_holds_nobody_up(bench: Bench) -> None:
    client, transceiver, _ = bench.connect()
    other, gone, _ = bench.connect()
    gone.close()
    bench.send(other, RTP)
    bench.from_clients()
    bench.send(other, RTP)
    bench.send(client, DTLS)
    bench.from_clients()
    assert transceiver.recv(100) == DTLS
    assert not bench.counters["send_failed_econnrefused"]  # that is about the one before
    assert bench.counters["forwarded_to_transceivers"] == 3  # also what is lost on the way


@pytest.mark.parametrize("size", [1, 1_473, 9_000, 65_507])
def test_datagrams_of_any_size_pass_whole(bench: Bench, size: int) -> None:
    client, transceiver, cached = bench.connect()
    data = (b"\x80" + bytes(range(251)) * 262)[:size]
    bench.send(client, RTP, data)
    bench.from_clients()
    assert transceiver.recv(70_000) == RTP
    assert transceiver.recv(70_000) == data
    transceiver.send(data)
    bench.from_transceivers(cached.upstream_fd)
    assert client.recv(70_000) == data
    assert bench.slow_path == []


def test_what_the_slow_path_sends_keeps_its_place(bench: Bench) -> None:
    client, transceiver, cached = bench.connect()
    bench.send(client, RTP, STUN, DTLS, STUN)

    def answer(data: bytes, source: bytes, _: int) -> None:
        bench.fast.outbox.send(cached.upstream_fd, data)
        bench.fast.outbox.send_to(cached.vip_fd, socket.AF_INET, source, data)

    with bench.fast.outbox:
        bench.fast.from_clients(cached.vip_fd, answer)
        assert [transceiver.recv(100) for _ in range(3)] == [RTP, STUN, DTLS]
    assert transceiver.recv(100) == STUN
    transceiver.send(DTLS)
    with bench.fast.outbox:
        bench.fast.outbox.send_to(cached.vip_fd, socket.AF_INET, cached.client, RTP)
        bench.from_transceivers(cached.upstream_fd)
    assert [client.recv(100) for _ in range(4)] == [STUN, STUN, RTP, DTLS]


@pytest.mark.parametrize("vip", [0, 1], ids=["ipv4", "ipv6"])
def test_dscp_and_ecn_go_with_what_is_forwarded(bench: Bench, vip: int) -> None:
    client, transceiver, cached = bench.connect(vip)
    for udp in (client, transceiver, bench.vips[vip]):
        tell(udp)
    with socket.socket(fileno=socket.dup(cached.upstream_fd)) as upstream:
        tell(upstream)
    to, slow = Endpoint.of(bench.vips[vip].getsockname()), []

    def slow_path(data: bytes, _: object, tos: int) -> None:
        slow.append((data, tos))

    marks = EF, 0, CE, EF | ECT0
    sent = [(bytes([0x80, number]), tos) for number, tos in enumerate(marks)]
    for data, tos in (*sent[:2], (STUN, CE), *sent[2:]):
        send(client, data, tos, to)
    bench.fast.from_clients(cached.vip_fd, slow_path)
    assert [receive(transceiver) for _ in sent] == sent
    for data, tos in (*sent[:2], (b"\x0ctold", EF), *sent[2:]):
        send(transceiver, data, tos)
    bench.fast.from_transceivers([cached.upstream_fd] * 6, slow_path)
    assert [receive(client) for _ in sent] == sent
    assert slow == [(STUN, CE), (b"\x0ctold", EF)]


def test_error_at_a_vip_is_counted(bench: Bench) -> None:
    vip = bench.vips[0]
    vip.connect(("127.0.0.1", 9))
    vip.send(RTP)
    assert bench.from_clients() is False
    name = errno.errorcode[errno.ECONNREFUSED].lower()
    assert bench.counters[f"send_failed_{name}"] == 1
