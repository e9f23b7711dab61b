"""The transceivers of the registry, as signaling sees them: their control APIs, health and load.

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
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import Self

import aiohttp

from relay.config.registry import Transceiver
from relay.supervision import Supervisor
from relay.wire.route import Target
from signaling.control import ControlClient
from signaling.errors import IllError
from signaling.placement import Load, Near, choose_transceiver

# A health check that took too long may be of a busy transceiver, with calls that others offer it.
_MOST_SLOW = 2
_KEEP_ALIVE = 3.0  # seconds that a connection may wait for another request; polls use one

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


class Members:
    """Polls transceivers, and chooses among them.

    Use it as an asynchronous context manager.

    Args:
        transceivers: Those of the registry; those without a control API are left out.
        random: The source of randomness of placement.
        config: Intervals and time-outs.
    """

    def __init__(
        self, transceivers: Iterable[Transceiver], *, random: Random, config: PoolConfig
    ) -> None:
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
            stack.push_async_callback(self._stop_refreshing)
            for each in self._known.values():
                self._add(each, http)
            await asyncio.gather(*map(self._poll, self._clients))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _stop_refreshing(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

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
                self.begin_refresh()

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
            f"poll {name_of(target)}",
            functools.partial(self._poll, target),
            essential=False,
            every=self._config.poll_interval,
        )

    def _remove(self, target: Target) -> None:
        del self._clients[target], self._slow[target]
        self._loads.pop(target, None)
        self._reported_down.discard(target)
        self._supervisor.end(f"poll {name_of(target)}")

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

    def control(self, target: Target) -> ControlClient | None:
        """The control API of a transceiver of the registry, whatever its health."""
        clients = self._clients.get(target)
        return clients[1] if clients is not None else None

    async def choose(self, tried: Collection[Target], near: Near) -> Target | None:
        """Choose one for a new session; where all are full, by what they say now."""
        choose = functools.partial(
            choose_transceiver, self._loads, self._random, tried=tried, near=near
        )
        target = choose(regions=self._regions)
        if target is None and any(not load.draining for load in self._loads.values()):
            await self.refresh()
            target = choose(regions=self._regions)
        return target

    def begin_session(self, target: Target) -> ControlClient:
        """One that was chosen is about to be asked for a new session, by this control API."""
        self._loads[target] = self._loads[target].with_new_session()
        return self._clients[target][1]

    def note_principal(self, target: Target, principal: str) -> None:
        """A transceiver has taken a call of somebody."""
        if target in self._loads:
            self._loads[target] = self._loads[target].with_session_of(principal)

    def calls_of(self, principal: str) -> int:
        """How many calls a principal has at the transceivers that are reachable."""
        return sum((load.principals or {}).get(principal, 0) for load in self._loads.values())

    async def refresh(self) -> None:
        """Ask all transceivers for their loads, before what they said is held against somebody."""
        await asyncio.shield(self.begin_refresh())

    def begin_refresh(self) -> asyncio.Task[None]:
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

    def _take_load(self, target: Target, load: Load) -> None:
        """Believe what an answer says of the load, of a transceiver that is not known to be ill."""
        del self._slow[target]
        if target in self._loads:
            self._loads[target] = load.following(self._loads[target])

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
                _log.info("transceiver %s is reachable again", name_of(target))

    def _is_known(self, target: Target, control: ControlClient) -> bool:
        """Whether it is still that transceiver, and not gone or another meanwhile."""
        return target in self._clients and self._clients[target][0] is control

    def _mark_ill(self, target: Target, error: IllError) -> None:
        """Place nothing there until it answers again; log once per outage."""
        self._loads.pop(target, None)
        if target not in self._reported_down:
            self._reported_down.add(target)
            _log.warning("transceiver %s is unreachable: %s", name_of(target), error)


def name_of(target: Target) -> str:
    """A transceiver, as messages name it."""
    return f"{target.cluster}/{target.slot}/{target.generation}"
