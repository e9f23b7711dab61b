"""The transceivers of a registry: which of them are reachable, and how loaded they are.

Polling keeps that knowledge fresh in the background, so that the request path only looks it up.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Self

import aiohttp

from relay.registry import Transceiver
from relay.wire.route import Target
from signaling.callid import join_call_id, split_call_id
from signaling.control import ControlClient
from signaling.errors import Busy, ControlFailed, NoTransceiver, SessionUnknown, Unreachable
from signaling.placement import Load, place

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long anything may take, in seconds.

    Attributes:
        poll_interval: From one question after a transceiver's health to the next.
        poll_timeout: For the answer to such a question.
        control_timeout: For any other answer of a control API.
        placing: For finding a transceiver that answers an offer, whatever they do.
    """

    poll_interval: float = 1.0
    poll_timeout: float = 1.0
    control_timeout: float = 3.0
    placing: float = 5.0


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a transceiver has taken.

    Attributes:
        id: Its id, as clients see it.
        answer: The SDP answer.
    """

    id: str
    answer: str


class Fleet:
    """Knows the transceivers' loads and places sessions on them.

    Args:
        transceivers: Those of the registry; those without a control API are left out.
        random: Where the randomness of placement comes from.
        bounds: How long anything may take.
    """

    def __init__(
        self, transceivers: Iterable[Transceiver], *, random: Random, bounds: Bounds
    ) -> None:
        self._controls = {each.target: each.control for each in transceivers if each.control}
        self._random = random
        self._bounds = bounds
        self._loads: dict[Target, Load] = {}
        self._reported_down: set[Target] = set()
        self._clients: dict[Target, tuple[ControlClient, ControlClient]] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Ask every transceiver once, then go on asking in the background."""
        async with contextlib.AsyncExitStack() as stack:
            # Every transceiver may have as many requests under way as there are calls.
            connector = aiohttp.TCPConnector(limit=0)
            http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            for target, url in self._controls.items():
                self._clients[target] = (
                    ControlClient(http, url, timeout=self._bounds.poll_timeout),
                    ControlClient(http, url, timeout=self._bounds.control_timeout),
                )
            await asyncio.gather(*map(self._poll, self._clients))
            tasks = [asyncio.create_task(self._keep_polling(target)) for target in self._clients]
            stack.push_async_callback(_cancel, tasks)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def size(self) -> int:
        """How many transceivers with a control API the registry names."""
        return len(self._controls)

    @property
    def reachable(self) -> int:
        """How many of them answered last time."""
        return len(self._loads)

    @property
    def with_room(self) -> int:
        """How many of those take new sessions."""
        return sum(load.has_room for load in self._loads.values())

    async def place(self, offer: str, candidates: list[str]) -> Call:
        """Have an offer answered by a transceiver, going to another one when the first cannot.

        Raises:
            NoTransceiver: Nobody could within the bound.
            OfferRejected: The offer cannot be answered by anybody.
        """
        try:
            async with asyncio.timeout(self._bounds.placing):
                return await self._place(offer, candidates)
        except TimeoutError:
            raise NoTransceiver(
                f"no transceiver answered the offer within {self._bounds.placing} s", 1
            ) from None

    async def _place(self, offer: str, candidates: list[str]) -> Call:
        tried: dict[Target, ControlFailed] = {}
        while (target := place(self._loads, self._random, tried=tried)) is not None:
            self._loads[target] = self._loads[target].with_one_more()
            try:
                session = await self._clients[target][1].create(offer, candidates)
            except ControlFailed as error:
                tried[target] = error
                if isinstance(error, Unreachable):
                    self._lost(target, error)
            else:
                return Call(join_call_id(target, session.id), session.sdp)
        raise self._nobody(tried.values())

    def _nobody(self, refusals: Collection[ControlFailed]) -> NoTransceiver:
        waits = [each.retry_after for each in refusals if isinstance(each, Busy)]
        if self._loads or waits:
            return NoTransceiver("every transceiver is full or draining", min(waits, default=2))
        return NoTransceiver(
            f"none of the {self.size} transceivers in the registry is reachable", 2
        )

    async def hang_up(self, call_id: str) -> dict[str, Any]:
        """End a call and return its final statistics.

        Raises:
            SessionUnknown: There is no such call, or not any more.
            Unreachable: Its transceiver did not answer in time.
        """
        way = split_call_id(call_id)
        if way is None or way[0] not in self._clients:
            raise SessionUnknown(f"{call_id} leads to no transceiver of the registry")
        target, session_id = way
        return await self._clients[target][1].delete(session_id)

    async def _keep_polling(self, target: Target) -> None:
        while True:
            await asyncio.sleep(self._bounds.poll_interval)
            await self._poll(target)

    async def _poll(self, target: Target) -> None:
        try:
            self._loads[target] = await self._clients[target][0].health()
        except Unreachable as error:
            self._lost(target, error)
        else:
            if target in self._reported_down:
                self._reported_down.discard(target)
                _log.info("transceiver %s is reachable again", _name(target))

    def _lost(self, target: Target, error: Unreachable) -> None:
        """Place nothing there until it answers again; one line per outage."""
        self._loads.pop(target, None)
        if target not in self._reported_down:
            self._reported_down.add(target)
            _log.warning("transceiver %s is unreachable: %s", _name(target), error)


def _name(target: Target) -> str:
    return f"{target.cluster}/{target.slot}/{target.generation}"


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
