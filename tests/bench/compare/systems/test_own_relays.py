"""The relays in C and Go that were written for the comparison, on loopback."""

import itertools
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.route import Target, mint, open_ufrag
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, server_ufrag
from tests.bench.compare.systems.crelay import C_RELAY
from tests.bench.compare.systems.gorelay import GO_RELAY
from tests.bench.compare.systems.ownrelay import OwnRelay, relay_command
from tests.relay.wire.cases import CASES, CLUSTER, KEYS, Case

RELAYS = (C_RELAY, GO_RELAY)
PORTS = range(20_000, 20_200)
WAIT = 10.0
ROUTED = "stun_routed"
MEDIA = b"\x80media"

# Addresses of this process's own: another run on this machine has others.
_vip_ports = itertools.count(3478)
HOST = f"127.{1 + os.getpid() % 250}.{os.getpid() // 250 % 250}.1"

SLOTS = sorted(
    {
        open_ufrag(server_ufrag(case.payload), KEYS).target.slot
        for case in CASES
        if case.verdict == ROUTED
    }
)


def request() -> bytes:
    """A Binding request that opens a flow, and is like no other."""
    route = mint(
        Target(CLUSTER, SLOTS[0], 1), KEYS, now=0.0, lifetime=60.0, nonce=secrets.token_bytes(4)
    )
    username = (int(Attribute.USERNAME), f"{route.ufrag}:peer".encode())
    message = Message(MessageClass.REQUEST, BINDING, secrets.token_bytes(12), (username,))
    return message.serialize(b"password")


@dataclass
class Site:
    """A relay that runs, with its transceiver."""

    vip: Endpoint
    transceiver: socket.socket
    sockets: ExitStack

    def client(self) -> socket.socket:
        return udp(self.sockets, Endpoint(HOST, 0))

    def opened(self) -> tuple[socket.socket, Endpoint]:
        """A client with an open flow, and its upstream address."""
        client, data = self.client(), request()
        client.sendto(data, self.vip)
        got, upstream = self.receive()
        assert got == data
        return client, upstream

    def receive(self) -> tuple[bytes, Endpoint]:
        data, source = self.transceiver.recvfrom(4096)
        return data, Endpoint.of(source)

    def passes(self, client: socket.socket, data: bytes) -> bool:
        """Whether a datagram reaches the transceiver; a packet of another flow follows it."""
        client.sendto(data, self.vip)
        other, mark = self.client(), request()
        other.sendto(mark, self.vip)
        if self.receive()[0] == mark:
            return False
        assert self.receive()[0] == mark
        return True


def udp(sockets: ExitStack, local: Endpoint) -> socket.socket:
    made = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.bind(local)
    made.settimeout(WAIT)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return made


@contextmanager
def running(relay: OwnRelay, *options: str) -> Iterator[Site]:
    vip = Endpoint(HOST, next(_vip_ports))
    with ExitStack() as sockets:
        transceiver = udp(sockets, Endpoint(HOST, 0))
        address = Endpoint.of(transceiver.getsockname())
        command = relay_command(
            relay.build(),
            vip=vip,
            upstream=HOST,
            ports=PORTS,
            keys=KEYS,
            target=Target(CLUSTER, SLOTS[0], 1),
            transceiver=address,
        )
        more = [text for slot in SLOTS[1:] for text in ("--transceiver", f"{slot}={address}")]
        with subprocess.Popen([*command, *more, *options], stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                yield Site(vip, transceiver, sockets)
            finally:
                process.kill()


@pytest.fixture(scope="module", params=RELAYS, ids=lambda relay: relay.name)
def relay(request: pytest.FixtureRequest) -> OwnRelay:
    found: OwnRelay = request.param
    reason = found.missing()
    if reason is not None:
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def site(relay: OwnRelay) -> Iterator[Site]:
    with running(relay) as site:
        yield site


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_only_a_request_with_a_valid_route_passes(site: Site, case: Case) -> None:
    assert site.passes(site.client(), case.payload) == (case.verdict == ROUTED)


@pytest.mark.parametrize("size", [0, 1, 160, 1200, 1472])
def test_what_is_sent_arrives_unharmed(site: Site, size: int) -> None:
    client, upstream = site.opened()
    data = secrets.token_bytes(size)
    client.sendto(data, site.vip)
    assert site.receive() == (data, upstream)
    site.transceiver.sendto(data, upstream)
    assert client.recvfrom(4096) == (data, site.vip)


def test_bursts_of_several_flows_arrive_in_order(site: Site) -> None:
    flows = [site.opened() for _ in range(3)]
    burst = [(number, n) for n in range(100) for number in range(3) for _ in range(1 + n % 2)]
    for number, n in burst:
        flows[number][0].sendto(bytes([128, number, n]) * 60, site.vip)
    upstreams = {upstream: number for number, (_, upstream) in enumerate(flows)}
    got = [site.receive() for _ in burst]
    for number, (client, upstream) in enumerate(flows):
        sent = [bytes([128, number, n]) * 60 for of, n in burst if of == number]
        assert [data for data, source in got if upstreams[source] == number] == sent
        for data in sent:
            site.transceiver.sendto(data, upstream)
        assert [client.recv(4096) for _ in sent] == sent


def test_each_flow_has_an_upstream_port_of_its_own(site: Site) -> None:
    upstreams = [site.opened()[1] for _ in range(5)]
    assert len(set(upstreams)) == 5
    assert all(upstream.host == HOST and upstream.port in PORTS for upstream in upstreams)


def test_a_flow_takes_nothing_from_strangers(site: Site) -> None:
    client, upstream = site.opened()
    site.client().sendto(b"\x80stranger", upstream)
    site.transceiver.sendto(MEDIA, upstream)
    assert client.recv(4096) == MEDIA


def test_a_flow_whose_transceiver_is_silent_ends_and_others_go_on(relay: OwnRelay) -> None:
    with running(relay, "--idle", "1") as site:
        silent, upstream = site.opened()
        served, other = site.opened()

        def ended() -> bool:
            site.transceiver.sendto(MEDIA, other)
            assert served.recv(4096) == MEDIA
            return not site.passes(silent, MEDIA)

        wait_for(ended)
        assert site.passes(served, MEDIA)
        silent.sendto(request(), site.vip)
        assert site.receive()[1] not in (upstream, other)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    "options", [(), ("--listen", "here"), ("--nonsense",), ("--key", "0=00")], ids=repr
)
def test_a_wrong_command_line_is_refused(relay: OwnRelay, options: Sequence[str]) -> None:
    command = [str(relay.build()), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode != 0
    assert done.stderr
