"""Traffic in the kernel: it is counted exactly, and its packets are valid."""

import ctypes
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from relay.dataplane.kernel import bpfsys
from tests.bench.compare.testbed.system import Direction, Flow, Leg
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic import layout
from tests.bench.compare.traffic.histogram import bucket_of
from tests.bench.compare.traffic.programs import programs
from tests.bench.compare.traffic.stream import Passed, Traffic
from tests.lab import frame
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

PREFIX = b"\x40\x07"
FLOWS = 5


def through_router(testbed: Testbed, count: int = FLOWS, prefix: bytes = b"") -> list[Flow]:
    return [
        Flow(
            Leg(testbed.client(number), testbed.transceiver, prefix),
            Leg(testbed.transceiver, testbed.client(number), prefix),
        )
        for number in range(count)
    ]


def bursts(traffic: Traffic, *, batched: bool, timed: bool = False) -> Passed:
    traffic.begin_bursts(20_000, 0.05, batched=batched, timed=timed)
    return traffic.finish_bursts()


def all_arrived(passed: Passed) -> None:
    assert passed.sent > 0
    assert passed.arrived + passed.late == passed.sent


@contextmanager
def captured(testbed: Testbed, interface: str) -> Iterator[socket.socket]:
    """What comes to one of the relay's interfaces."""
    with testbed.hosts[RELAY].inside():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
    with raw:
        raw.bind((interface, 0))
        raw.settimeout(5)
        yield raw


def received(raw: socket.socket, count: int) -> list[frame.Datagram]:
    datagrams: list[frame.Datagram] = []
    while len(datagrams) < count:
        data, address = raw.recvfrom(2048)
        if address[2] == socket.PACKET_OUTGOING:
            continue
        datagram = frame.parse(data)
        assert datagram is not None
        datagrams.append(datagram)
    return datagrams


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("plans", layout.Plan),
        ("progresses", layout.Progress),
        ("watches", layout.Watch),
        ("tallies", layout.Tally),
        ("histograms", layout.Counts),
    ],
)
def test_structures_are_as_long_as_the_programs_say(
    name: str, kind: type[ctypes.Structure]
) -> None:
    assert bpfsys.map_info(programs().fds[name]).value_size == ctypes.sizeof(kind)
    assert bpfsys.map_info(programs().fds["legs"]).value_size == layout.LEG_SIZE


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "routed"])
@pytest.mark.parametrize("direction", Direction)
def test_what_is_sent_arrives_and_is_counted(
    routed: Testbed, direction: Direction, *, direct: bool
) -> None:
    with Traffic(routed, through_router(routed), direction, 160, direct=direct) as traffic:
        passed = traffic.send(2000, 0.1)
        all_arrived(passed)
        assert passed.requested == 200
        assert passed.sent <= 201
        all_arrived(traffic.send(None, 0.05))
        for batched in (True, False):
            passed = bursts(traffic, batched=batched)
            all_arrived(passed)
            assert passed.sent == passed.requested == 1000


@pytest.mark.parametrize("prefix", [b"", PREFIX], ids=["plain", "channel"])
@pytest.mark.parametrize("payload", [160, 1201])
@pytest.mark.parametrize("in_bursts", [False, True], ids=["frames", "bursts"])
def test_packets_are_valid_and_take_turns(
    routed: Testbed, payload: int, prefix: bytes, *, in_bursts: bool
) -> None:
    flows = through_router(routed, prefix=prefix)
    with (
        captured(routed, PUBLIC) as raw,
        Traffic(routed, flows, Direction.TO_TRANSCEIVER, payload) as traffic,
    ):
        if in_bursts:
            all_arrived(bursts(traffic, batched=True))
        else:
            all_arrived(traffic.send(2000, 0.1))
        datagrams = received(raw, 2 * FLOWS)
    stamps = []
    for number, datagram in enumerate(datagrams):
        assert datagram.intact
        assert datagram.source == routed.client(number % FLOWS)
        assert datagram.destination == routed.transceiver
        header = prefix + payload.to_bytes(2, "big") if prefix else b""
        assert datagram.payload.startswith(header)
        data = datagram.payload.removeprefix(header)
        assert len(data) == payload
        assert data[layout.STAMP_SIZE :].count(0) == payload - layout.STAMP_SIZE
        stamps.append(struct.unpack_from("!2sHII4s", data) + struct.unpack_from("=IQ", data, 16))
    for number, stamp in enumerate(stamps):
        turn, flow = divmod(number, FLOWS)
        assert stamp[:5] == (layout.RTP, turn, turn * 960, flow, layout.MAGIC)
    assert len({stamp[5] for stamp in stamps}) == 1
    assert all(one[6] <= other[6] for one, other in pairwise(stamps))


