"""What a call is made of, by the plan of its last offer: transports, audio, data channels."""

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from relay.supervision import Faults
from relay.wire.transport import Candidate
from relay.wire.transport import Transport as Reached
from transceiver.backend import Backend
from transceiver.clock import Clock
from transceiver.datachannel import Receiver
from transceiver.dtls import Identity
from transceiver.errors import OfferError
from transceiver.media.audiopath import AudioPath
from transceiver.mux import Mux
from transceiver.plan import Credentials, DataPlan, DtlsRole, Plan
from transceiver.quality import Quality
from transceiver.sctp import MAX_MESSAGE_SIZE, PORT, Association
from transceiver.sdp import Local, Offer, check_credentials, fragment_of, restarted
from transceiver.steps import Steps
from transceiver.transport import MAX_RESTARTS, CredentialSource, Listener, Transport
from transceiver.voice import Voice

#: What we are in the DTLS handshake when the client leaves the choice.
ROLE = DtlsRole.SERVER
_NOTHING = Plan((), None, None)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all calls of a transceiver share.

    Attributes:
        mux: The shared socket.
        clock: Gives calls their turns.
        faults: Notes what raises.
        steps: Counts how long set-ups take.
        quality: Counts how calls sound.
        credentials: Makes a new ufrag and password on each call.
        identity: The certificate of new calls.
    """

    mux: Mux
    clock: Clock
    faults: Faults
    steps: Steps
    quality: Quality
    credentials: CredentialSource
    identity: Callable[[], Identity]


class Owner(Listener, Receiver, Protocol):
    """Whose parts they are."""

    def broke(self, part: str, error: Exception) -> None:
        """A part has raised what it should not."""


@dataclass(slots=True)
class _Change:
    """What an offer changes, made before its answer is written.

    Attributes:
        transports: All transports of the call.
        restarts: New credentials by the index of the transport.
        voice: The audio; None without.
        association: The data channels; None without.
    """

    transports: list[Transport]
    restarts: dict[int, Credentials]
    voice: Voice | None
    association: Association | None


class Parts:
    """The parts of a call.

    Args:
        around: What all calls share.
        candidates: The candidates of its answers, the preferred one first.
        backend: What hears and speaks.
        negotiated: The stream of the events channel, if the client opens it without a message.

    Attributes:
        plan: Of the last offer.
        transports: By their index in the plan.
        voice: The audio; None without. It stays when the client takes its section away, for its
            counts and because it may come again.
        association: The data channels; None without.
    """

    def __init__(
        self,
        around: Surroundings,
        candidates: Sequence[Candidate],
        backend: Backend,
        negotiated: int | None,
    ) -> None:
        self.plan = _NOTHING
        self.transports: list[Transport] = []
        self.voice: Voice | None = None
        self.association: Association | None = None
        self._around = around
        self._candidates = tuple(candidates)
        self._backend = backend
        self._negotiated = negotiated
        self._identity = around.identity()
        self._answer: str | None = None
        self._former: deque[str] = deque(maxlen=MAX_RESTARTS)  # ufrags that the client has given up
        self._random = secrets.SystemRandom()
        self._session_id, self._ssrc = secrets.randbits(62), secrets.randbits(32)
        self._cname = secrets.token_hex(8)  # RFC 7022

    @property
    def are_connected(self) -> bool:
        """Whether all transports in use have done their handshake."""
        used = {each.transport for each in (self.plan.audio, self.plan.data) if each}
        return all(self.transports[each].is_connected for each in used)

    @property
    def lacks_srtp(self) -> bool:
        """Whether there is audio on a transport whose handshake has agreed on no SRTP."""
        return self._lacks_srtp(self.plan)

    def _lacks_srtp(self, plan: Plan) -> bool:
        known = {index for index, each in enumerate(self.transports) if each.is_without_srtp}
        return plan.audio is not None and plan.audio.transport in known

    def answer(self, offer: Offer, owner: Owner) -> str:
        """Answer the first or a later offer.

        Args:
            offer: The offer.
            owner: Gets what comes. New parts keep it, and nothing else here does: with them goes
                all that would hold on to it.

        Raises:
            OfferError: It cannot be used; nothing has changed then.
            MissingCodecError: This machine has no libopus.
        """
        previous = self.plan if self.plan is not _NOTHING else None
        plan = offer.plan(previous, role=ROLE)
        if self._lacks_srtp(plan):
            raise OfferError(
                "the handshake of this call has agreed on no SRTP: make a new call for audio"
            )
        change = self._prepare(plan, owner)
        try:
            text = offer.answer(plan, self._local(plan, change), self._answer)
            self._apply(plan, change)
        except BaseException:
            self._drop(change)
            raise
        self.plan, self._answer = plan, text
        return text

    @property
    def ice_session(self) -> str | None:
        """Names the ICE session of now: our ufrag, which each restart changes; None without one."""
        used = self.plan.audio or self.plan.data
        return self.transports[used.transport].agent.credentials.ufrag if used else None

    def restart(self, ufrag: str, password: str) -> str | None:
        """Restart ICE for a client that changes nothing else (RFC 9725, section 4.3.3).

        Args:
            ufrag: The client's new one.
            password: The client's new one.

        Returns:
            The ICE of our answer, as a fragment of SDP. None when nothing has changed: the client
            has these credentials already, or has given them up in a restart, and says so late.

        Raises:
            OfferError: That is not possible; nothing has changed.
        """
        check_credentials(ufrag, password, "the fragment")
        used = {each.transport for each in (self.plan.audio, self.plan.data) if each}
        if len(used) != 1 or self._answer is None:
            raise OfferError(
                "the sections of this call are not bundled: make a new call in place of a restart",
                "not_bundled",
            )
        (index,) = used
        before, transport = self.plan.transports[index], self.transports[index]
        client = Credentials(ufrag, password)
        if client == before.client or ufrag in self._former:
            return None
        former, credentials = transport.agent.credentials, transport.new_credentials()
        transport.restart(credentials, client)
        transports = list(self.plan.transports)
        transports[index] = replace(before, ufrag=ufrag, password=password)
        self.plan = replace(self.plan, transports=tuple(transports))
        self._former.append(before.ufrag)
        self._answer = restarted(self._answer, former, credentials)
        announced = transport.agent.announced
        return fragment_of(self._answer, announced.transport if announced else Reached.UDP)

    def _prepare(self, plan: Plan, owner: Owner) -> _Change:
        """Make what is new, without touching what is there."""
        known = len(self.transports)
        change = _Change(list(self.transports), {}, self.voice, self.association)
        try:
            for index, (now, then) in enumerate(
                zip(plan.transports, self.plan.transports, strict=False)
            ):
                if now.client != then.client:
                    change.restarts[index] = self.transports[index].new_credentials()
            for each in plan.transports[known:]:
                change.transports.append(
                    Transport(
                        self._around.mux,
                        owner,
                        self._around.credentials,
                        self._identity,
                        each,
                    )
                )
            if plan.audio is not None and change.voice is None:
                path = AudioPath(
                    plan.audio,
                    ssrc=self._ssrc,
                    cname=self._cname,
                    random=self._random,
                    now=self._around.mux.clock(),
                )
                transport = change.transports[plan.audio.transport]
                change.voice = Voice(path, transport, self._backend, owner.broke)
            if plan.data is not None and change.association is None:
                transport = change.transports[plan.data.transport]
                change.association = Association(
                    transport.role, transport.send_data, owner, self._negotiated
                )
        except BaseException:
            self._drop(change)
            raise
        return change

    def _drop(self, change: _Change) -> None:
        """Undo what `_prepare` has made."""
        for index, credentials in change.restarts.items():
            self.transports[index].drop_credentials(credentials)
        for transport in change.transports[len(self.transports) :]:
            transport.close()

    def _local(self, plan: Plan, change: _Change) -> Local:
        return Local(
            credentials=tuple(
                change.restarts.get(index, transport.agent.credentials)
                for index, transport in enumerate(change.transports)
            ),
            candidates=self._candidates,
            fingerprint=self._identity.fingerprint,
            session_id=self._session_id,
            version=1,
            ssrc=self._ssrc,
            cname=self._cname,
            max_message_size=MAX_MESSAGE_SIZE,
            sctp_port=PORT,
            sctp_init=change.association.init if plan.data and change.association else None,
        )

    def _apply(self, plan: Plan, change: _Change) -> None:
        if plan.audio is not None and self.voice is not None:
            transport = change.transports[plan.audio.transport]
            self.voice.update(plan.audio, transport, self._around.mux.clock())
        for index, credentials in change.restarts.items():
            self.transports[index].restart(credentials, plan.transports[index].client)
        self.transports = change.transports
        self.voice = change.voice
        self.association = change.association
        if self.association is not None:
            if plan.data is not None:
                self.association.limit(plan.data)
            else:
                self.end_data()

    @property
    def moments(self) -> dict[str, float]:
        """When the client first nominated a path, and was first sent sound, as far as it was."""
        nominated = (each.agent.nominated_at for each in self.transports)
        found = {
            "nominated": min((at for at in nominated if at is not None), default=None),
            "first_sound": self.voice.spoke_at if self.voice is not None else None,
        }
        return {name: at for name, at in found.items() if at is not None}

    def begin(self) -> bool:
        """Begin what has a connected transport; returns whether the audio has turns from now on."""
        audio, data = self.plan.audio, self.plan.data
        association = self.association
        if data is not None and association is not None and not association.has_begun:
            self._begin_data(association, data)
        return audio is not None and self.transports[audio.transport].is_connected

    def _begin_data(self, association: Association, data: DataPlan) -> None:
        if self.transports[data.transport].is_connected:
            association.begin(data)

    def release(self) -> None:
        """Let go of all parts: their memory is free now, and not when somebody looks for cycles."""
        self.transports = []
        self.voice = self.association = None

    def end_data(self) -> None:
        """End the association; a later offer may begin another one."""
        association, self.association = self.association, None
        if association is not None:
            association.end()
