"""The peer connection of a session. The only module that touches aiortc's private names.

tests/transceiver/test_peer.py holds those names against the aiortc that is installed.
"""

from collections.abc import Sequence
from typing import cast

import aiortc.rtp
from aiortc import (
    RTCBundlePolicy,
    RTCCertificate,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCIceTransport,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcdtlstransport import SRTPProtectionProfile
from aiortc.rtp import is_rtcp
from av import AudioFrame
from OpenSSL import SSL

from relay.wire.audiolevel import audio_level
from relay.wire.transport import Candidate
from transceiver.errors import OfferError
from transceiver.mux import Mux
from transceiver.passthrough import PassThroughBuffer
from transceiver.rtp import RtpCounters
from transceiver.sdp import Offer
from transceiver.transport import CredentialSource, LiteTransport

# What aiortc raises on SDP that passed our checks and is still not for it.
_AIORTC_ERRORS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    StopIteration,
    TypeError,
    ValueError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)

# aiortc's own list has ECDSA only, and as DTLS client we must take the certificate that the
# server has: GStreamer 1.22 has an RSA one. All give forward secrecy; AEAD first.
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


class Certificate(RTCCertificate):
    """A certificate of ours, with which RSA peers can talk too."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(_CIPHERS)
        return context


class CountingDtlsTransport(RTCDtlsTransport):
    """Counts RTP where it is authenticated and not yet encrypted."""

    def __init__(self, transport: LiteTransport, certificate: RTCCertificate) -> None:
        super().__init__(cast("RTCIceTransport", transport), [certificate])
        self.counters = RtpCounters()

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        self.counters.received_rtp(data)
        await super()._handle_rtp_data(data, arrival_time_ms)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        self.counters.received_rtcp(data)
        await super()._handle_rtcp_data(data)

    async def _send_rtp(self, data: bytes) -> None:
        await super()._send_rtp(data)
        if not is_rtcp(data):
            self.counters.sent_rtp(data)


class Peer(RTCPeerConnection):
    """An aiortc peer connection whose transports are ours.

    Args:
        mux: The shared socket.
        candidates: The candidates of the answer.
        credentials: Makes a new ufrag and password on each call.
        bundled: Whether all media sections share one transport.
    """

    def __init__(
        self,
        mux: Mux,
        candidates: Sequence[Candidate],
        credentials: CredentialSource,
        *,
        bundled: bool,
    ) -> None:
        policy = RTCBundlePolicy.MAX_BUNDLE if bundled else RTCBundlePolicy.MAX_COMPAT
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=policy))
        self.transports: list[LiteTransport] = []
        self.dtls_transports: list[CountingDtlsTransport] = []
        self._mux = mux
        self._candidates = candidates
        self._credentials = credentials
        self._certificate = Certificate.generateCertificate()
        self._remote_credentials: tuple[str, str] | None = None

    async def answer(self, offer: Offer) -> str:
        """Take an offer, the first one or a new one of the same client, and answer it.

        New ICE credentials in a later offer are an ICE restart: the answer has new ones too,
        DTLS and SRTP stay.

        Raises:
            OfferError: aiortc cannot use the offer.
        """
        restarts = self._remote_credentials not in (None, offer.credentials)
        try:
            await self.setRemoteDescription(RTCSessionDescription(offer.accepted, "offer"))
            if restarts:
                for transport in self.transports:
                    transport.restart()
            self._take_buffers()
            await self.setLocalDescription()
        except _AIORTC_ERRORS as error:
            raise OfferError(f"the offer cannot be used: {error!r}") from error
        self._remote_credentials = offer.credentials
        return offer.answer(self.localDescription.sdp)

    def _take_buffers(self) -> None:
        """Replace aiortc's jitter buffer, which adds delay and keeps what a loss adds to it."""
        for receiver in self.getReceivers():
            if not isinstance(getattr(receiver, JITTER_BUFFER), PassThroughBuffer):
                setattr(receiver, JITTER_BUFFER, PassThroughBuffer())

    def _create_dtls_transport(self) -> RTCDtlsTransport:
        transport = LiteTransport(self._mux, self._candidates, self._credentials)
        dtls = CountingDtlsTransport(transport, self._certificate)
        gathering, ice, connection = (getattr(self, name) for name in STATE_UPDATES)
        transport.iceGatherer.on("statechange", gathering)
        transport.on("statechange", ice)
        transport.on("statechange", connection)
        dtls.on("statechange", connection)
        getattr(self, ICE_TRANSPORTS).add(transport)
        getattr(self, DTLS_TRANSPORTS).add(dtls)
        self.transports.append(transport)
        self.dtls_transports.append(dtls)
        for update in (gathering, ice, connection):
            update()
        return dtls


# Python mangles names with two leading underscores by the class that defines them.
CREATE_DTLS_TRANSPORT = "_RTCPeerConnection__createDtlsTransport"
ICE_TRANSPORTS = "_RTCPeerConnection__iceTransports"
DTLS_TRANSPORTS = "_RTCPeerConnection__dtlsTransports"
STATE_UPDATES = (
    "_RTCPeerConnection__updateIceGatheringState",
    "_RTCPeerConnection__updateIceConnectionState",
    "_RTCPeerConnection__updateConnectionState",
)
JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"

setattr(Peer, CREATE_DTLS_TRANSPORT, Peer._create_dtls_transport)  # noqa: SLF001  # our own


def _audio_level(frame: AudioFrame) -> int:
    return audio_level(memoryview(frame.planes[0]), frame.samples * frame.layout.nb_channels)


# aiortc's own takes a step of Python for each sample: two thirds of what a transceiver does.
aiortc.rtp.compute_audio_level_dbov = _audio_level
