"""What a group of routes is: the server is a list of them.

A group is a class in a module of its own. It says of each of its routes who may use it, so that
none is open because somebody forgot to close it.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from http import HTTPStatus
from typing import Protocol

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What the SDKs of the Realtime API send; those of Node add a dozen names of their own, for which
# there is the star. It never stands for Authorization (Fetch, "CORS-unsafe request-header").
_ALLOWED_HEADERS = "Authorization, Content-Type, X-OpenAI-Agents-SDK, *"
_PREFLIGHT_AGE = "86400"  # seconds that a browser need not ask again


class Access(Enum):
    """Who may use a route."""

    ANYBODY = auto()
    CALLER = auto()  # who has an API key, or a client secret that was made with one
    KEY = auto()  # who has an API key


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        method: The method, such as POST.
        path: The path, with names in braces as aiohttp has them.
        handler: Answers requests.
        access: Who may use it.
        begins_call: Whether a request to it counts as a set-up, before its body is read.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    begins_call: bool = False


class RouteGroup(Protocol):
    """Routes that belong together."""

    def routes(self) -> Sequence[Route]:
        """The routes; no other group has any of them."""
        ...


def heads(routes: Iterable[Route]) -> list[Route]:
    """HEAD for what anybody may GET, such as for who watches it (RFC 9110, section 9.1)."""
    return [
        replace(route, method=hdrs.METH_HEAD)
        for route in routes
        if route.method == hdrs.METH_GET and route.access is Access.ANYBODY
    ]


def preflights(routes: Iterable[Route]) -> list[Route]:
    """OPTIONS for the paths of the API that have none: browsers ask before they send a key."""
    methods: dict[str, list[str]] = {}
    for route in routes:
        methods.setdefault(route.path, []).append(route.method)
    return [
        Route(hdrs.METH_OPTIONS, path, _preflight([*those, hdrs.METH_OPTIONS]), Access.ANYBODY)
        for path, those in methods.items()
        if hdrs.METH_OPTIONS not in those and path.startswith("/v1/")
    ]


def _preflight(methods: Sequence[str]) -> Handler:
    headers = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": _PREFLIGHT_AGE,
    }

    async def preflight(_: web.Request) -> web.Response:
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)

    return preflight
