"""The route that says whether this server serves."""

from collections.abc import Callable, Sequence

from aiohttp import hdrs, web

from relay.supervision import Faults, Supervisor
from signaling.pool import TransceiverPool
from signaling.routes import Access, Route


class HealthRoutes:
    """Liveness of this server, whatever the state of the transceivers.

    Args:
        pool: The transceivers.
        faults: What broke while requests were handled.
        registry: Says why what is known of the fleet may be old; None while it is not.
        supervisor: The background tasks. Anybody may ask, so only the log says why one fails.
    """

    def __init__(
        self,
        pool: TransceiverPool,
        faults: Faults,
        registry: Callable[[], str | None],
        supervisor: Supervisor,
    ) -> None:
        self._pool = pool
        self._faults = faults
        self._registry = registry
        self._supervisor = supervisor

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_GET, "/healthz", self._health, Access.ANYBODY)]

    async def _health(self, _: web.Request) -> web.Response:
        pool = self._pool
        return web.json_response(
            {
                "status": "ok",
                "transceivers": {
                    "registered": pool.members.size,
                    "reachable": pool.members.reachable,
                    "with_room": pool.members.with_room,
                },
                "registry": {"trouble": self._registry()},
                "failing": [*self._supervisor.failing, *pool.members.failing],
                "faults": dict(self._faults.counters),
            }
        )
