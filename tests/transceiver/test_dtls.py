"""DTLS handshakes in memory: both roles, fingerprints, losses, ends."""

import contextlib
import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from transceiver.dtls import LIFETIME, MTU, Dtls, Identity, State, datagrams, fingerprint
from transceiver.plan import DtlsRole, Fingerprint

NOW = dt.datetime.now(dt.UTC)
OURS, THEIRS = Identity.generate(NOW), Identity.generate(NOW)
WRONG = Fingerprint("sha-256", ":".join(["00"] * 32))
HANDSHAKE, ALERT = 22, 21  # content types of records


def pair(
    *fingerprints: Fingerprint, role: DtlsRole = DtlsRole.SERVER, client: Identity = THEIRS
) -> tuple[Dtls, Dtls]:
    """Our end, and a client's that has the other role."""
    other = DtlsRole.CLIENT if role is DtlsRole.SERVER else DtlsRole.SERVER
    ours = Dtls(OURS, role, fingerprints or (client.fingerprint,))
    return ours, Dtls(client, other, (OURS.fingerprint,))


def converse(
    first: Dtls, second: Dtls, passes: Callable[[bytes], bool] = lambda _: True
) -> list[bytes]:
    """Let both begin, and carry datagrams until nobody says anything; what was carried."""
    carried = []
    under_way = [(second, each) for each in first.begin()]
    under_way += [(first, each) for each in second.begin()]
    while under_way:
        to, datagram = under_way.pop(0)
        carried.append(datagram)
        if passes(datagram):
            other = first if to is second else second
            under_way += [(other, each) for each in to.receive(datagram).send]
    return carried


@pytest.mark.parametrize("role", DtlsRole)
def test_both_ends_connect_and_have_keys_for_media(role: DtlsRole) -> None:
    ours, client = pair(role=role)
    converse(ours, client)
    assert (ours.state, client.state) == (State.CONNECTED, State.CONNECTED)
    assert ours.srtp is not None
    assert client.srtp is not None
    packet = bytes((0x80, 111)) + bytes(30)
    assert ours.srtp.unprotect(client.srtp.protect(packet)) == packet
    assert client.srtp.unprotect(ours.srtp.protect(packet)) == packet


def test_a_handshake_is_two_round_trips_without_a_cookie() -> None:
    ours, client = pair()
    (hello,) = client.begin()
    answer = ours.receive(hello).send
    assert answer
    kinds = {datagram[0] for datagram in answer}
    assert kinds == {HANDSHAKE}
    assert answer[0][13] == 2  # ServerHello, not HelloVerifyRequest (3)


def test_no_datagram_is_longer_than_passes_everywhere() -> None:
    assert max(map(len, converse(*pair()))) <= MTU
    records = [
        bytes((22, 254, 253)) + bytes(8) + size.to_bytes(2, "big") + bytes(size)
        for size in (500, 600, 90, 1180, 40)
    ]
    parts = list(datagrams(b"".join(records)))
    assert b"".join(parts) == b"".join(records)
    assert [len(part) for part in parts] == [513 + 613, 103, 1193, 53]


@pytest.mark.parametrize("algorithm", ["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"])
def test_any_hash_and_any_of_several_fingerprints_will_do(algorithm: str) -> None:
    certificate = self_signed()
    client = Identity(*certificate)
    unknown = Fingerprint("md5", "00")
    ours, other = pair(unknown, WRONG, fingerprint(certificate[1], algorithm), client=client)
    converse(ours, other)
    assert ours.state is State.CONNECTED


def test_another_certificate_is_refused_in_words() -> None:
    ours, client = pair(WRONG, Fingerprint("md5", "00"))
    converse(ours, client)
    assert ours.state is State.FAILED
    assert ours.failure == "the client's certificate matches no fingerprint of its offer"
    assert ours.srtp is None
    assert ours.send(b"secret") == []
    assert client.state is State.CLOSED, "it is told, and does not wait in vain"


@pytest.mark.parametrize("role", DtlsRole)
def test_a_client_with_an_rsa_certificate_connects(role: DtlsRole) -> None:
    key = rsa.generate_private_key(65537, 2048)
    client = Identity(*self_signed(key))
    ours, other = pair(role=role, client=client)
    converse(ours, other)
    assert (ours.state, other.state) == (State.CONNECTED, State.CONNECTED)


@pytest.mark.parametrize("seed", range(20))
def test_flights_that_are_lost_come_again_and_repeated_ones_do_no_harm(seed: int) -> None:
    generator = random.Random(seed)
    ours, client = pair()
    flights: dict[Dtls, list[bytes]] = {ours: ours.begin(), client: client.begin()}
    for _ in range(40):
        if ours.state is client.state is State.CONNECTED:
            break
        for sender, receiver in ((client, ours), (ours, client)):
            for datagram in flights[sender] * generator.randrange(1, 3):
                if generator.random() < 0.6 and (answer := receiver.receive(datagram).send):
                    flights[receiver] = answer
    assert (ours.state, client.state) == (State.CONNECTED, State.CONNECTED)
    (sent,) = client.send(b"hello")
    assert ours.receive(sent).data == [b"hello"]


