"""One transport of a call: ICE, DTLS and SRTP over the shared socket.

Each datagram is dealt with where it arrives: there is no queue, task or thread. What comes out goes
to a `Listener`, in clear.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from relay.wire.endpoint import Endpoint
from transceiver.dtls import Dtls, Identity, State
from transceiver.errors import OfferError
from transceiver.ice import RESTART_GRACE, IceAgent
from transceiver.mux import Mux
from transceiver.plan import Credentials, DtlsRole, TransportPlan

if TYPE_CHECKING:
    from transceiver.srtp import Srtp

# Some clients drop a ClientHello that comes before they have nominated a path, and OpenSSL would
# repeat it only after 1 s. Whoever has it already ignores a repeated record (RFC 6347, 4.1.2.6).
FIRST_FLIGHT_REPEATS = (0.05, 0.1, 0.2, 0.4)  # seconds between, until the client answers
#: The same for later flights, which get lost as well: longer than most round trips.
FLIGHT_REPEATS = (0.3,)
_MEDIA = range(128, 192)  # first bytes of RTP and RTCP (RFC 7983)
_RTCP = range(192, 224)  # second bytes of RTCP (RFC 5761, section 4)

# Restarts of one transport within `RESTART_GRACE`: each keeps its old ufrag so long.
MAX_RESTARTS = 8

CredentialSource = Callable[[], Credentials]


class Listener(Protocol):
    """Whose transport it is."""

    def reached(self) -> None:
        """The client has passed a check: it can be reached."""

    def connected(self) -> None:
        """The DTLS handshake is over."""

    def closed(self, reason: str) -> None:
        """The client has ended DTLS, or the handshake has failed."""

    def rtp(self, packet: bytes, now: float) -> None:
        """An authentic RTP packet came."""

    def rtcp(self, packet: bytes, now: float) -> None:
        """An authentic RTCP packet came."""

    def data(self, packet: bytes) -> None:
        """An SCTP packet came."""


class Transport:
    """A handler of the mux.

    Args:
        mux: The shared socket.
        listener: Gets what comes.
        credentials: Makes a new ufrag and password on each call.
        identity: Our certificate.
        plan: What the offer says of the transport.

    Attributes:
        agent: Its ICE agent.
        srtp: For media, once it is connected.
    """

    def __init__(
        self,
        mux: Mux,
        listener: Listener,
        credentials: CredentialSource,
        identity: Identity,
        plan: TransportPlan,
    ) -> None:
        self._mux = mux
        self._listener = listener
        self._make_credentials = credentials
        self._retired: dict[str, asyncio.TimerHandle] = {}  # ufrags of before a restart
        self.agent = IceAgent(self.new_credentials(), plan.client)
        self._dtls = Dtls(identity, plan.role, plan.fingerprints)
        self.srtp: Srtp | None = None
        self._loop = asyncio.get_running_loop()
        self._reached = self._closed = False
        self._timeout: asyncio.TimerHandle | None = None  # of OpenSSL
        self._repeat: asyncio.TimerHandle | None = None  # of a flight

    @property
    def role(self) -> DtlsRole:
        """What we are in the DTLS handshake."""
        return self._dtls.role

    @property
    def is_connected(self) -> bool:
        """Whether the DTLS handshake is over, and the client has not ended it."""
        return self._dtls.state is State.CONNECTED

    @property
    def is_without_srtp(self) -> bool:
        """Whether it is connected, and can never carry media."""
        return self.is_connected and self._dtls.srtp is None

    def new_credentials(self) -> Credentials:
        """Credentials that already lead here.

        Raises:
            OfferError: There were so many lately that they are not a client's who has moved.
        """
        if len(self._retired) >= MAX_RESTARTS:
            raise OfferError(
                f"ICE was restarted {MAX_RESTARTS} times within {RESTART_GRACE:.0f} s: wait",
                "too_many_restarts",
            )
        while True:  # a ufrag has 32 random bits: two sessions may draw the same
            credentials = self._make_credentials()
            if self._mux.bind(credentials.ufrag, self):
                return credentials

    def drop_credentials(self, credentials: Credentials) -> None:
        """Give up credentials that nobody was told."""
        self._mux.unbind(credentials.ufrag, self)

    def restart(self, credentials: Credentials, client: Credentials) -> None:
        """Go on with new credentials of ours and the client's; the old ones stay valid a while."""
        old = self.agent.credentials.ufrag
        self.agent.restart(credentials, self._mux.clock(), client)
        self._retired[old] = self._loop.call_later(RESTART_GRACE, self._forget, old)

    def _forget(self, ufrag: str) -> None:
        del self._retired[ufrag]
        self._mux.unbind(ufrag, self)

    def look(self, now: float) -> None:
        """Look at the time-outs of ICE; to be called each second."""
        self._mux.execute(self, self.agent.expire(now))
        self._mux.execute(self, self.agent.ask(now, os.urandom(12)))

    def datagram(self, data: bytes, source: Endpoint) -> None:
        """Take DTLS or media."""
        if data[0] in _MEDIA:
            self._media(data, source)
        else:
            self._handshake(data, source)

    def reachable(self) -> None:
        """The first path lets DTLS start."""
        if self._reached:
            return
        self._reached = True
        self._listener.reached()
        if not self._closed and self._dtls.role is DtlsRole.CLIENT:
            self._send_flight(self._dtls.begin(), FIRST_FLIGHT_REPEATS)
            self._schedule()

    def send_data(self, packet: bytes) -> None:
        """Encrypt and send an SCTP packet."""
        now = self._mux.clock()
        if self.agent.destination(now) is None:
            self._mux.counters.count("no_consent")
            return
        for datagram in self._dtls.send(packet):
            self._transmit(datagram)

    def protected(self, packet: bytes, now: float) -> tuple[bytes, Endpoint] | None:
        """An RTP packet as it is to be sent, and where to; None if it cannot be sent now."""
        return self._addressed(self.srtp.protect(packet), now) if self.srtp else None

    def protected_rtcp(self, packet: bytes, now: float) -> tuple[bytes, Endpoint] | None:
        """The same of an RTCP packet."""
        return self._addressed(self.srtp.protect_rtcp(packet), now) if self.srtp else None

    def close(self) -> None:
        """End DTLS, and leave the mux; again is fine."""
        if self._closed:
            return
        self._closed = True
        for datagram in self._dtls.close():
            self._transmit(datagram)
        for handle in (self._timeout, self._repeat, *self._retired.values()):
            if handle is not None:
                handle.cancel()
        self._mux.release(self)

    def _media(self, data: bytes, source: Endpoint) -> None:
        if self.srtp is None:
            self._mux.counters.count("media_before_dtls")
            return
        if len(data) > 1 and data[1] in _RTCP:
            packet = self.srtp.unprotect_rtcp(data)
            receive = self._listener.rtcp
        else:
            packet = self.srtp.unprotect(data)
            receive = self._listener.rtp
        if packet is None:
            self._mux.counters.count("media_not_authentic")
            return
        now = self._mux.clock()
        self._mux.execute(self, self.agent.heard(source, now))
        receive(packet, now)

    def _handshake(self, data: bytes, source: Endpoint) -> None:
        before = self._dtls.state
        if self._repeat is not None:
            self._repeat.cancel()
        received = self._dtls.receive(data)
        after = self._dtls.state
        if before is not State.CONNECTED or after is not before or received.data:
            self._mux.execute(self, self.agent.heard(source, self._mux.clock()))
        if before is not after and after is State.CONNECTED:
            self.agent.prove(source)  # before our last flight, which nothing may hold up
        self._send_flight(received.send, FLIGHT_REPEATS)
        self._schedule()
        if before is not after:
            self._changed()
        for packet in received.data:
            self._listener.data(packet)

    def _changed(self) -> None:
        match self._dtls.state:
            case State.CONNECTED:
                self.srtp = self._dtls.srtp
                self._listener.connected()
            case State.FAILED:
                self._listener.closed(f"DTLS failed: {self._dtls.failure}")
            case State.CLOSED:
                self._listener.closed("closed by the client")

    def _schedule(self) -> None:
        """Wait for what OpenSSL waits for."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
        seconds = self._dtls.timeout()
        if seconds is not None and not self._closed:
            self._timeout = self._loop.call_later(seconds, self._retransmit)

    def _retransmit(self) -> None:
        self._timeout = None
        before = self._dtls.state
        self._send_flight(self._dtls.retransmit(), ())
        self._schedule()
        if before is not self._dtls.state:
            self._changed()

    def _send_flight(self, datagrams: list[bytes], repeats: tuple[float, ...]) -> None:
        for datagram in datagrams:
            self._transmit(datagram)
        if datagrams and self._dtls.state is State.HANDSHAKE:
            self._repeat_later(datagrams, repeats)

    def _repeat_later(self, datagrams: Iterable[bytes], delays: tuple[float, ...]) -> None:
        """Send a flight again, until something of the client comes."""

        def repeat() -> None:
            for datagram in datagrams:
                self._transmit(datagram)
            self._repeat_later(datagrams, delays[1:])

        if delays and not self._closed:
            self._repeat = self._loop.call_later(delays[0], repeat)

    def _transmit(self, datagram: bytes) -> None:
        addressed = self._addressed(datagram, self._mux.clock())
        if addressed is not None:
            self._mux.send(*addressed)

    def _addressed(self, datagram: bytes, now: float) -> tuple[bytes, Endpoint] | None:
        """A datagram and where it is to go; None, and counted why, if the client may not get it."""
        destination = self.agent.spend(datagram, now)
        if destination is not None:
            return datagram, destination
        lost = self.agent.destination(now) is None
        self._mux.counters.count("no_consent" if lost else "unproven")
        return None
