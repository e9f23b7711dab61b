"""The relays that answers advertise, and what forwards there: the kernel or a process.

A relay says so beside its health check, which is asked for in the background where the registry
names it: no request waits for a relay.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
from aiohttp import hdrs, web

from relay.config.registry import Relay
from signaling.routes import Access, Route

RELAYS = "/v1/relays"
#: The header of a relay's health check that names its dataplane.
DATAPLANE = "Icelane-Dataplane"
INTERVAL = 5.0  # seconds between two looks
_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_KNOWN = ("xdp", "userspace")


class Dataplanes:
    """What forwards at each relay, as far as anybody says so.

    Args:
        relays: Gives the relays that the registry has now.
        here: Says it of those whose health check nobody names; for a relay of this process.
    """

    def __init__(
        self, relays: Callable[[], Sequence[Relay]], here: Callable[[], str] | None = None
    ) -> None:
        self._relays = relays
        self._here = here
        self._told: dict[str, str | None] = {}

    async def look(self) -> None:
        """Ask all relays that have a health check."""
        urls = dict.fromkeys(each.health for each in self._relays() if each.health)
        if not urls:
            self._told = {}
            return
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            answers = await asyncio.gather(*(_ask(http, url) for url in urls))
        self._told = dict(zip(urls, answers, strict=True))

    def shown(self) -> list[dict[str, Any]]:
        """The relays as clients are told of them."""
        return [
            {
                "udp": [str(told) for told in each.advertised],
                "tcp": [str(told) for told in each.tcp],
                "dataplane": self._dataplane(each),
            }
            for each in self._relays()
        ]

    def _dataplane(self, relay: Relay) -> str | None:
        if relay.health:
            return self._told.get(relay.health)
        return self._here() if self._here is not None else None


class RelayRoutes:
    """The route that lists them.

    Args:
        dataplanes: The relays, with what forwards there.
    """

    def __init__(self, dataplanes: Dataplanes) -> None:
        self._dataplanes = dataplanes

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_GET, RELAYS, self._list, Access.CALLER)]

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": self._dataplanes.shown()})


async def _ask(http: aiohttp.ClientSession, url: str) -> str | None:
    try:
        async with http.get(f"{url.rstrip('/')}/healthz", allow_redirects=False) as answer:
            named = answer.headers.get(DATAPLANE)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return named if named in _KNOWN else None