def test_our_last_flight_comes_again_for_a_client_that_repeats_its_records_as_they_were() -> None:
    """OpenSSL takes such a record for a replay, and says nothing: werift 0.25 waited for ever."""
    ours, client = pair()
    (hello,) = client.begin()
    finished = [each for part in ours.receive(hello).send for each in client.receive(part).send]
    lost = [each for part in finished for each in ours.receive(part).send]
    assert (ours.state, client.state) == (State.CONNECTED, State.HANDSHAKE)
    again = [each for part in finished for each in ours.receive(part).send]
    assert again == lost
    for each in again:
        client.receive(each)
    assert client.state is not State.HANDSHAKE
    answers = [ours.receive(part).send for part in finished * 20]
    assert sum(map(bool, answers)) < 8  # nobody can ask for them without end
    (sent,) = client.send(b"hello")
    assert ours.receive(sent) == ([], [b"hello"])


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_junk_changes_nothing(when: str) -> None:
    generator = random.Random(5)
    ours, client = pair()

    def junk() -> None:
        for _ in range(200):
            size = generator.randrange(1, 300)
            ours.receive(bytes((generator.randrange(20, 64),)) + generator.randbytes(size))

    (hello,) = client.begin()
    if when == "before":
        junk()
    flight = ours.receive(hello).send
    if when == "during":
        junk()
    for datagram in flight:
        for answer in client.receive(datagram).send:
            for last in ours.receive(answer).send:
                client.receive(last)
    if when == "after":
        junk()
    assert (ours.state, client.state) == (State.CONNECTED, State.CONNECTED)
    (sent,) = client.send(b"still there")
    assert ours.receive(sent).data == [b"still there"]


def test_each_end_may_say_goodbye() -> None:
    for leaver in (0, 1):
        ends = pair()
        converse(*ends)
        (goodbye,) = ends[leaver].close()
        received = ends[1 - leaver].receive(goodbye)
        assert received.data == []
        assert ends[1 - leaver].state is State.CLOSED
        assert ends[1 - leaver].send(b"anybody?") == []


def test_who_was_closed_takes_nothing_more() -> None:
    ours, client = pair()
    converse(ours, client)
    (sent,) = client.send(b"late")
    ours.close()
    assert ours.receive(sent) == ([], [])
    assert ours.close() == []


def test_an_empty_message_is_none() -> None:
    ours, client = pair()
    converse(ours, client)
    assert ours.send(b"") == []


def test_who_waits_for_an_answer_has_a_time_out_and_says_it_again() -> None:
    _, client = pair()
    assert client.timeout() is None
    client.begin()
    seconds = client.timeout()
    assert seconds is not None
    assert 0 < seconds <= 1.0
    ours, client = pair()
    converse(ours, client)
    assert ours.timeout() is None
    assert ours.retransmit() == []


def test_a_certificate_is_valid_now_and_says_nothing() -> None:
    _, certificate = self_signed()
    assert fingerprint(certificate, "sha-256").value.count(":") == 31
    assert Identity.generate(NOW).fingerprint != Identity.generate(NOW).fingerprint
    assert dt.timedelta(days=7) < LIFETIME


def self_signed(key: rsa.RSAPrivateKey | None = None) -> tuple[Any, x509.Certificate]:
    """A certificate as GStreamer makes it; ours are never of RSA."""
    key = key or rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def test_openssl_says_why_a_handshake_failed() -> None:
    ours, client = pair()
    (hello,) = client.begin()
    assert ours.receive(hello).send
    fatal = bytes((ALERT, 254, 253)) + bytes(2) + (9).to_bytes(6, "big") + bytes((0, 2, 2, 40))
    ours.receive(fatal)
    assert ours.state is State.FAILED
    assert "alert" in ours.failure
    assert isinstance(OURS.context, SSL.Context)


@pytest.mark.parametrize("role", DtlsRole)
def test_a_client_gets_no_second_handshake(role: DtlsRole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would cost as much as the first, as often as it likes."""
    with monkeypatch.context() as patched:
        patched.setattr(SSL, "OP_NO_RENEGOTIATION", 0)
        willing = Identity.generate(NOW)
    ours, client = pair(role=role, client=willing)
    converse(ours, client)
    assert client._ssl.renegotiate()
    with contextlib.suppress(SSL.WantReadError):  # a server's request waits for nothing
        client._ssl.do_handshake()
    for each in client._outgoing():
        answers = ours.receive(each).send
        assert sum(map(len, answers)) < 100, "an alert at most, and no flight"
    assert ours.state is State.CONNECTED
    assert client.receive(b"".join(ours.send(b"still here"))).data == [b"still here"]


def test_our_flight_fits_what_a_check_and_a_short_hello_pay_for() -> None:
    """See `path.AMPLIFICATION`: a check has at least 100 bytes, and its answer 64."""
    ours, client = pair()
    (hello,) = client.begin()
    (flight,) = ours.receive(hello).send
    assert len(flight) <= 3 * (100 + len(hello)) - 64
