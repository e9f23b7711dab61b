"""All calls of a transceiver: taking offers, time-outs, ending."""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from relay.supervision import Faults, Supervisor
from relay.tracing.span import Tracer, WallClock
from relay.wire.keys import KeyRing
from relay.wire.route import NONCE_SIZE, Target, mint
from relay.wire.transport import Candidate
from transceiver.admission import Admission, Place
from transceiver.backend import NOTHING_WANTED, BackendFactory, Wanted
from transceiver.call import Call
from transceiver.callspans import Told
from transceiver.clock import Clock
from transceiver.dtls import Identity
from transceiver.endings import ending
from transceiver.ledger import Ledger
from transceiver.mux import Mux
from transceiver.parts import Surroundings
from transceiver.plan import Credentials
from transceiver.quality import Quality
from transceiver.records import brief_of, record_of
from transceiver.sdp import read_offer
from transceiver.steps import Steps

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 1.0  # seconds between two looks at the time-outs of calls
_TIMEOUTS = "time-outs of sessions"  # the task that looks at them
# A session may roam to a new flow at any time of its life, so its route outlives any call. What a
# ufrag can do ends with the session: the mux forgets it.
ROUTE_LIFETIME = 24 * 3600.0  # seconds
PASSWORD_BYTES = 18  # 24 base64 characters; RFC 8445 wants at least 22 (128 random bits)
#: Seconds after which new calls get a new certificate. It is made before a call needs it.
IDENTITY_LIFETIME = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What signaling asks for.

    Attributes:
        sdp: The client's offer.
        candidates: The only candidates of the answer, the preferred one first.
        client: Whose offer it is.
        negotiated: The stream of the events channel, if the client opens it without a message.
        wanted: Of the back end.
        told: Of which trace it is, where somebody says so.
    """

    sdp: str
    candidates: Sequence[Candidate]
    client: str | None = None
    negotiated: int | None = None
    wanted: Wanted = NOTHING_WANTED
    told: Told | None = None


class Calls:
    """The calls of this transceiver.

    Args:
        mux: The shared socket.
        keys: Sign the routes in ufrags.
        target: This transceiver, where the routes lead.
        capacity: The most calls at a time.
        backend: Creates the backend of a call.
        ledger: Told of each call that begins, and that has ended; nobody without one.
        call_id: How clients know a call, by its id here.
        tracer: Makes spans of set-ups; None where nobody wants them.
        supervisor: Whose background tasks are beside theirs; None for one of their own.

    Attributes:
        admission: Who has a place.
        clock: Gives calls their turns.
        steps: How long set-ups take.
        quality: How calls sound.
        begun: How many there have been.
        ended: How many have ended, by why; see `transceiver.endings`.
        faults: What has raised.
        supervisor: The same.
    """

    def __init__(
        self,
        mux: Mux,
        keys: KeyRing,
        target: Target,
        *,
        capacity: int,
        backend: BackendFactory,
        ledger: Ledger | None = None,
        call_id: Callable[[str], str] = str,
        tracer: Tracer | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.admission = Admission(capacity, mux.backlog)
        self.clock = Clock(mux.send_many, mux.backlog.note_turn)
        self.steps = Steps()
        self.quality = Quality()
        self.begun = 0
        self.ended: Counter[str] = Counter()
        self.supervisor = supervisor or Supervisor(Faults(logger))
        self.faults = self.supervisor.faults
        self._mux = mux
        self._keys = keys
        self._target = target
        self._backend = backend
        self._ledger = ledger
        self._call_id = call_id
        self._tracer = tracer
        self._calls: dict[str, Call] = {}
        self._renew_identity()
        self._around = Surroundings(
            mux,
            self.clock,
            self.faults,
            self.steps,
            self.quality,
            self._credentials,
            lambda: self._identity,
        )

    def open(self) -> None:
        """Look after the calls' time-outs from now on, on the running loop."""
        self.supervisor.start(_TIMEOUTS, self._look, essential=True, every=LOOK_INTERVAL)

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    def load(self) -> dict[str, Any]:
        """What signaling places calls by: taken places, all places, and whether none is given."""
        now = self._mux.clock()
        return {
            "sessions": self.admission.taken(now),
            "capacity": self.admission.capacity,
            "draining": self.admission.draining,
            "behind": self.admission.behind(now),
        }

    def closed(self) -> str | None:
        """Why no session is taken now, however many places there are; None if one is."""
        return self.admission.closed(self._mux.clock())

    def of_principals(self) -> dict[str, int]:
        """Of the taken places, how many each principal has."""
        return self.admission.taken_by(self._mux.clock())

    def get(self, call_id: str) -> Call | None:
        """A call by its id."""
        return self._calls.get(call_id)

    def create(self, request: CallRequest) -> tuple[Call, str]:
        """Create a call; returns it and the SDP answer.

        Raises:
            OfferError: The offer cannot be answered.
            ModelError: No back end is what the client asks for.
            FullError: At capacity, draining, or behind.
        """
        offer = read_offer(request.sdp)
        place = self.admission.take(request.client, self._mux.clock(), request.wanted.principal)
        try:
            call = self._new(request, place)
        except BaseException:
            place.release()
            raise
        try:
            answer = call.answer(offer)
        except BaseException:
            call.end("its offer was refused")
            raise
        self._calls[call.id] = call
        if self._tracer is not None:
            call.trace(self._tracer, request.told, WallClock(time.time(), self._mux.clock()))
        self.begun += 1
        if self._ledger is not None:
            self._ledger.began(brief_of(*self._told_of(call)))
        return call, answer

    def _new(self, request: CallRequest, place: Place) -> Call:
        call_id = f"rtc_{secrets.token_urlsafe(18)}"
        backend = self._backend(call_id, request.wanted)
        return Call(
            call_id,
            self._around,
            request.candidates,
            backend,
            place,
            ended=self._forget,
            negotiated=request.negotiated,
            wanted=request.wanted,
        )

    def end(self, call_id: str, *, kept: bool = False) -> dict[str, Any] | None:
        """End a call; returns its final statistics, None if there is no such call.

        Args:
            call_id: Which.
            kept: Whether its client calls again and goes on with what it was saying.
        """
        call = self._calls.get(call_id)
        if call is None:
            return None
        call.end("lost by its client" if kept else "hung up", kept=kept)
        return call.stats()

    async def close(self) -> None:
        """Take no new calls, and end all."""
        self.admission.draining = True
        if _TIMEOUTS in self.supervisor.states():
            await asyncio.gather(self.supervisor.end(_TIMEOUTS), return_exceptions=True)
        for call in self:
            call.end("the transceiver stops", kept=True)
        self.clock.close()

    def _forget(self, call: Call) -> None:
        was_taken = self._calls.pop(call.id, None) is not None  # its offer was not refused
        if was_taken:
            self.ended[ending(call.stats()["reason"])] += 1
        if was_taken and self._ledger is not None:
            self._ledger.ended(record_of(*self._told_of(call)))

    def _told_of(self, call: Call) -> tuple[Mapping[str, Any], str, str, float]:
        return call.stats(), self._call_id(call.id), str(self._target), time.time()

    async def _look(self) -> None:
        """Look at the time-outs of all calls, one that breaks ends alone, and at what waits."""
        if news := self._mux.backlog.news(self._mux.clock()):
            logger.warning("%s", news)
        if time.monotonic() - self._renewed >= IDENTITY_LIFETIME:
            self._renew_identity()
        for number, call in enumerate(self):
            if number % 16 == 15:
                await asyncio.sleep(0)  # others have their turns in between
            try:
                call.look(self._mux.clock())
            except Exception as error:  # noqa: BLE001  # whatever it is, it is of this call
                self._mux.counters.count("session_broke")
                self.faults.note("a session", error)
                call.end("it broke", kept=True)

    def _renew_identity(self) -> None:
        self._identity = Identity.generate(datetime.now(UTC))
        self._renewed = time.monotonic()

    def _credentials(self) -> Credentials:
        nonce = secrets.token_bytes(NONCE_SIZE)
        route = mint(
            self._target, self._keys, now=time.time(), lifetime=ROUTE_LIFETIME, nonce=nonce
        )
        return Credentials(route.ufrag, random_password())


def random_password() -> str:
    """A random ICE password, of characters that ICE allows."""
    return secrets.token_urlsafe(PASSWORD_BYTES).replace("-", "+").replace("_", "/")