def test_the_far_end_takes_packets_out_of_channels(routed: Testbed) -> None:
    flows = through_router(routed, prefix=PREFIX)
    with Traffic(routed, flows, Direction.TO_CLIENT, 160) as traffic:
        all_arrived(traffic.send(2000, 0.1))


def test_latency_is_that_of_every_packet(routed: Testbed) -> None:
    with Traffic(routed, through_router(routed), Direction.TO_TRANSCEIVER, 160) as traffic:
        for passed in (
            traffic.send(2000, 0.1, timed=True),
            bursts(traffic, batched=True, timed=True),
        ):
            latency = passed.latency
            assert latency is not None
            assert latency.total == passed.sent
            highest = max(bucket for bucket, count in enumerate(latency.counts) if count)
            assert highest == bucket_of(latency.slowest)
        assert traffic.send(2000, 0.05).latency is None


def test_what_nobody_forwards_is_lost(routed: Testbed) -> None:
    flows = [Flow(Leg(routed.client(0), routed.vip), Leg(routed.transceiver, routed.vip))]
    with Traffic(routed, flows, Direction.TO_TRANSCEIVER, 160) as traffic:
        passed = traffic.send(2000, 0.1)
    assert (passed.arrived, passed.late, passed.loss) == (0, 0, 1.0)


def test_other_packets_reach_the_network_stack(routed: Testbed) -> None:
    with (
        Traffic(routed, through_router(routed), Direction.TO_TRANSCEIVER, 160),
        routed.hosts[TRANSCEIVER].inside(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        far.bind(routed.transceiver)
        far.settimeout(5)
        with (
            routed.hosts[CLIENT].inside(),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        ):
            near.bind(routed.client(0))
            near.sendto(b"\x80\x6f" + bytes(160), routed.transceiver)
        assert far.recvfrom(2048) == (b"\x80\x6f" + bytes(160), routed.client(0))


def test_a_sender_that_has_died_is_told(routed: Testbed) -> None:
    with Traffic(routed, through_router(routed), Direction.TO_TRANSCEIVER, 160) as traffic:
        process = traffic._sender._process
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with pytest.raises(LabError, match="has ended"):
            traffic.send(2000, 0.1)


def test_an_end_that_is_taken_is_told(routed: Testbed) -> None:
    flows = through_router(routed)
    with (
        Traffic(routed, flows, Direction.TO_TRANSCEIVER, 160),
        pytest.raises(LabError, match="public of host client"),
        Traffic(routed, flows, Direction.TO_CLIENT, 160),
    ):
        pass


def test_the_ends_are_free_afterwards(routed: Testbed) -> None:
    with Traffic(routed, through_router(routed), Direction.TO_TRANSCEIVER, 160):
        pass
    for host, interface in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL)):
        with routed.hosts[host].netlink() as netlink:
            (link,) = netlink.get_links(netlink.link_lookup(ifname=interface)[0])
        assert not link.get_attr("IFLA_XDP").get_attr("IFLA_XDP_ATTACHED")
