"""A client that costs little: ICE, DTLS and SRTP on a socket of its own, without a media engine.

It exists for tests with hundreds of calls and for tests that send what no engine would. The
handshake and the ciphers are the transceiver's own: that real clients connect is shown elsewhere.
Each step is a method, so that a test can stop after any of them.
"""

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from relay.wire.endpoint import Endpoint
from relay.wire.errors import StunError
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.lab.thinsctp import ThinSctp
from transceiver.dtls import Dtls, Identity, State
from transceiver.plan import DtlsRole, Fingerprint

LIMIT = 10.0  # seconds for a step
FIRST_RETRANSMISSION = 0.1  # seconds; each is twice as late as the one before
CONSENT = 4.0  # seconds between two checks later (RFC 7675 wants 4 to 6)
OPUS = 111  # payload type

_AUDIO = """m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=rtcp-fb:111 transport-cc
a=rtcp-fb:111 nack
"""
_DATA = """m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client needs of an answer.

    Attributes:
        ufrag: The server's.
        password: The server's.
        address: The first candidate of UDP.
        fingerprints: Of the server's certificate.
    """

    ufrag: str
    password: str
    address: Endpoint
    fingerprints: tuple[Fingerprint, ...]

    @classmethod
    def parse(cls, sdp: str) -> "Answer":
        """Read an answer; a test fails where something is missing."""
        candidate = r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) "
        address, port = re.findall(candidate, sdp, re.IGNORECASE)[0]
        return cls(
            re.findall(r"a=ice-ufrag:(\S+)", sdp)[0],
            re.findall(r"a=ice-pwd:(\S+)", sdp)[0],
            Endpoint(address, int(port)),
            tuple(
                Fingerprint(algorithm.lower(), digest.upper())
                for algorithm, digest in re.findall(r"a=fingerprint:(\S+) (\S+)", sdp)
            ),
        )


def new_identity() -> Identity:
    """A certificate, which any number of clients may share."""
    return Identity.generate(datetime.now(UTC))


@dataclass
class Heard:
    """What came from the server.

    Attributes:
        rtp: Packets.
        rtcp: Packets.
        last: The last packets of RTP, decrypted.
        broken: Packets that did not decrypt.
    """

    rtp: int = 0
    rtcp: int = 0
    last: list[bytes] = field(default_factory=list)
    broken: int = 0


