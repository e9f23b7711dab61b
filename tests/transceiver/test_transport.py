"""A transport on the mux, seen from the network: when DTLS begins, what is sent again, media."""

import asyncio
import datetime as dt
import gc
import itertools
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from relay.wire.stun import Attribute
from transceiver.dtls import Dtls, Identity, State
from transceiver.ice import MAX_PATHS
from transceiver.mux import Mux
from transceiver.plan import Credentials, DtlsRole, Fingerprint, TransportPlan
from transceiver.transport import FIRST_FLIGHT_REPEATS, Transport

Until = Callable[[Callable[[], Any]], Awaitable[None]]
Check = Callable[..., bytes]

NOW = dt.datetime.now(dt.UTC)
OURS, THEIRS = Identity.generate(NOW), Identity.generate(NOW)
RTP = bytes((0x80, 111)) + bytes(40)
RTCP = bytes((0x80, 201, 0, 1)) + bytes(4)


class Owner:
    """Keeps what a transport tells."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.media: list[tuple[str, bytes]] = []

    def reached(self) -> None:
        self.told.append("reached")

    def connected(self) -> None:
        self.told.append("connected")

    def closed(self, reason: str) -> None:
        self.told.append(reason)

    def rtp(self, packet: bytes, now: float) -> None:
        assert now > 0
        self.media.append(("rtp", packet))

    def rtcp(self, packet: bytes, now: float) -> None:
        assert now > 0
        self.media.append(("rtcp", packet))

    def data(self, packet: bytes) -> None:
        self.media.append(("data", packet))


class Wire:
    """A transport on a real socket, and a client's socket that collects what comes.

    Args:
        mux: The transport's.
        address: The mux's.
        credentials: The transport's.
        role: The transport's in DTLS.
        fingerprint: What the client's offer says of its certificate.
    """

    def __init__(
        self,
        mux: Mux,
        address: Endpoint,
        credentials: Credentials,
        role: DtlsRole = DtlsRole.SERVER,
        fingerprint: Fingerprint = THEIRS.fingerprint,
    ) -> None:
        self.mux = mux
        self.address = address
        self.owner = Owner()
        plan = TransportPlan("client", "password-of-the-client", (fingerprint,), role)
        self.transport = Transport(mux, self.owner, lambda: credentials, OURS, plan)
        other = DtlsRole.CLIENT if role is DtlsRole.SERVER else DtlsRole.SERVER
        self.dtls = Dtls(THEIRS, other, (OURS.fingerprint,))
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.setblocking(False)
        self.received: list[bytes] = []
        self.answers = True  # whether the client's DTLS takes what comes
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.client, self._read)

    def of(self, kind: Kind) -> list[bytes]:
        return [data for data in self.received if classify(data) is kind]

    def send(self, *datagrams: bytes) -> None:
        for each in datagrams:
            self.client.sendto(each, self.address)

    def counted(self, name: str) -> int:
        return self.mux.counters.as_dict().get(name, 0)

    def close(self) -> None:
        self.transport.close()
        self._loop.remove_reader(self.client)
        self.client.close()

    def _read(self) -> None:
        data = self.client.recv(2048)
        self.received.append(data)
        if self.answers and classify(data) is Kind.DTLS:
            self.send(*self.dtls.receive(data).send)


@pytest.fixture
async def make(
    keys: Any, target: Any, credentials: Credentials
) -> AsyncIterator[Callable[..., Wire]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        mux = Mux(sock, keys, target)
        mux.open()
        made: list[Wire] = []

        def wire(*options: Any) -> Wire:
            made.append(Wire(mux, Endpoint.of(sock.getsockname()), credentials, *options))
            return made[-1]

        yield wire
        for each in made:
            each.close()
        mux.close()


@pytest.fixture
async def connected(make: Callable[..., Wire], check: Check, until: Until) -> Wire:
    wire = make()
    wire.send(check())
    await until(lambda: wire.of(Kind.STUN))
    wire.send(*wire.dtls.begin())
    await until(lambda: wire.transport.is_connected and wire.dtls.state is State.CONNECTED)
    return wire


@pytest.mark.parametrize("role", DtlsRole)
async def test_a_handshake_in_either_role(
    make: Callable[..., Wire], check: Check, until: Until, role: DtlsRole
) -> None:
    wire = make(role)
    wire.send(check())
    await until(lambda: wire.of(Kind.STUN))
    wire.send(*wire.dtls.begin())
    await until(lambda: wire.dtls.state is State.CONNECTED and wire.transport.is_connected)
    assert wire.owner.told == ["reached", "connected"]
    assert wire.transport.role is role


async def test_a_client_of_dtls_repeats_its_first_flight_until_it_is_answered(
    make: Callable[..., Wire], check: Check, until: Until
) -> None:
    wire = make(DtlsRole.CLIENT)
    wire.answers = False
    wire.send(*(check() for _ in range(8)))  # which pay for the repeats
    await until(lambda: len(wire.of(Kind.DTLS)) == 3)
    assert len(set(wire.of(Kind.DTLS))) == 1
    wire.answers = True
    await until(lambda: wire.transport.is_connected)
    sent = len(wire.of(Kind.DTLS))
    await asyncio.sleep(sum(FIRST_FLIGHT_REPEATS))  # nothing more comes in all that time
    assert len(wire.of(Kind.DTLS)) == sent


async def test_a_server_of_dtls_says_nothing_first(
    make: Callable[..., Wire], check: Check, until: Until
) -> None:
    wire = make()
    wire.send(check())
    await until(lambda: wire.of(Kind.STUN))
    await asyncio.sleep(2 * FIRST_FLIGHT_REPEATS[0])  # nothing comes in that time
    assert wire.of(Kind.DTLS) == []


async def test_a_lost_flight_of_the_server_comes_again(
    make: Callable[..., Wire], check: Check, until: Until
) -> None:
    wire = make()
    wire.send(*(check() for _ in range(20)))  # which pay for the repeat
    await until(lambda: wire.of(Kind.STUN))
    wire.answers = False
    wire.send(*wire.dtls.begin())
    await until(lambda: len(wire.of(Kind.DTLS)) >= 2)
    assert len(set(wire.of(Kind.DTLS))) == 1
    wire.send(*wire.dtls.receive(wire.of(Kind.DTLS)[1]).send)
    wire.answers = True
    await until(lambda: wire.transport.is_connected)


async def test_nothing_is_sent_before_a_check(make: Callable[..., Wire]) -> None:
    wire = make()
    wire.transport.datagram(wire.dtls.begin()[0], Endpoint.of(wire.client.getsockname()))
    assert wire.counted("no_consent") > 0
    assert wire.transport.protected(RTP, 0.0) is None
    assert wire.received == []


@pytest.mark.parametrize("role", DtlsRole)
async def test_an_unproven_path_gets_three_bytes_for_one(
    make: Callable[..., Wire], check: Check, until: Until, role: DtlsRole
) -> None:
    """One check and the shortest hello pay for our first flight, and for no second one."""
    wire = make(role)
    wire.answers = False
    wire.send(check())
    await until(lambda: wire.of(Kind.STUN))
    hello = wire.dtls.begin()
    wire.send(*hello)
    await until(lambda: wire.of(Kind.DTLS))
    paid = len(check()) + sum(map(len, hello))
    await until(lambda: wire.counted("unproven") > 0)
    assert sum(map(len, wire.received)) <= 3 * paid


async def test_a_client_may_nominate_one_address_and_shake_hands_from_another(
    make: Callable[..., Wire], check: Check, until: Until
) -> None:
    wire = make()
    wire.send(check())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nominated:
        nominated.bind(("127.0.0.1", 0))
        nominated.sendto(check(nominate=True), wire.address)
        place = Endpoint.of(nominated.getsockname())
        await until(lambda: wire.transport.agent.selected == place)
        wire.send(*wire.dtls.begin())
        await until(lambda: wire.dtls.state is State.CONNECTED)
    assert wire.counted("unproven") == 0
    assert wire.transport.agent.selected == place


async def test_media_and_data_arrive_in_clear_and_go_out_encrypted(
    connected: Wire, until: Until
) -> None:
    wire, srtp = connected, connected.dtls.srtp
    assert srtp is not None
    wire.send(srtp.protect(RTP), srtp.protect_rtcp(RTCP), *wire.dtls.send(b"sctp"))
    await until(lambda: len(wire.owner.media) == 3)
    assert wire.owner.media == [("rtp", RTP), ("rtcp", RTCP), ("data", b"sctp")]
    for protect, unprotect, packet in (
        (wire.transport.protected, srtp.unprotect, RTP),
        (wire.transport.protected_rtcp, srtp.unprotect_rtcp, RTCP),
    ):
        sent = protect(packet, wire.mux.clock())
        assert sent is not None
        assert sent[1] == Endpoint.of(wire.client.getsockname())
        assert unprotect(sent[0]) == packet
    wire.answers = False
    wire.transport.send_data(b"an answer")
    before = len(wire.of(Kind.DTLS))
    await until(lambda: len(wire.of(Kind.DTLS)) > before)
    assert wire.dtls.receive(wire.of(Kind.DTLS)[-1]).data == [b"an answer"]


async def test_media_that_is_not_the_clients_is_counted(connected: Wire, until: Until) -> None:
    connected.send(RTP, RTCP)
    await until(lambda: connected.counted("media_not_authentic") == 2)
    assert connected.owner.media == []


async def test_another_certificate_ends_it_in_words(
    make: Callable[..., Wire], check: Check, until: Until
) -> None:
    wire = make(DtlsRole.SERVER, OURS.fingerprint)
    wire.send(check())
    await until(lambda: wire.of(Kind.STUN))
    wire.send(*wire.dtls.begin())
    await until(lambda: len(wire.owner.told) == 2)
    assert wire.owner.told[1].startswith("DTLS failed: the client's certificate matches no")


async def test_the_clients_goodbye_ends_it(connected: Wire, until: Until) -> None:
    connected.send(*connected.dtls.close())
    await until(lambda: connected.owner.told[-1] == "closed by the client")
    assert not connected.transport.is_connected


async def test_the_end_is_said_and_leaves_nothing(connected: Wire, until: Until) -> None:
    connected.transport.close()
    connected.transport.close()  # again is fine
    await until(lambda: connected.dtls.state is State.CLOSED)
    assert connected.mux.sources == 0
    assert not connected.mux._by_ufrag


async def test_two_transports_never_share_a_ufrag(
    make: Callable[..., Wire], credentials: Credentials
) -> None:
    wire = make()
    drawn = iter([credentials, credentials, Credentials("other", credentials.password)])
    plan = TransportPlan("c", "p", (THEIRS.fingerprint,), DtlsRole.SERVER)
    transport = Transport(wire.mux, Owner(), lambda: next(drawn), OURS, plan)
    assert transport.agent.credentials.ufrag == "other"
    transport.close()


async def test_a_restart_keeps_the_old_credentials_for_a_while(
    connected: Wire, check: Check, until: Until
) -> None:
    new = Credentials("renewed", "another-password-of-24-c")
    assert connected.mux.bind(new.ufrag, connected.transport)
    connected.transport.restart(new, Credentials("c", "p"))
    answered = len(connected.of(Kind.STUN))
    connected.send(check(), check(credentials=new))
    await until(lambda: len(connected.of(Kind.STUN)) == answered + 2)
    connected.transport.drop_credentials(Credentials("renewed", ""))
    assert b"renewed" not in connected.mux._by_ufrag


# --- who claims another's address ---


async def test_a_second_address_gets_nothing_until_its_second_check_or_for_what_it_has_paid(
    connected: Wire, check: Check, until: Until
) -> None:
    """Whoever has a session may write a victim's address into a check that nominates it."""
    srtp = connected.dtls.srtp
    assert srtp is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
        victim.bind(("127.0.0.1", 0))
        place, home = (Endpoint.of(each.getsockname()) for each in (victim, connected.client))
        spoofed = check(nominate=True)
        victim.sendto(spoofed, connected.address)
        await until(lambda: connected.transport.agent.selected == place)

        def sent() -> Counter[Endpoint]:
            packets = [connected.transport.protected(RTP, connected.mux.clock()) for _ in range(99)]
            total: Counter[Endpoint] = Counter()
            for each in packets:
                if each is not None:
                    total[each[1]] += len(each[0])
            return total

        assert set(sent()) == {home}
        packet = srtp.protect(RTP)
        victim.sendto(packet, connected.address)
        await until(lambda: connected.owner.media)
        got = sent()
        assert 0 < got[place] <= 3 * (len(spoofed) + len(packet))
        victim.sendto(check(), connected.address)
        await until(lambda: connected.counted("stun") == 3)
        assert set(sent()) == {place}


