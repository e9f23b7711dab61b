"""The pool of transceivers: the placement of sessions on them, and what comes of it."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Self, TypeVar

from aiohttp import ClientWebSocketResponse

from relay.config.registry import Transceiver
from relay.errors import SignalingError
from relay.wire.route import Target
from relay.wire.transport import Candidate
from signaling.callid import join_call_id, split_call_id
from signaling.control import ControlClient, Session
from signaling.errors import (
    BusyError,
    CallBrokeError,
    CrowdError,
    NoTransceiverError,
    SessionNotFoundError,
    SlowError,
    UnavailableError,
    UnreachableError,
)
from signaling.members import Members, PoolConfig, name_of
from signaling.offerspans import UNTRACED, OfferSpans
from signaling.placement import ANYWHERE, Near
from signaling.session import NO_SETUP, Setup

# An offer on which several transceivers broke is not shown to all the others.
_MOST_BROKEN = 2

#: What comes of looking for a transceiver.
PLACED, NO_TRANSCEIVER, BROKE, CROWD, ABANDONED, REJECTED = PLACEMENTS = (
    *("placed", "no_transceiver", "broke", "crowd", "abandoned", "rejected"),
)

_REFUSED = {
    CallBrokeError: "broke",
    UnreachableError: "unreachable",
    SlowError: "slow",
    BusyError: "busy",
    CrowdError: "crowd",
}
_OTHERWISE = "other"
#: Why a transceiver does not take what it is asked for.
REFUSALS = (*_REFUSED.values(), _OTHERWISE)

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a transceiver has taken.

    Attributes:
        id: Its id, as clients see it.
        answer: The SDP answer.
    """

    id: str
    answer: str