class ThinClient(asyncio.DatagramProtocol):
    """A client of one call.

    Args:
        identity: Its certificate.
        random: The source of its credentials and numbers.
        data: Whether it wants data channels.
        host: Its own address; the kernel chooses one without it.

    Attributes:
        offer: Its offer, in which it is the DTLS client.
        heard: What has come.
        sctp: Its association, once it is connected.
        ssrc: Of what it sends.
    """

    def __init__(
        self, identity: Identity, random: Random, *, data: bool = False, host: str | None = None
    ) -> None:
        self._local = None if host is None else (host, 0)
        self.heard = Heard()
        self.sctp = ThinSctp(self.send_data, random)
        self.ssrc = random.getrandbits(32)
        self._random = random
        self._identity = identity
        self._ufrag, self._password = (
            f"{random.getrandbits(48):012x}",
            f"{random.getrandbits(128):032x}",
        )
        self.offer = self._write_offer(data=data)
        self.sequence, self.timestamp = random.getrandbits(16), random.getrandbits(32)
        self._answer: Answer
        self._transport: asyncio.DatagramTransport | None = None
        self._checked, self._connected = asyncio.Event(), asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._consent: asyncio.TimerHandle | None = None
        self.dtls: Dtls

    async def open(self, answer: str) -> None:
        """Take an answer and open a socket."""
        self._answer = Answer.parse(answer)
        self.dtls = Dtls(self._identity, DtlsRole.CLIENT, self._answer.fingerprints)
        self._transport = await self._socket()

    async def check(self) -> None:
        """Have a check answered, and go on checking from then on."""
        pause = FIRST_RETRANSMISSION
        async with asyncio.timeout(LIMIT):
            while not self._checked.is_set():
                self.send(self.binding())
                try:
                    async with asyncio.timeout(pause):
                        await self._checked.wait()
                except TimeoutError:
                    pause *= 2
        self._keep_consent()

    async def shake_hands(self) -> None:
        """Do the DTLS handshake.

        Raises:
            ConnectionError: It failed.
        """
        self.say_hello()
        async with asyncio.timeout(LIMIT):
            await self._connected.wait()
        if self.dtls.state is not State.CONNECTED:
            raise ConnectionError(f"DTLS: {self.dtls.failure or self.dtls.state.name}")

    def say_hello(self) -> None:
        """Send the first flight of the handshake."""
        self._send_all(self.dtls.begin())
        self._schedule()

    async def connect(self, answer: str) -> None:
        """All steps."""
        await self.open(answer)
        await self.check()
        await self.shake_hands()

    async def rebind(self) -> None:
        """Go on from another port, as behind a NAT that has forgotten this one; nothing is checked.

        Call `check` for that.
        """
        former, self._transport = self._transport, await self._socket()
        if former is not None:
            former.close()
        self._stop_checking()

    def restart(self, fragment: str) -> None:
        """Take new ICE credentials from a fragment of SDP; DTLS and SRTP go on."""
        ufrag, password = (
            re.findall(rf"a={name}:(\S+)", fragment)[0] for name in ("ice-ufrag", "ice-pwd")
        )
        self._answer = replace(self._answer, ufrag=ufrag, password=password)
        self._stop_checking()

    def close(self, *, goodbye: bool) -> None:
        """Close the socket, with or without a word to the server."""
        if self._transport is None:
            return
        if goodbye:
            self._send_all(self.dtls.close())
        for handle in (self._timer, self._consent):
            if handle is not None:
                handle.cancel()
        self._transport.close()
        self._transport = None

    def binding(self, *extra: tuple[int, bytes]) -> bytes:
        """A check that the server must answer, with more attributes if wanted."""
        attributes = (
            (Attribute.USERNAME, f"{self._answer.ufrag}:{self._ufrag}".encode()),
            (Attribute.PRIORITY, bytes((0x6E, 0, 1, 0xFF))),
            (Attribute.ICE_CONTROLLING, bytes(8)),
            (Attribute.USE_CANDIDATE, b""),
            *extra,
        )
        transaction = self._random.randbytes(12)
        message = Message(MessageClass.REQUEST, BINDING, transaction, attributes)
        return message.serialize(self._answer.password.encode())

    def send(self, datagram: bytes) -> None:
        """Send a datagram as it is."""
        if self._transport is not None:
            self._transport.sendto(datagram)

    def send_rtp(self, packet: bytes) -> None:
        """Encrypt and send what claims to be RTP."""
        assert self.dtls.srtp is not None
        self.send(self.dtls.srtp.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """Encrypt and send what claims to be RTCP."""
        assert self.dtls.srtp is not None
        self.send(self.dtls.srtp.protect_rtcp(packet))

    def send_data(self, packet: bytes) -> None:
        """Encrypt and send what claims to be SCTP."""
        self._send_all(self.dtls.send(packet))

    def speak(self, payload: bytes, payload_type: int = OPUS, step: int = 960) -> None:
        """Send the next packet of audio; `step` is how long it is, in ticks of its clock."""
        head = bytes((0x80, payload_type)) + self.sequence.to_bytes(2, "big")
        head += self.timestamp.to_bytes(4, "big") + self.ssrc.to_bytes(4, "big")
        self.skip(step)
        self.send_rtp(head + payload)

    def skip(self, step: int = 960) -> None:
        """Lose the next packet of audio."""
        self.sequence = self.sequence + 1 & 0xFFFF
        self.timestamp = self.timestamp + step & 0xFFFFFFFF

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
        """Take a datagram, by its first byte (RFC 7983)."""
        match data[0] if data else 255:
            case first if first < 4:
                self._take_stun(data)
            case first if 20 <= first < 64:
                self._take_dtls(data)
            case first if 128 <= first < 192:
                self._take_media(data)

    def error_received(self, exc: Exception) -> None:
        """The server is gone, or full: whoever waits for it runs into his limit."""

    def _take_stun(self, data: bytes) -> None:
        try:
            message = Message.parse(data)
        except StunError:
            return
        if message.message_class is MessageClass.SUCCESS:
            self._checked.set()

    def _take_dtls(self, data: bytes) -> None:
        received = self.dtls.receive(data)
        self._send_all(received.send)
        for packet in received.data:
            self.sctp.receive(packet)
        if self.dtls.state not in (State.NEW, State.HANDSHAKE):
            self._connected.set()
        self._schedule()

    def _take_media(self, data: bytes) -> None:
        if self.dtls.srtp is None:
            return
        is_rtcp = len(data) > 1 and 192 <= data[1] < 224
        clear = self.dtls.srtp.unprotect_rtcp(data) if is_rtcp else self.dtls.srtp.unprotect(data)
        if clear is None:
            self.heard.broken += 1
        elif is_rtcp:
            self.heard.rtcp += 1
        else:
            self.heard.rtp += 1
            self.heard.last = [*self.heard.last[-49:], clear]

    async def _socket(self) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=self._local, remote_addr=self._answer.address
        )
        return transport

    def _stop_checking(self) -> None:
        if self._consent is not None:
            self._consent.cancel()
        self._checked.clear()

    def _keep_consent(self) -> None:
        self.send(self.binding())
        self._consent = asyncio.get_running_loop().call_later(CONSENT, self._keep_consent)

    def _schedule(self) -> None:
        """Have the handshake's last flight sent again when it is due."""
        if self._timer is not None:
            self._timer.cancel()
        timeout = self.dtls.timeout()
        if timeout is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(timeout, 0.01), self._retransmit)

    def _retransmit(self) -> None:
        self._send_all(self.dtls.retransmit())
        self._schedule()

    def _send_all(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self.send(datagram)

    def _write_offer(self, *, data: bool) -> str:
        algorithm, digest = self._identity.fingerprint
        transport = (
            f"a=ice-ufrag:{self._ufrag}\na=ice-pwd:{self._password}\n"
            f"a=fingerprint:{algorithm} {digest}\na=setup:active\n"
        )
        session = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
        group = "a=group:BUNDLE 0 1\n" if data else "a=group:BUNDLE 0\n"
        sections = [_AUDIO, _DATA] if data else [_AUDIO]
        text = session + group + "".join(section + transport for section in sections)
        return text.replace("\n", "\r\n")
