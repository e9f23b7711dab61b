"""The route that lists models: what back ends there are, of all transceivers."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web

from signaling.auth.gate import caller_of
from signaling.control import ControlClient
from signaling.pool import TransceiverPool
from signaling.routes import Access, Route

MODELS = "/v1/models"
#: Seconds for which what transceivers have said is told again: their tables last as long as they.
FRESH = 5.0
#: Principals whose models are remembered; the one that asked the longest ago is forgotten first.
MAX_PRINCIPALS = 1000

Models = Mapping[str, dict[str, Any]]


class ModelRoutes:
    """Models, as the OpenAI API lists them.

    Args:
        pool: The transceivers.
    """

    def __init__(self, pool: TransceiverPool) -> None:
        self._pool = pool
        self._known: dict[str | None, _Known] = {}

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_GET, MODELS, self._list, Access.CALLER)]

    async def _list(self, request: web.Request) -> web.Response:
        """Those that the caller may use."""
        key = caller_of(request).key
        models = await self._of(key.name if key else None).now(
            list(self._pool.members.controls.values())
        )
        listed = [
            models[name]
            for name in sorted(models)
            if not (key and key.models) or name in key.models
        ]
        return web.json_response({"object": "list", "data": listed})

    def _of(self, principal: str | None) -> "_Known":
        known = self._known.pop(principal, None) or _Known(principal)
        self._known[principal] = known
        if len(self._known) > MAX_PRINCIPALS:
            del self._known[next(iter(self._known))]
        return known


class _Known:
    """What a principal may ask for, as transceivers said last.

    Args:
        principal: Who asks; None where nobody has a name.
    """

    def __init__(self, principal: str | None) -> None:
        self._principal = principal
        self._lock = asyncio.Lock()
        self._models: Models = {}
        self._asked: Sequence[ControlClient] = ()
        self._at = -math.inf

    async def now(self, controls: Sequence[ControlClient]) -> Models:
        """The same now, of these transceivers, who are asked once for all who wait for it."""
        clock = asyncio.get_running_loop().time
        async with self._lock:
            if self._asked != controls or clock() - self._at >= FRESH:
                answers = await asyncio.gather(*(each.models(self._principal) for each in controls))
                self._models = {each["id"]: each for answer in answers for each in answer}
                self._asked, self._at = controls, clock()
            return self._models
