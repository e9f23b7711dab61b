"""One client's call, from its offer to its end.

A call has no task and no timer of its own: it acts where a datagram arrives, in its turn of the
clock, and when `Calls` looks at its time-outs. Whatever raises there is of this call alone: it
costs the packet, the message or the frame, and the part or the call when it goes on raising.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from relay.tracing.span import Tracer, WallClock
from relay.wire.transport import Candidate
from transceiver.admission import Place, Stage
from transceiver.backend import NOTHING_WANTED, Backend, Channel, Wanted
from transceiver.callspans import PATIENCE, CallSpans, Told
from transceiver.clock import Datagram
from transceiver.consent import CONSENT_LIFETIME
from transceiver.endings import ending
from transceiver.parts import Parts, Surroundings
from transceiver.sdp import Offer
from transceiver.srtp import PROFILES

logger = logging.getLogger(__name__)

#: WebSockets on which somebody looks on at the events of a call, or takes part in them.
MAX_ONLOOKERS = 8
#: So often a part of a call may raise before it is given up.
MAX_FAULTS = 10


class Onlooker(Channel, Protocol):
    """A channel of events that is none of the client's."""

    def close(self) -> None:
        """The call has ended."""


class Call:
    """A call.

    Args:
        call_id: Names it in the control API.
        around: What all calls share.
        candidates: The candidates of its answers, the preferred one first.
        backend: What answers the client.
        place: Its place in the transceiver.
        ended: Called when it has ended.
        negotiated: The stream of the events channel, if the client opens it without a message.
        wanted: What its client wants of the back end.

    Attributes:
        state: ``new``, ``connected`` or ``ended``.
        setup_seconds: From the offer to the end of the DTLS handshake.
    """

    def __init__(
        self,
        call_id: str,
        around: Surroundings,
        candidates: Sequence[Candidate],
        backend: Backend,
        place: Place,
        *,
        ended: Callable[["Call"], None] = lambda _: None,
        negotiated: int | None = None,
        wanted: Wanted = NOTHING_WANTED,
    ) -> None:
        self.id = call_id
        self.state = "new"
        self.setup_seconds: float | None = None
        self._around = around
        self._mux = around.mux
        self._backend = backend
        self._wanted = wanted
        self._place = place
        self._ended = ended
        self._started = self._alive = self._mux.clock()
        self._steps = around.steps.of_call(self._started)
        self._quality = around.quality.of_call()
        self._broken: Counter[str] = Counter()
        self._parts = Parts(around, candidates, backend, negotiated)
        self._final: dict[str, Any] | None = None
        self._onlookers: list[Onlooker] = []
        self._spans: CallSpans | None = None
        place.belongs_to(self._give_up)

    def answer(self, offer: Offer) -> str:
        """Answer the first or a later offer.

        Raises:
            OfferError: It cannot be used; nothing has changed then.
            MissingCodecError: This machine has no libopus.
        """
        text = self._parts.answer(offer, self)
        self._steps.take("answer", self._mux.clock())
        self._begin_parts()
        return text

    def trace(self, tracer: Tracer, told: Told | None, clock: WallClock) -> None:
        """Make spans of its set-up once that is over; it has been answered.

        Args:
            tracer: Makes them.
            told: What its request says of the trace that it belongs to.
            clock: Unix time.
        """
        ufrag = self._parts.transports[0].agent.credentials.ufrag
        self._spans = CallSpans.of(tracer, ufrag, told, clock)

    def _tell_spans(self, now: float, reason: str | None = None) -> None:
        """Tell of its set-up, if that is over; `reason` is why the call has ended."""
        taken = {step: self._started + each for step, each in self._steps.taken.items()}
        moments = {**taken, **self._parts.moments}
        wanted = {"dtls"} | ({"first_audio", "first_sound"} if self._parts.voice else set())
        over = wanted <= moments.keys() or now - self._started >= PATIENCE
        if self._spans is not None and (over or reason is not None):
            spans, self._spans = self._spans, None
            spans.tell(self._started, moments, now, ending(reason) if reason else "")

    @property
    def ice_session(self) -> str | None:
        """Names the ICE session of now; see `Parts.ice_session`."""
        return self._parts.ice_session

    def restart(self, ufrag: str, password: str) -> str | None:
        """Restart ICE; see `Parts.restart`.

        Raises:
            OfferError: That is not possible; nothing has changed.
        """
        return self._parts.restart(ufrag, password)

    def _begin_parts(self) -> None:
        """Begin what can begin, and stop what was ended."""
        if self._parts.begin():
            self._around.clock.join(self)
        else:
            self._around.clock.leave(self)

    # --- of transports ---

    def reached(self) -> None:
        """See `transport.Listener`."""
        self._steps.take("first_check", self._mux.clock())
        if self._place.stage is Stage.OFFERED:
            self._place.stage = Stage.CHECKED

    def connected(self) -> None:
        """See `transport.Listener`."""
        if self.state == "ended":
            return
        if self._parts.lacks_srtp:
            # It would go on without a sound (RFC 5764, section 4.1: media needs a profile).
            known = ", ".join(each.name.decode() for each in PROFILES)
            self.end(f"DTLS failed: no SRTP profile in common; a client may offer {known}")
            return
        self._begin_parts()
        if self.state == "new" and self._parts.are_connected:
            now = self._mux.clock()
            self.state = "connected"
            self._place.stage = Stage.CONNECTED
            self._steps.take("dtls", now)
            self.setup_seconds = round(now - self._started, 3)
            stats = self.stats()
            logger.info(
                "session %s connected in %.3f s: client %s, path %s",
                self.id,
                self.setup_seconds,
                stats["client"] or "not announced",
                stats["path"],
            )

    def closed(self, reason: str) -> None:
        """See `transport.Listener`."""
        self.end(reason)

    def rtp(self, packet: bytes, now: float) -> None:
        """See `transport.Listener`."""
        voice = self._parts.voice
        if voice is None or self._parts.plan.audio is None:
            self._mux.counters.count("media_without_audio")
            return
        if voice.heard_at is None:
            self._steps.take("first_audio", now)
        voice.receive_rtp(packet, now)

    def rtcp(self, packet: bytes, now: float) -> None:
        """See `transport.Listener`."""
        if self._parts.voice is not None:
            self._mux.send_many(self._parts.voice.receive_rtcp(packet, now))

    def data(self, packet: bytes) -> None:
        """See `transport.Listener`."""
        if self._parts.association is not None:
            self._parts.association.receive(packet)

    # --- of the clock ---

    def tick(self, now: float, out: list[Datagram]) -> None:
        """See `clock.Member`."""
        if self._parts.voice is not None:
            self._parts.voice.tick(now, out)

    def tick_broke(self, error: Exception) -> None:
        """See `clock.Member`."""
        self.broke("audio", error)

    # --- of the association ---

    def channel(self, channel: Channel) -> None:
        """See `sctp.Receiver`."""
        self._steps.take("first_channel", self._mux.clock())
        self._contained("back end", lambda: self._backend.channel(channel))

    def message(self, channel: Channel, message: str | bytes) -> None:
        """See `sctp.Receiver`."""
        self._contained("back end", lambda: self._backend.message(channel, message))

    def malformed(self, channel: Channel, why: str) -> None:
        """See `sctp.Receiver`."""
        self._mux.counters.count("message_malformed")
        self._contained("back end", lambda: self._backend.error(channel, why))

    def data_broke(self, error: Exception) -> None:
        """See `sctp.Receiver`."""
        self.broke("data", error)

    # --- of those that look on ---

    def attach(self, onlooker: Onlooker) -> bool:
        """Let somebody take part in its events; False if too many do, or it has ended."""
        if self.state == "ended" or len(self._onlookers) >= MAX_ONLOOKERS:
            return False
        self._onlookers.append(onlooker)
        self._contained("back end", lambda: self._backend.look_on(onlooker))
        return True

    def detach(self, onlooker: Onlooker) -> None:
        """He does not any more; again is fine."""
        if onlooker in self._onlookers:
            self._onlookers.remove(onlooker)

    # --- faults ---

    def _contained(self, part: str, action: Callable[[], None]) -> None:
        """Do something that may raise; that costs this, and no more."""
        try:
            action()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is of this call
            self.broke(part, error)

    def broke(self, part: str, error: Exception) -> None:
        """Take note of what a part has raised, and give up one that goes on raising."""
        self._around.faults.note(f"{part} of a session", error)
        self._mux.counters.count("session_part_broke")
        self._broken[part] += 1
        if self._broken[part] != MAX_FAULTS:
            return
        self._mux.counters.count("session_broke")
        if part == "data":
            self._parts.end_data()
            return
        reason = f"its {part} broke"
        self._contained("back end", lambda: self._backend.error(None, f"the call ends: {reason}"))
        self.end(reason, kept=True)

    # --- time and end ---

    def look(self, now: float) -> None:
        """Look at the time-outs; to be called about once a second."""
        if self._quality.is_due and self._parts.voice is not None:
            self._quality.observe(self._parts.voice.stats())
        if self._spans is not None:
            self._contained("spans", lambda: self._tell_spans(now))
        checks = []
        for transport in self._parts.transports:
            transport.look(now)
            checks.append(transport.agent.last_check or self._started)
        if (reason := self._place.overdue(now)) is not None:
            self._give_up(reason)
            return
        # Some publishers neither check nor answer. Without consent they get nothing more, but their
        # media, which SRTP authenticates, shows that they are there.
        heard = self._parts.voice.heard_at if self._parts.voice is not None else None
        self._alive = max(self._alive, heard or self._started, *checks)
        if now - self._alive >= CONSENT_LIFETIME:
            self.end("consent lost", kept=True)

    def _give_up(self, reason: str) -> None:
        """Nobody comes; but who goes on with a conversation may try once more."""
        self.end(reason, kept=self._wanted.resume is not None)

    def end(self, reason: str, *, kept: bool = False) -> None:
        """End the call, now; again is fine.

        Args:
            reason: Why, in words.
            kept: Whether its client may call again and go on with what it was saying.
        """
        if self.state == "ended":
            return
        if self._spans is not None:
            self._contained("spans", lambda: self._tell_spans(self._mux.clock(), reason))
        stats = self.stats()
        self._quality.count(stats["audio"])
        self.state = "ended"
        self._final = stats | {"state": "ended", "reason": reason}
        self._place.release()
        self._around.clock.leave(self)
        self._contained("audio", self._say_goodbye)
        self._contained("data", self._parts.end_data)
        self._contained("back end", lambda: self._backend.close(kept=kept))
        while self._onlookers:
            self._onlookers.pop().close()
        transports = self._parts.transports
        for transport in transports:
            self._contained("transport", transport.close)
        self._parts.release()
        self._ended(self)
        if not transports:
            return  # there was no call: its offer was refused
        logger.info(
            "session %s ended: %s; client %s, %.1f s, RTP received %d, lost %d, sent %d, "
            "lost by the client's report %s",
            self.id,
            reason,
            stats["client"] or stats["path"],
            stats["age_seconds"],
            *stats["rtp"].values(),
        )

    def _say_goodbye(self) -> None:
        voice = self._parts.voice
        goodbye = voice and voice.goodbye(self._mux.clock())
        if goodbye:
            self._mux.send(*goodbye)

    def stats(self) -> dict[str, Any]:
        """The statistics, as the control API shows them; after the end, the last ones."""
        if self._final is not None:
            return self._final
        transports = self._parts.transports
        agents = (each.agent for each in transports)
        agent = next((each for each in agents if each.selected), None)
        audio = self._parts.voice.stats() if self._parts.voice is not None else {}
        association = self._parts.association
        return {
            "id": self.id,
            "principal": self._wanted.principal,
            "region": self._wanted.region,
            "model": self._wanted.model,
            "ufrag": transports[0].agent.credentials.ufrag if transports else None,
            "state": self.state,
            "client": str(agent.announced.client) if agent and agent.announced else None,
            "path": str(agent.selected) if agent else None,
            "rtp": {
                "received": audio.get("received", 0),
                "lost": audio.get("lost", 0),
                "sent": audio.get("sent", 0),
                "lost_by_client": audio.get("lost_by_client"),
            },
            "setup_seconds": self.setup_seconds,
            "age_seconds": round(self._mux.clock() - self._started, 3),
            "steps": self._steps.as_dict(),
            "audio": audio,
            "backend": self._backend.stats(),
            "data": dict(association.counts) if association is not None else {},
        }
