"""The transceiver: media socket, calls and control API, started and stopped together."""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self

from relay.config import exposure
from relay.config.keyfile import KeyFile
from relay.config.watched import keep_watching
from relay.linux import ignore_path_mtu
from relay.listen import bind_error, serve_http
from relay.supervision import Faults, Supervisor
from relay.tracing.config import TracingConfig
from relay.tracing.span import Tracer
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from transceiver import DEFAULT_CAPACITY
from transceiver.bridge.services import Services
from transceiver.bridge.table import Table
from transceiver.calls import Calls
from transceiver.control import ControlApi, response_to_no_request
from transceiver.ledger import Ledger
from transceiver.mux import Mux
from transceiver.webhook import WebhookConfig

_LOOK_EVERY = 0.2  # seconds between two looks at whether all calls have ended

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """What a transceiver tells the registry in Redis, and wants of it.

    Attributes:
        redis: The URL.
        slot: The slot that it wants; None for any.
        region: Where it is.
    """

    redis: str
    slot: int | None = None
    region: str | None = None


def _id_here(_: Target, call_id: str) -> str:
    return call_id


@dataclass(frozen=True, slots=True)
class TransceiverConfig:
    """The settings of a transceiver.

    Attributes:
        listen: The UDP address of media, as relays reach it; port 0 takes any.
        control: The TCP address of the control API; port 0 takes any.
        target: Its cluster, slot and generation.
        keys: Sign its routes and verify announcements.
        key_file: Where `keys` come from, and are read again when it changes; None for nowhere.
        capacity: The most sessions at a time.
        table: The back ends of sessions.
        records: The file of the records of ended calls; None for none.
        place: Where it stands in the registry in Redis; None where it does not.
        drain: Seconds for which calls may go on when it is to end.
        webhook: Where each record is sent as well; None for nowhere.
        call_id: How clients know a call, by the transceiver and its id there.
        tracing: Where spans of set-ups are sent; None for nowhere.
    """

    listen: Endpoint
    control: Endpoint
    target: Target
    keys: KeyRing
    capacity: int = DEFAULT_CAPACITY
    table: Table = field(default_factory=Table)
    records: Path | None = None
    place: Place | None = None
    drain: float = 0.0
    webhook: WebhookConfig | None = None
    call_id: Callable[[Target, str], str] = _id_here
    key_file: KeyFile | None = None
    tracing: TracingConfig | None = None


class Transceiver:
    """A transceiver that serves while the context is entered.

    Args:
        config: What to serve.
        sock: A UDP socket that is already bound, instead of `config.listen`; it becomes ours.
        control: One on which connections wait, instead of `config.control`; it becomes ours.

    Attributes:
        address: Where media is served, once entered.
        control: Where the control API is served, once entered.
        supervisor: Its background tasks, also that which announces it; its health and its metrics
            tell of them. They end with it.

    Raises:
        BindError: On entering, when an address cannot be listened on.
    """

    def __init__(
        self,
        config: TransceiverConfig,
        sock: socket.socket | None = None,
        control: socket.socket | None = None,
    ) -> None:
        self.config = config
        self._given = sock
        self._given_control = control
        self._stack = AsyncExitStack()
        self.supervisor = Supervisor(Faults(logger))
        self.address = config.listen
        self.control = config.control
        self.calls: Calls
        self.mux: Mux

    @property
    def served(self) -> TransceiverConfig:
        """What it serves, with the addresses where it does, once entered."""
        return replace(self.config, listen=self.address, control=self.control)

    async def __aenter__(self) -> Self:
        faults = self.supervisor.faults
        faults.guard(asyncio.get_running_loop(), alone=False)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.supervisor.stop)
            if self.config.key_file is not None:
                keep_watching(self.supervisor, "key file", self.config.key_file)
            sock = stack.enter_context(self._given or bind_media(self.config.listen))
            sock.setblocking(False)
            ignore_path_mtu(sock, sock.family)
            self.address = Endpoint.of(sock.getsockname())
            self.mux = Mux(sock, self.config.keys, self.config.target)
            self.mux.open()
            stack.callback(self.mux.close)
            services = await stack.enter_async_context(Services(self.config.table))
            ledger = await stack.enter_async_context(
                Ledger(self.config.records, self.config.webhook, _slot(self.config.target))
            )
            tracer, spans = await self._traced(stack)
            self.calls = Calls(
                self.mux,
                self.config.keys,
                self.config.target,
                capacity=self.config.capacity,
                backend=services.make,
                ledger=ledger,
                call_id=partial(self.config.call_id, self.config.target),
                tracer=tracer,
                supervisor=self.supervisor,
            )
            self.calls.open()
            stack.push_async_callback(self.calls.close)
            exposure.warn(self.config.control, "the control API", logger)
            api = ControlApi(self.calls, self.mux, services, spans).application()
            self.control = await stack.enter_async_context(
                serve_http(
                    api,
                    self._given_control or self.config.control,
                    "the control API",
                    faults=faults,
                    error_response=response_to_no_request,
                )
            )
            self._stack = stack.pop_all()
        return self

    async def _traced(
        self, stack: AsyncExitStack
    ) -> tuple[Tracer | None, Callable[[], Mapping[str, int]] | None]:
        """What makes spans, and what became of them; None where nobody wants them."""
        if self.config.tracing is None:
            return None, None
        from relay.tracing.exporter import exporting  # noqa: PLC0415  # 6 MB that others save

        where = self.config.tracing, "icelane-transceiver", str(self.config.target)
        tracer, export = await stack.enter_async_context(exporting(*where))
        return tracer, export.counts

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def finish(self) -> None:
        """Take no new calls, and wait until all have ended, or `drain` seconds have passed."""
        self.calls.admission.draining = True
        if self.config.drain and len(self.calls):
            logger.info("draining: %d calls go on", len(self.calls))
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.drain):
                while len(self.calls):  # noqa: ASYNC110  # calls end in many ways
                    await asyncio.sleep(_LOOK_EVERY)


def _slot(target: Target) -> str:
    return f"{target.cluster}-{target.slot}"


def bind_media(listen: Endpoint) -> socket.socket:
    """A UDP socket for media.

    Raises:
        BindError: The address is not on this host, or the port is taken.
    """
    sock = socket.socket(listen.family, socket.SOCK_DGRAM)
    try:
        sock.bind(listen)
    except OSError as error:
        sock.close()
        raise bind_error(listen, "media", error) from None
    return sock
