"""Sessions, from the offer to the end of the call."""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

from aiortc import MediaStreamTrack

from relay.wire.keys import KeyRing
from relay.wire.route import NONCE_SIZE, Target, mint
from relay.wire.transport import Candidate
from transceiver.backend import Backend, BackendFactory
from transceiver.errors import FullError
from transceiver.ice import CONSENT_LIFETIME, Credentials
from transceiver.mux import Mux
from transceiver.peer import Peer
from transceiver.sdp import Offer, parse_offer

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 30.0  # seconds from the answer to the end of the DTLS handshake
CLOSE_TIMEOUT = 5.0  # seconds; closing takes milliseconds unless a task inside aiortc hangs
TIMER_INTERVAL = 1.0  # seconds between two checks of a session's timers
# A session may roam to a new flow at any time of its life, so its route outlives any call. What a
# ufrag can do ends with the session: the mux forgets it.
ROUTE_LIFETIME = 24 * 3600.0  # seconds
PASSWORD_BYTES = 18  # 24 base64 characters; RFC 8445 wants at least 22 (128 random bits)


class Session:
    """One client's call.

    Args:
        session_id: Names it in the control API.
        peer: Its peer connection, not yet given the offer.
        backend: What answers the client.
        mux: The shared socket.
    """

    def __init__(self, session_id: str, peer: Peer, backend: Backend, mux: Mux) -> None:
        self.id = session_id
        self.state = "new"
        self.setup_seconds: float | None = None
        self._peer = peer
        self._backend = backend
        self._mux = mux
        self._started = mux.clock()
        self._ended = asyncio.Event()
        self._reason = ""
        self._received = 0
        self._alive = self._started  # when the client last sent something authenticated
        peer.on("connectionstatechange", self._connection_changed)
        peer.on("track", self._track_added)
        peer.on("datachannel", self._backend.channel)

    async def answer(self, offer: Offer) -> str:
        """Answer the first or a later offer.

        Raises:
            OfferError: It cannot be used.
        """
        return await self._peer.answer(offer)

    def end(self, reason: str) -> None:
        """Ask the session to end; `run` does it."""
        if not self._ended.is_set():
            self._reason = reason
            self._ended.set()

    async def run(self) -> None:
        """Check the timers until the session ends, then close it."""
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(TIMER_INTERVAL):
                    await self._ended.wait()
            except TimeoutError:
                self._check_timers()
        stats = self.stats()
        self.state = "ended"
        await self.close()
        logger.info(
            "session %s ended: %s; client %s, %.1f s, RTP received %d, lost %d, sent %d, "
            "lost by the client's report %s",
            self.id,
            self._reason,
            stats["client"] or stats["path"],
            stats["age_seconds"],
            *stats["rtp"].values(),
        )

    def stats(self) -> dict[str, Any]:
        """The statistics, as the control API shows them."""
        transport = next((t for t in self._peer.transports if t.agent.selected), None)
        agent = transport.agent if transport else None
        counters = [dtls.counters for dtls in self._peer.dtls_transports]
        return {
            "id": self.id,
            "ufrag": self._peer.transports[0].agent.credentials.ufrag,
            "state": self.state,
            "client": str(agent.client) if agent and agent.client else None,
            "path": str(agent.selected) if agent else None,
            "rtp": {
                "received": sum(c.received for c in counters),
                "lost": sum(c.lost for c in counters),
                "sent": sum(c.sent for c in counters),
                "lost_by_client": next(
                    (c.reported_lost for c in counters if c.reported_lost is not None), None
                ),
            },
            "setup_seconds": self.setup_seconds,
            "age_seconds": round(self._mux.clock() - self._started, 3),
        }

    def _track_added(self, track: MediaStreamTrack) -> None:
        self._peer.addTrack(self._backend.audio(track))

    async def close(self) -> None:
        """Release everything; a session that runs does this itself at its end."""
        self._backend.close()
        for transport in self._peer.transports:
            self._mux.release(transport)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._peer.close()
        except TimeoutError:
            logger.warning("session %s: aiortc did not close in time", self.id)

    def _connection_changed(self) -> None:
        state = self._peer.connectionState
        if state == "connected" and self.state == "new":
            self.state = "connected"
            self.setup_seconds = round(self._mux.clock() - self._started, 3)
            stats = self.stats()
            logger.info(
                "session %s connected in %.3f s: client %s, path %s",
                self.id,
                self.setup_seconds,
                stats["client"] or "not announced",
                stats["path"],
            )
        elif state == "failed":
            self.end("DTLS failed")
        elif state == "closed":
            self.end("closed by the client")

    def _check_timers(self) -> None:
        now = self._mux.clock()
        checks = []
        for transport in self._peer.transports:
            self._mux.execute(transport, transport.agent.expire(now))
            checks.append(transport.agent.last_check or self._started)
        if self.state == "new" and now - self._started >= CONNECT_TIMEOUT:
            self.end(f"not connected within {CONNECT_TIMEOUT:.0f} s")
        # Some publishers send no checks after the first. Without consent they get nothing more,
        # but their media, which SRTP authenticates, shows that they are there.
        received = sum(dtls.counters.received for dtls in self._peer.dtls_transports)
        if received != self._received:
            self._received, self._alive = received, now
        self._alive = max(self._alive, *checks)
        if now - self._alive >= CONSENT_LIFETIME:
            self.end("consent lost")


