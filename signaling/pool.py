"""The pool of transceivers: their health and load, and the placement of sessions on them.

Health is polled in the background, so that a request only looks it up.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Self

import aiohttp

from relay.config.registry import Transceiver
from relay.wire.route import Target
from relay.wire.transport import Candidate
from signaling.callid import join_call_id, split_call_id
from signaling.control import ControlClient
from signaling.errors import (
    BusyError,
    NoTransceiverError,
    SessionNotFoundError,
    UnavailableError,
    UnreachableError,
)
from signaling.placement import Load, choose_transceiver

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """Intervals and time-outs of a pool, in seconds.

    Attributes:
        poll_interval: Between two health checks of a transceiver.
        poll_timeout: Of a health check.
        control_timeout: Of any other request to a control API.
        placement_timeout: For finding a transceiver that answers an offer, over all attempts.
    """

    poll_interval: float = 1.0
    poll_timeout: float = 1.0
    control_timeout: float = 3.0
    placement_timeout: float = 5.0


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
    """

    def __init__(
        self, transceivers: Iterable[Transceiver], *, random: Random, config: PoolConfig
    ) -> None:
        self._controls = {each.target: each.control for each in transceivers if each.control}
        self._random = random
        self._config = config
        self._loads: dict[Target, Load] = {}
        self._reported_down: set[Target] = set()
        self._clients: dict[Target, tuple[ControlClient, ControlClient]] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Poll every transceiver once, then go on polling in the background."""
        async with contextlib.AsyncExitStack() as stack:
            # Each call being placed is a request of its own; aiohttp's default is 100 at a time.
            connector = aiohttp.TCPConnector(limit=0)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            for target, url in self._controls.items():
                self._clients[target] = (
                    ControlClient(http, url, timeout=self._config.poll_timeout),
                    ControlClient(http, url, timeout=self._config.control_timeout),
                )
            await asyncio.gather(*map(self._poll, self._clients))
            tasks = [asyncio.create_task(self._keep_polling(target)) for target in self._clients]
            stack.push_async_callback(_cancel_all, tasks)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def size(self) -> int:
        """The number of transceivers with a control API in the registry."""
        return len(self._controls)

    @property
    def reachable(self) -> int:
        """How many of them answered their last health check."""
        return len(self._loads)

    @property
    def with_room(self) -> int:
        """How many of the reachable ones take new sessions."""
        return sum(load.has_room for load in self._loads.values())

    async def place(self, offer: str, candidates: Sequence[Candidate]) -> Call:
        """Have an offer answered by a transceiver; when one cannot, by another.

        Raises:
            NoTransceiverError: None could within `placement_timeout`.
            OfferRejectedError: No transceiver can answer this offer.
        """
        try:
            async with asyncio.timeout(self._config.placement_timeout):
                return await self._place(offer, candidates)
        except TimeoutError:
            raise NoTransceiverError(
                f"no transceiver answered the offer within {self._config.placement_timeout} s", 1
            ) from None

    async def _place(self, offer: str, candidates: Sequence[Candidate]) -> Call:
        tried: dict[Target, UnavailableError] = {}
        while (target := choose_transceiver(self._loads, self._random, tried=tried)) is not None:
            self._loads[target] = self._loads[target].with_new_session()
            try:
                session = await self._clients[target][1].create(offer, candidates)
            except UnavailableError as error:
                tried[target] = error
                if isinstance(error, UnreachableError):
                    self._mark_unreachable(target, error)
            else:
                return Call(join_call_id(target, session.id), session.sdp)
        raise self._no_transceiver(tried.values())

    def _no_transceiver(self, refusals: Collection[UnavailableError]) -> NoTransceiverError:
        waits = [each.retry_after for each in refusals if isinstance(each, BusyError)]
        if self._loads or waits:
            return NoTransceiverError(
                "every transceiver is full or draining", min(waits, default=2)
            )
        return NoTransceiverError(
            f"none of the {self.size} transceivers in the registry is reachable", 2
        )

    async def hang_up(self, call_id: str) -> dict[str, Any]:
        """End a call and return its final statistics.

        Raises:
            SessionNotFoundError: There is no such call, or it has ended.
            UnreachableError: Its transceiver did not answer in time.
        """
        parts = split_call_id(call_id)
        if parts is None or parts[0] not in self._clients:
            raise SessionNotFoundError(f"{call_id} names no transceiver of the registry")
        target, session_id = parts
        return await self._clients[target][1].delete(session_id)

    async def _keep_polling(self, target: Target) -> None:
        while True:
            await asyncio.sleep(self._config.poll_interval)
            await self._poll(target)

    async def _poll(self, target: Target) -> None:
        try:
            self._loads[target] = await self._clients[target][0].health()
        except UnreachableError as error:
            self._mark_unreachable(target, error)
        else:
            if target in self._reported_down:
                self._reported_down.discard(target)
                _log.info("transceiver %s is reachable again", _name(target))

    def _mark_unreachable(self, target: Target, error: UnreachableError) -> None:
        """Place nothing there until it answers again; log once per outage."""
        self._loads.pop(target, None)
        if target not in self._reported_down:
            self._reported_down.add(target)
            _log.warning("transceiver %s is unreachable: %s", _name(target), error)


def _name(target: Target) -> str:
    return f"{target.cluster}/{target.slot}/{target.generation}"


async def _cancel_all(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
