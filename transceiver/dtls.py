"""DTLS for media and data channels (RFC 8827, RFC 5764), by OpenSSL: datagrams in, datagrams out.

No socket, task or timer is in here: whoever owns the transport sends what comes out, and calls
`retransmit` when `timeout` has passed. OpenSSL reads the clock for that itself.
"""

import contextlib
import datetime as dt
import secrets
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from functools import cached_property, partial
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from transceiver.plan import DtlsRole, Fingerprint
from transceiver.srtp import PROFILES, Srtp

MTU = 1200  # bytes of a datagram; passes wherever QUIC does (RFC 9000, section 14)
LIFETIME = dt.timedelta(days=30)
_SKEW = dt.timedelta(days=1)  # clients' clocks are wrong now and then
_READ = 16384  # bytes of a record's content, at most
_HEADER = 13  # bytes of a record's header, whose last two are the length
_HANDSHAKE = 22  # a record's type, its first byte
_REPEATS = 8  # of our last flight, which who can write as the client could ask for without end
# As DTLS client we must take the certificate that the server has, and GStreamer 1.22 has an RSA
# one. All give forward secrecy; AEAD first.
_CIPHERS = b":".join(
    (
        b"ECDHE-ECDSA-AES128-GCM-SHA256",
        b"ECDHE-ECDSA-CHACHA20-POLY1305",
        b"ECDHE-RSA-AES128-GCM-SHA256",
        b"ECDHE-RSA-CHACHA20-POLY1305",
        b"ECDHE-ECDSA-AES128-SHA",
        b"ECDHE-RSA-AES128-SHA",
        b"ECDHE-ECDSA-AES256-SHA",
        b"ECDHE-RSA-AES256-SHA",
    )
)
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha-1": hashes.SHA1(),  # noqa: S303  # the client's own word, over an authenticated channel
    "sha-224": hashes.SHA224(),
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}


