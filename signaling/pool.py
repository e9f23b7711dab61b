"""The pool of transceivers: their health and load, and the placement of sessions on them.

Health is polled in the background, so that a request only looks it up; it is asked anew where the
last word was that everybody is full. Every answer of a transceiver tells its load, so that a call
that was refused, failed or hung up has given its place back before the client knows.
"""

import asyncio
import contextlib
import functools
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import ClientWebSocketResponse

from relay.config.registry import Transceiver
from relay.errors import SignalingError
from relay.supervision import Supervisor
from relay.wire.route import Target
from relay.wire.transport import Candidate
from signaling.callid import join_call_id, split_call_id
from signaling.control import ControlClient, Session
from signaling.errors import (
    BusyError,
    CallBrokeError,
    CrowdError,
    IllError,
    NoTransceiverError,
    SessionNotFoundError,
    SlowError,
    UnavailableError,
    UnreachableError,
)
from signaling.placement import ANYWHERE, Load, Near, choose_transceiver
from signaling.session import NO_SETUP, Setup

# An offer on which several transceivers broke is not shown to all the others.
_MOST_BROKEN = 2
# A health check that took too long may be of a busy transceiver, with calls that others offer it.
_MOST_SLOW = 2
_KEEP_ALIVE = 3.0  # seconds that a connection may wait for another request; polls use one

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """Intervals and time-outs of a pool, in seconds.

    Attributes:
        poll_interval: Between two health checks of a transceiver.
        poll_timeout: Of a health check.
        control_timeout: Of any other request to a control API.
        placement_timeout: For finding a transceiver that answers an offer, over all attempts.
        fresh: For so long a load that says "full" is believed; then it is asked for again.
    """

    poll_interval: float = 1.0
    poll_timeout: float = 1.0
    control_timeout: float = 3.0
    placement_timeout: float = 5.0
    fresh: float = 0.1


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
    """Polls the load of transceivers and places sessions on them.

    Args:
        transceivers: Those of the registry; those without a control API are left out.
        random: The source of randomness of placement.
        config: Intervals and time-outs.

    Attributes:
        placements: What came of each look for a transceiver, of `PLACEMENTS`.
        refusals: Transceivers that did not take what they were asked for, by why, of `REFUSALS`.
    """

    def __init__(
        self, transceivers: Iterable[Transceiver], *, random: Random, config: PoolConfig
    ) -> None:
        self.placements: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self._known: dict[Target, Transceiver] = {}
        self._regions: dict[Target, str | None] = {}
        self._take(transceivers)
        self._random = random
        self._config = config
        self._loads: dict[Target, Load] = {}
        self._reported_down: set[Target] = set()
        self._slow: Counter[Target] = Counter()  # checks that took too long, since an answer
        self._clients: dict[Target, tuple[ControlClient, ControlClient]] = {}
        self._supervisor = Supervisor()
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = -math.inf
        self._orphans: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Poll every transceiver once, then go on polling in the background."""
        self._supervisor.faults.guard(asyncio.get_running_loop(), alone=False)
        async with contextlib.AsyncExitStack() as stack:
            # Each call being placed is a request of its own; aiohttp's default is 100 at a time.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            self._http = http
            stack.push_async_callback(self._supervisor.stop)
            stack.push_async_callback(self._finish)
            for each in self._known.values():
                self._add(each, http)
            await asyncio.gather(*map(self._poll, self._clients))
            self._stack = stack.pop_all()
        return self

    def update(self, transceivers: Iterable[Transceiver]) -> None:
        """Take these transceivers in place of those that there were."""
        before = self._known
        self._take(transceivers)
        if self._http is None:
            return
        for target, each in before.items():
            if self._known.get(target) != each:
                self._remove(target)
        for target, each in self._known.items():
            if before.get(target) != each:
                self._add(each, self._http)
                self._begin_refresh()

    def _take(self, transceivers: Iterable[Transceiver]) -> None:
        self._known = {each.target: each for each in transceivers if each.control}
        self._regions = {target: each.region for target, each in self._known.items()}

    def _add(self, transceiver: Transceiver, http: aiohttp.ClientSession) -> None:
        target, url = transceiver.target, transceiver.control or ""
        self._clients[target] = (
            ControlClient(http, url, timeout=self._config.poll_timeout),
            ControlClient(
                http,
                url,
                timeout=self._config.control_timeout,
                report=functools.partial(self._take_load, target),
            ),
        )
        self._supervisor.start(
            f"poll {_name(target)}",
            functools.partial(self._poll, target),
            essential=False,
            every=self._config.poll_interval,
        )

    def _remove(self, target: Target) -> None:
        del self._clients[target], self._slow[target]
        self._loads.pop(target, None)
        self._reported_down.discard(target)
        self._supervisor.end(f"poll {_name(target)}")

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def failing(self) -> list[str]:
        """The background tasks that fail now."""
        states = self._supervisor.states()
        return [name for name, task in states.items() if task["state"] == "failing"]

    @property
    def size(self) -> int:
        """The number of transceivers with a control API in the registry."""
        return len(self._known)

    @property
    def reachable(self) -> int:
        """How many of them answered their last health check."""
        return len(self._loads)

    @property
    def controls(self) -> dict[Target, ControlClient]:
        """The control APIs of the reachable ones."""
        return {target: self._clients[target][1] for target in self._loads}

    @property
    def with_room(self) -> int:
        """How many of the reachable ones take new sessions."""
        return sum(load.has_room for load in self._loads.values())

    @property
    def draining(self) -> int:
        """How many of the reachable ones finish their sessions and take no new ones."""
        return sum(load.draining for load in self._loads.values())

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

        Raises:
            NoTransceiverError: None could within `placement_timeout`.
            OfferRejectedError: No transceiver can answer this offer.
            CallBrokeError: Transceivers failed on it.
            CrowdError: Too many calls of this client are not connected yet.
        """

        def ask(control: ControlClient) -> Awaitable[Session]:
            return control.create(offer, candidates, client, negotiated, setup)

        placing = asyncio.create_task(self._place(ask, setup.principal, near))
        with self._counted():
            try:
                async with asyncio.timeout(self._config.placement_timeout):
                    return await asyncio.shield(placing)
            except TimeoutError:
                self._abandon(placing)
                raise self._too_slow("answered the offer") from None
            except asyncio.CancelledError:
                self._abandon(placing)
                raise

    async def _place(
        self,
        ask: Callable[[ControlClient], Awaitable[Session]],
        principal: str | None,
        near: Near,
    ) -> Call:
        target, session = await self._ask(ask, near)
        if principal is not None and target in self._loads:
            self._loads[target] = self._loads[target].with_session_of(principal)
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
                async with asyncio.timeout(self._config.placement_timeout):
                    _, socket = await self._ask(
                        lambda control: control.converse(setup, transcribes=transcribes)
                    )
            except TimeoutError:
                raise self._too_slow("took the session") from None
            return socket

    def _too_slow(self, what: str) -> NoTransceiverError:
        limit = self._config.placement_timeout
        return NoTransceiverError(f"no transceiver {what} within {limit} s", 1)

    async def _ask(
        self, question: Callable[[ControlClient], Awaitable[Answer]], near: Near = ANYWHERE
    ) -> tuple[Target, Answer]:
        """Ask a transceiver for a new session; when it cannot, another one.

        Args:
            question: What is asked of the control API of one that is chosen.
            near: Where it should be.

        Raises:
            NoTransceiverError: None could.
            CallBrokeError: Transceivers failed on it.
            CrowdError: Too many calls of this client are not connected yet.
        """
        tried: dict[Target, UnavailableError] = {}
        while (target := await self._choose(tried, near)) is not None:
            self._loads[target] = self._loads[target].with_new_session()
            try:
                return target, await question(self._clients[target][1])
            except UnavailableError as error:
                tried[target] = error
                self._judge(target, error)
                broken = [each for each in tried.values() if isinstance(each, CallBrokeError)]
                if len(broken) >= _MOST_BROKEN:
                    break
        raise self._failure(list(tried.values()))

    async def _choose(self, tried: Collection[Target], near: Near) -> Target | None:
        """Choose a transceiver; where all are full, by what they say now."""
        choose = functools.partial(
            choose_transceiver, self._loads, self._random, tried=tried, near=near
        )
        target = choose(regions=self._regions)
        if target is None and any(not load.draining for load in self._loads.values()):
            await self.refresh()
            target = choose(regions=self._regions)
        return target

    def calls_of(self, principal: str) -> int:
        """How many calls a principal has at the transceivers that are reachable."""
        return sum((load.principals or {}).get(principal, 0) for load in self._loads.values())

    async def refresh(self) -> None:
        """Ask all transceivers for their loads, before what they said is held against somebody."""
        await asyncio.shield(self._begin_refresh())

    def _begin_refresh(self) -> asyncio.Task[None]:
        """Ask all transceivers for their loads, once for all who want it and seldom in all."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return self._refreshing

    async def _refresh(self) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._refreshed + self._config.fresh - clock())
        # What breaks in one also breaks in its own task, which takes note of it.
        await asyncio.gather(*map(self._poll, self._clients), return_exceptions=True)
        self._refreshed = clock()

    def _judge(self, target: Target, error: UnavailableError) -> None:
        """Take note of a transceiver that did not take a call: only its health takes it out."""
        self.refusals[_REFUSED.get(type(error), _OTHERWISE)] += 1
        if isinstance(error, BusyError):
            return
        _log.warning("transceiver %s did not take a call: %s", _name(target), error)
        if isinstance(error, UnreachableError):
            self._begin_refresh()

    def _take_load(self, target: Target, load: Load) -> None:
        """Believe what an answer says of the load, of a transceiver that is not known to be ill."""
        del self._slow[target]
        if target in self._loads:
            self._loads[target] = load.following(self._loads[target])

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
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

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
        if self._loads:
            return _full(2)
        return NoTransceiverError(
            f"none of the {self.size} transceivers in the registry is reachable", 2
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
        if parts is None or parts[0] not in self._clients:
            raise SessionNotFoundError(f"{call_id} names no transceiver of the registry")
        target, session_id = parts
        return self._clients[target][1], session_id

    async def _poll(self, target: Target) -> None:
        control, _ = self._clients[target]
        try:
            load = await control.health()
            if not self._is_known(target, control):
                return
            self._loads[target] = load
            del self._slow[target]
        except IllError as error:
            if not self._is_known(target, control):
                return
            self._slow[target] += 1
            if not error.slow or self._slow[target] >= _MOST_SLOW or target not in self._loads:
                self._mark_ill(target, error)
        except Exception:
            self._loads.pop(target, None)  # what it was says nothing of what it is
            raise
        else:
            if target in self._reported_down:
                self._reported_down.discard(target)
                _log.info("transceiver %s is reachable again", _name(target))

    def _is_known(self, target: Target, control: ControlClient) -> bool:
        """Whether it is still that transceiver, and not gone or another meanwhile."""
        return target in self._clients and self._clients[target][0] is control

    def _mark_ill(self, target: Target, error: IllError) -> None:
        """Place nothing there until it answers again; log once per outage."""
        self._loads.pop(target, None)
        if target not in self._reported_down:
            self._reported_down.add(target)
            _log.warning("transceiver %s is unreachable: %s", _name(target), error)


def _full(retry_after: int) -> NoTransceiverError:
    return NoTransceiverError("every transceiver is full or draining", retry_after)


def _name(target: Target) -> str:
    return f"{target.cluster}/{target.slot}/{target.generation}"