async def test_bytes_that_are_not_authentic_cost_no_log_and_no_state(
    connected: Wire, check: Check, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """Junk from a checked address is no sign that the client is there."""
    caplog.set_level("DEBUG")
    mux, agent = connected.mux, connected.transport.agent
    home = Endpoint.of(connected.client.getsockname())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        second.bind(("127.0.0.1", 0))
        connected.send(check(nominate=True))
        await until(lambda: connected.counted("stun") == 2)
        second.sendto(check(), connected.address)
        await until(lambda: mux.sources == 2)
        paths = {source: (path.checked, path.heard) for source, path in agent._paths.items()}
        record = bytes([23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30]) + bytes(30)
        for _ in range(100):
            for sock in (second, connected.client):
                for junk in (RTP, RTCP, record):
                    sock.sendto(junk, connected.address)
            await asyncio.sleep(0)
        await until(lambda: connected.counted("media_not_authentic") == 400)
        assert {s: (p.checked, p.heard) for s, p in agent._paths.items()} == paths
        assert agent.selected == home
    assert connected.owner.media == []
    assert caplog.records == []


async def test_there_is_no_state_of_openssl_before_a_check(make: Callable[..., Wire]) -> None:
    wire = make()
    assert "_ssl" not in vars(wire.transport._dtls)
    wire.transport.close()
    assert "_ssl" not in vars(wire.transport._dtls)
    assert wire.received == []


async def test_whatever_a_client_sends_its_transport_stays_as_large(
    connected: Wire, check: Check, until: Until
) -> None:
    """A flood, and then twice as much, of whatever is kept of what a client sends."""
    srtp = connected.dtls.srtp
    assert srtp is not None
    mux, numbers = connected.mux, itertools.count()

    def flood(count: int) -> None:
        for number in itertools.islice(numbers, count):
            place = Endpoint("198.51.100.7", 1024 + number % 60_000)
            embedded = bytes([22, 254, 253]) + number.to_bytes(4) + bytes(1000)
            mux.receive(check((Attribute.DTLS_IN_STUN, embedded)), place)
            rtp = bytes((0x80, 111, 0, 1)) + bytes(4) + number.to_bytes(4) + bytes(500)
            mux.receive(srtp.protect(rtp), place)
            mux.receive(srtp.protect(rtp)[:-1] + b"?", place)
            # A handshake's message of 16 MB, of which a fragment comes.
            part = bytes([1, 255, 0, 0]) + number.to_bytes(2) + bytes([0, 0, 1, 0, 3, 232])
            header = bytes([22, 254, 253, 0, 0, 0, 1]) + number.to_bytes(4)
            mux.receive(header + (1012).to_bytes(2) + part + bytes(1000), place)
            connected.owner.media.clear()

    flood(500)
    before = resident()
    flood(1500)
    assert resident() - before < 2 << 20  # of 6 MB
    assert mux.sources <= MAX_PATHS
    assert connected.counted("media_not_authentic") == 2000
    await until(lambda: connected.transport.is_connected)


def resident() -> int:
    """Bytes of memory that this process uses."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