class Identity:
    """A key with a certificate that nobody has signed but itself, and what OpenSSL makes of it.

    Args:
        key: The key.
        certificate: Its certificate.

    Attributes:
        fingerprint: What an answer says of the certificate, with SHA-256.
        context: OpenSSL's; all associations share it.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.fingerprint = fingerprint(certificate, "sha-256")
        self.context = SSL.Context(SSL.DTLS_METHOD)
        # A second handshake would cost as much as the first, and nobody who speaks WebRTC needs it.
        self.context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
        # Any certificate will do here: it is the fingerprint that tells whose it is.
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_cipher_list(_CIPHERS)
        self.context.set_tlsext_use_srtp(b":".join(profile.name for profile in PROFILES))

    @classmethod
    def generate(cls, now: dt.datetime) -> Self:
        """A new one, valid for `LIFETIME`."""
        key = ec.generate_private_key(ec.SECP256R1())
        # The name says nothing: a certificate is to tell nobody who its server is. It is short, for
        # our flight has to fit what a check and the shortest ClientHello may be answered with.
        common = x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(4))
        name = x509.Name([common])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + LIFETIME)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))


def fingerprint(certificate: x509.Certificate, algorithm: str) -> Fingerprint:
    """The fingerprint of a certificate (RFC 8122, section 5)."""
    digest = certificate.fingerprint(_HASHES[algorithm])
    return Fingerprint(algorithm, digest.hex(":").upper())


class State(Enum):
    """How far an association is."""

    NEW = auto()
    HANDSHAKE = auto()
    CONNECTED = auto()
    FAILED = auto()
    CLOSED = auto()


class Received(NamedTuple):
    """What came of a datagram.

    Attributes:
        send: Datagrams to be sent.
        data: What the client has sent through the association.
    """

    send: list[bytes]
    data: list[bytes]


class Dtls:
    """One association.

    Args:
        identity: Ours.
        role: What we are in the handshake.
        fingerprints: The client's certificate must match one of them.

    Attributes:
        state: How far it is.
        failure: Why it has failed, in words.
        srtp: For media, once it is connected.
    """

    def __init__(
        self, identity: Identity, role: DtlsRole, fingerprints: Iterable[Fingerprint]
    ) -> None:
        self.state = State.NEW
        self.failure = ""
        self.srtp: Srtp | None = None
        self.role = role
        self._fingerprints = tuple(fingerprints)
        self._last_flight: list[bytes] = []  # with which we ended the handshake
        self._repeats = _REPEATS
        self._context = identity.context

    @cached_property
    def _ssl(self) -> SSL.Connection:
        """OpenSSL's state, which there is not before something is sent or received."""
        connection = SSL.Connection(self._context, None)
        connection.set_ciphertext_mtu(MTU)
        if self.role is DtlsRole.CLIENT:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        return connection

    def begin(self) -> list[bytes]:
        """Begin the handshake: the datagrams to be sent, none as its server."""
        if self.state is not State.NEW:
            return []
        self.state = State.HANDSHAKE
        self._shake_hands()
        return self._outgoing()

    def receive(self, datagram: bytes) -> Received:
        """Take a datagram that looks like DTLS."""
        if self.state in (State.FAILED, State.CLOSED):
            return Received([], [])
        data: list[bytes] = []
        before = self.begin()
        was = self.state
        self._ssl.bio_write(datagram)
        if self.state is State.HANDSHAKE:
            self._shake_hands()
        if self.state is State.CONNECTED:
            data = self._read()
        send = before + self._outgoing()
        if self.state is State.CONNECTED and was is State.HANDSHAKE:
            self._last_flight = send
        elif self.state is State.CONNECTED and not send and _has_finished(datagram):
            send = self._repeated()
        return Received(send, data)

    def send(self, data: bytes) -> list[bytes]:
        """Encrypt a message of at most `MTU` bytes: the datagrams to be sent."""
        if self.state is not State.CONNECTED:
            return []
        try:
            self._ssl.send(data)
        except SSL.Error:  # the client has broken the association, or the message is too long
            return []
        return self._outgoing()

    def timeout(self) -> float | None:
        """Seconds until `retransmit` is due; None when nothing waits for an answer."""
        if self.state is not State.HANDSHAKE:
            return None
        seconds = self._ssl.DTLSv1_get_timeout()
        return None if seconds is None else float(seconds)

    def retransmit(self) -> list[bytes]:
        """The datagrams to be sent again."""
        if self.state is not State.HANDSHAKE:
            return []
        try:
            self._ssl.DTLSv1_handle_timeout()
        except SSL.Error:
            self._fail("the client did not answer")
        return self._outgoing()

    def close(self) -> list[bytes]:
        """End it: the datagrams that say so."""
        if self.state is State.NEW:
            self.state = State.CLOSED
            return []
        if self.state in (State.HANDSHAKE, State.CONNECTED):
            with contextlib.suppress(SSL.Error):  # in mid-handshake there is nobody to say it to
                self._ssl.shutdown()
        if self.state is not State.FAILED:
            self.state = State.CLOSED
        return self._outgoing()

    def _shake_hands(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            self._fail(_described(error))
            return
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        if certificate is None or not self._is_the_clients(certificate):
            self._fail("the client's certificate matches no fingerprint of its offer")
            # For the client the handshake is over, and it would wait for media in vain. OpenSSL has
            # no way to say bad_certificate (RFC 8122, section 6.2) so late.
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()
            return
        chosen = self._ssl.get_selected_srtp_profile()
        profile = next((each for each in PROFILES if each.name == chosen), None)
        if profile is not None:  # a call of data channels alone needs none
            material = self._ssl.export_keying_material(
                b"EXTRACTOR-dtls_srtp", profile.keying_material
            )
            self.srtp = Srtp(profile, material, is_client=self.role is DtlsRole.CLIENT)
        self.state = State.CONNECTED

    def _is_the_clients(self, certificate: x509.Certificate) -> bool:
        return any(
            fingerprint(certificate, each.algorithm) == each
            for each in self._fingerprints
            if each.algorithm in _HASHES
        )

    def _read(self) -> list[bytes]:
        data = []
        while True:
            try:
                data.append(self._ssl.recv(_READ))
            except SSL.WantReadError:
                return data
            except SSL.ZeroReturnError:  # close_notify
                self.state = State.CLOSED
                return data
            except SSL.Error:  # a fatal alert, or the memory's end
                self.state = State.CLOSED
                return data

    def _repeated(self) -> list[bytes]:
        """Our last flight, for a client that sends its own again.

        OpenSSL would, but not for those that repeat the record as it was (werift 0.25): it takes
        that for a replay, and such a client would wait for ever.
        """
        if self._repeats == 0:
            return []
        self._repeats -= 1
        return self._last_flight

    def _fail(self, why: str) -> None:
        self.state = State.FAILED
        self.failure = why

    def _outgoing(self) -> list[bytes]:
        read = partial(self._ssl.bio_read, 1 << 16)
        stream = b""
        while True:
            try:
                stream += read()
            except SSL.Error:  # WantReadError: there is no more
                return list(datagrams(stream))


def datagrams(stream: bytes) -> Iterator[bytes]:
    """Whole records, as many to a datagram as `MTU` lets; OpenSSL's memory joins all of them."""
    start = end = 0
    for begin, following in _records(stream):
        if following - start > MTU and begin > start:
            yield stream[start:begin]
            start = begin
        end = following
    if start < end:
        yield stream[start:end]


def _records(stream: bytes) -> Iterator[tuple[int, int]]:
    """Where each record begins and where it ends, by its own word."""
    start = 0
    while (content := start + _HEADER) <= len(stream):
        end = content + int.from_bytes(stream[content - 2 : content], "big")
        yield start, end
        start = end


def _has_finished(datagram: bytes) -> bool:
    """Whether there is an encrypted message of a handshake in a datagram: one of its last."""
    return any(
        datagram[start] == _HANDSHAKE and any(datagram[start + 3 : start + 5])
        for start, _ in _records(datagram)
    )


def _described(error: SSL.Error) -> str:
    """An error of OpenSSL's in words."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    said = "; ".join(str(each[-1]) for each in reasons if each)
    return said or "the handshake failed"
