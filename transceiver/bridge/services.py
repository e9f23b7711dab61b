"""Makes the back ends of calls by a table, and holds what their connections share."""

import logging
from functools import partial
from types import TracebackType
from typing import Self

import aiohttp

from relay.supervision import Faults
from transceiver.backend import Backend, Wanted
from transceiver.bridge.backend import ServiceBackend
from transceiver.bridge.continuing import Continuing
from transceiver.bridge.latency import Latencies
from transceiver.bridge.link import CLOSE_SECONDS, HEARTBEAT, MAX_MESSAGE, Socket
from transceiver.bridge.settings import SessionSettings
from transceiver.bridge.table import Service, Table

_log = logging.getLogger(__name__)


class Services:
    """The back ends of a transceiver, while the context is entered.

    Args:
        table: Which there are.

    Attributes:
        latencies: How long clients wait for those that are elsewhere, by name.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.latencies = {each.name: Latencies() for each in table.services if each.url}
        self._faults = Faults(_log)
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        # Proxies of the environment are used, and certificates verified, as everywhere.
        self._http = aiohttp.ClientSession(trust_env=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    def make(self, session_id: str, wanted: Wanted) -> Backend:
        """The back end of a call; it connects from now on.

        Raises:
            ModelError: There is none that the client may use.
        """
        service = self.table.choose(wanted.model, wanted.principal)
        if service.url is None:
            return service.local(session_id, wanted)
        return ServiceBackend(
            session_id,
            service.name,
            SessionSettings(wanted.session or {}, service.voice),
            partial(self.connect, service, wanted, Continuing(wanted.resume, wanted.keep)),
            self._faults,
            latencies=self.latencies[service.name],
        )

    def models(self, principal: str | None) -> list[dict[str, str]]:
        """What somebody may ask for, as the Realtime API lists models."""
        return [
            {"id": model, "object": "model", "owned_by": name}
            for model, name in self.table.models(principal)
        ]

    async def connect(
        self, service: Service, wanted: Wanted, continuing: Continuing | None = None
    ) -> Socket:
        """Connect to a service.

        Args:
            service: The service.
            wanted: What the client asked for.
            continuing: Which session it goes on with, or begins.
        """
        continuing = continuing or Continuing()
        socket = await self._http.ws_connect(
            service.address(wanted.model, transcribes=wanted.transcribes),
            headers=service.headers() | continuing.headers(),
            heartbeat=HEARTBEAT,
            max_msg_size=MAX_MESSAGE,
            compress=0,  # sound in base64 is as long deflated
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
        )
        continuing.connected()
        return socket