class TransceiverPool:
    """Places sessions on transceivers.

    Use it as an asynchronous context manager.

    Args:
        transceivers: Those of the registry; those without a control API are left out.
        random: The source of randomness of placement.
        config: Intervals and time-outs.

    Attributes:
        members: The transceivers.
        placements: What came of each look for a transceiver, of `PLACEMENTS`.
        refusals: Transceivers that did not take what they were asked for, by why, of `REFUSALS`.
    """

    def __init__(
        self, transceivers: Iterable[Transceiver], *, random: Random, config: PoolConfig
    ) -> None:
        self.members = Members(transceivers, random=random, config=config)
        self.placements: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self._timeout = config.placement_timeout
        self._orphans: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Poll every transceiver once, then go on polling in the background."""
        await self.members.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self._finish()
        finally:
            await self.members.__aexit__(*exc_info)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Count what comes of a look for a transceiver."""
        result = REJECTED  # by its caller's own fault
        try:
            yield
            result = PLACED
        except NoTransceiverError:
            result = NO_TRANSCEIVER
            raise
        except CallBrokeError:
            result = BROKE
            raise
        except CrowdError:
            result = CROWD
            raise
        except asyncio.CancelledError:
            result = ABANDONED
            raise
        finally:
            self.placements[result] += 1

    async def place(
        self,
        offer: str,
        candidates: Sequence[Candidate],
        client: str,
        negotiated: int | None = None,
        setup: Setup = NO_SETUP,
        *,
        near: Near = ANYWHERE,
        spans: OfferSpans | None = None,
    ) -> Call:
        """Have an offer answered by a transceiver; when one cannot, by another.

        When this is cancelled, or takes too long, the call that may come of it is hung up.

        Args:
            offer: The client's SDP.
            candidates: What the answer tells of the relays, the preferred one first.
            client: Whose offer it is.
            negotiated: The stream of the events channel, if the client opens it without a message.
            setup: Its session, model and principal.
            near: Where it wants to be.
            spans: Its trace, if it has one.

        Raises:
            NoTransceiverError: None could within `placement_timeout`.
            OfferRejectedError: No transceiver can answer this offer.
            CallBrokeError: Transceivers failed on it.
            CrowdError: Too many calls of this client are not connected yet.
        """

        def ask(control: ControlClient, headers: Mapping[str, str]) -> Awaitable[Session]:
            return control.create(offer, candidates, client, negotiated, setup, headers=headers)

        placing = asyncio.create_task(self._place(ask, setup.principal, near, spans))
        with self._counted():
            try:
                async with asyncio.timeout(self._timeout):
                    return await asyncio.shield(placing)
            except TimeoutError:
                self._abandon(placing)
                raise self._too_slow("answered the offer") from None
            except asyncio.CancelledError:
                self._abandon(placing)
                raise

    async def _place(
        self,
        ask: Callable[[ControlClient, Mapping[str, str]], Awaitable[Session]],
        principal: str | None,
        near: Near,
        spans: OfferSpans | None,
    ) -> Call:
        target, session = await self._ask(ask, near, spans)
        if principal is not None:
            self.members.note_principal(target, principal)
        return Call(join_call_id(target, session.id), session.sdp)

    async def converse(self, setup: Setup, *, transcribes: bool = False) -> ClientWebSocketResponse:
        """Open a session without WebRTC on a transceiver, chosen as for a call.

        Its arguments are those of `ControlClient.converse`.

        Raises:
            NoTransceiverError: None could within `placement_timeout`.
            ModelRejectedError: There is no such model.
            CallBrokeError: Transceivers failed on it.
        """
        with self._counted():
            try:
                async with asyncio.timeout(self._timeout):
                    target, socket = await self._ask(
                        lambda control, _: control.converse(setup, transcribes=transcribes)
                    )
            except TimeoutError:
                raise self._too_slow("took the session") from None
            if setup.principal is not None:
                self.members.note_principal(target, setup.principal)
            return socket

    def _too_slow(self, what: str) -> NoTransceiverError:
        limit = self._timeout
        return NoTransceiverError(f"no transceiver {what} within {limit} s", 1)

    async def _ask(
        self,
        question: Callable[[ControlClient, Mapping[str, str]], Awaitable[Answer]],
        near: Near = ANYWHERE,
        spans: OfferSpans | None = None,
    ) -> tuple[Target, Answer]:
        """Ask a transceiver for a new session; when it cannot, another one.

        Args:
            question: What is asked of the control API of one that is chosen, with these headers.
            near: Where it should be.
            spans: The trace of whom it is for, if he has one.

        Raises:
            NoTransceiverError: None could.
            CallBrokeError: Transceivers failed on it.
            CrowdError: Too many calls of this client are not connected yet.
        """
        tried: dict[Target, UnavailableError] = {}
        while (target := await self.members.choose(tried, near)) is not None:
            control = self.members.begin_session(target)
            try:
                with spans.asking(str(target)) if spans is not None else UNTRACED as headers:
                    return target, await question(control, headers)
            except UnavailableError as error:
                tried[target] = error
                self._judge(target, error)
                broken = [each for each in tried.values() if isinstance(each, CallBrokeError)]
                if len(broken) >= _MOST_BROKEN:
                    break
        raise self._failure(list(tried.values()))

    def _judge(self, target: Target, error: UnavailableError) -> None:
        """Take note of a transceiver that did not take a call: only its health takes it out."""
        self.refusals[_REFUSED.get(type(error), _OTHERWISE)] += 1
        if isinstance(error, BusyError):
            return
        _log.warning("transceiver %s did not take a call: %s", name_of(target), error)
        if isinstance(error, UnreachableError):
            self.members.begin_refresh()

    def _abandon(self, placing: asyncio.Task[Call]) -> None:
        """Hang up what comes of an offer for whose answer nobody waits any more."""
        orphan = asyncio.create_task(self._hang_up_later(placing))
        self._orphans.add(orphan)
        orphan.add_done_callback(self._orphans.discard)

    async def _hang_up_later(self, placing: asyncio.Task[Call]) -> None:
        with contextlib.suppress(SignalingError):  # of whoever ended by himself nothing is left
            call = await placing
            await self.hang_up(call.id)

    async def _finish(self) -> None:
        """Hang up what is abandoned; the time-outs of control APIs bound it."""
        await asyncio.gather(*self._orphans, return_exceptions=True)

    def _failure(self, refusals: Sequence[UnavailableError]) -> SignalingError:
        """Why nobody took an offer, from what each said who was asked."""
        busy = [each for each in refusals if isinstance(each, BusyError)]
        if refusals and all(isinstance(each, CrowdError) for each in refusals):
            return refusals[-1]
        if busy:
            return _full(min(each.retry_after for each in busy))
        if broken := [each for each in refusals if isinstance(each, CallBrokeError)]:
            return broken[-1]
        if refusals:
            return NoTransceiverError("no transceiver answered the offer", 1)
        if self.members.reachable:
            return _full(2)
        return NoTransceiverError(
            f"none of the {self.members.size} transceivers in the registry is reachable", 2
        )

    async def hang_up(self, call_id: str, *, kept: bool = False) -> dict[str, Any]:
        """End a call and return its final statistics.

        Args:
            call_id: Which.
            kept: Whether its client goes on with the conversation in another call.

        Raises:
            SessionNotFoundError: There is no such call, or it has ended.
            CallBrokeError: Its transceiver failed to end it.
            UnreachableError: Its transceiver did not answer in time.
        """
        control, session_id = self.control_of(call_id)
        return await control.delete(session_id, kept=kept)

    def control_of(self, call_id: str) -> tuple[ControlClient, str]:
        """The control API of a call's transceiver, and the transceiver's id of the call.

        Raises:
            SessionNotFoundError: The registry has no such transceiver.
        """
        parts = split_call_id(call_id)
        control = self.members.control(parts[0]) if parts is not None else None
        if parts is None or control is None:
            raise SessionNotFoundError(f"{call_id} names no transceiver of the registry")
        return control, parts[1]


def _full(retry_after: int) -> NoTransceiverError:
    return NoTransceiverError("every transceiver is full, draining or behind", retry_after)