class Sessions:
    """The sessions of this transceiver.

    Args:
        mux: The shared socket.
        keys: Sign the routes in ufrags.
        target: This transceiver, where the routes lead.
        capacity: The most sessions at a time.
        backend: Creates the backend of a session.
    """

    def __init__(
        self,
        mux: Mux,
        keys: KeyRing,
        target: Target,
        *,
        capacity: int,
        backend: BackendFactory,
    ) -> None:
        self.capacity = capacity
        self.draining = False
        self._mux = mux
        self._keys = keys
        self._target = target
        self._backend = backend
        self._sessions: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting = 0  # sessions whose offer is being answered

    def __len__(self) -> int:
        return len(self._sessions) + self._starting

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def get(self, session_id: str) -> Session | None:
        """A session by its id."""
        return self._sessions.get(session_id)

    async def create(self, sdp: str, candidates: Sequence[Candidate]) -> tuple[Session, str]:
        """Create a session; returns it and the SDP answer.

        Args:
            sdp: The client's offer.
            candidates: The only candidates of the answer, the preferred one first.

        Raises:
            OfferError: The offer cannot be answered.
            FullError: At capacity, or draining.
        """
        if self.draining:
            raise FullError("the transceiver is stopping")
        if len(self) >= self.capacity:
            raise FullError(f"all {self.capacity} sessions are taken")
        offer = parse_offer(sdp)
        session_id = f"rtc_{secrets.token_urlsafe(18)}"
        peer = Peer(self._mux, candidates, self._credentials, bundled=offer.bundled)
        session = Session(session_id, peer, self._backend(session_id), self._mux)
        self._starting += 1
        try:
            answer = await session.answer(offer)
        except BaseException:
            await session.close()
            raise
        finally:
            self._starting -= 1
        self._sessions[session_id] = session
        self._tasks[session_id] = asyncio.create_task(session.run())
        self._tasks[session_id].add_done_callback(lambda _: self._forget(session_id))
        return session, answer

    async def end(self, session_id: str) -> dict[str, Any] | None:
        """End a session; returns its final statistics, None if there is no such session."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        session.end("hung up")
        await asyncio.wait({self._tasks[session_id]})
        return session.stats()

    async def close(self) -> None:
        """Take no new sessions, and end all."""
        self.draining = True
        for session in self:
            session.end("the transceiver stops")
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    def _credentials(self) -> Credentials:
        nonce = secrets.token_bytes(NONCE_SIZE)
        route = mint(
            self._target, self._keys, now=time.time(), lifetime=ROUTE_LIFETIME, nonce=nonce
        )
        return Credentials(route.ufrag, random_password())

    def _forget(self, session_id: str) -> None:
        del self._sessions[session_id], self._tasks[session_id]


def random_password() -> str:
    """A random ICE password, of characters that ICE allows."""
    return secrets.token_urlsafe(PASSWORD_BYTES).replace("-", "+").replace("_", "/")
