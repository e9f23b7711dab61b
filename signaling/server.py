"""The signaling server: clients offer over HTTP, a transceiver answers, the relay is advertised.

It is a list of route groups, each in a module of its own, behind what all requests pass.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Self

from aiohttp import web

from relay.config.directory import Directory
from relay.config.networks import Network, is_within
from relay.config.registry import Ingress
from relay.config.watched import Watched, keep_watching
from relay.listen import serve_http
from relay.metrics import Measured
from relay.supervision import Faults, Supervisor
from relay.tracing.config import TracingConfig
from relay.wire.endpoint import Endpoint
from signaling.answers import add_headers, answer_errors, response_to_no_request
from signaling.auth.apikeys import ApiKeys
from signaling.auth.clientsecret import Signer
from signaling.auth.gate import Gate, hold_back
from signaling.auth.limits import Quotas
from signaling.auth.privatefiles import LEAST_SECRET, load_api_keys, load_secrets
from signaling.callactions import CallActionRoutes
from signaling.calls import CallRoutes
from signaling.client import LOOPBACK
from signaling.clientsecrets import ClientSecretRoutes
from signaling.health import HealthRoutes
from signaling.members import PoolConfig
from signaling.metrics import SPANS, Requests, measure_fleet
from signaling.models import ModelRoutes
from signaling.offer import MAX_BODY
from signaling.openapi import OpenApiRoutes
from signaling.origin import Origins
from signaling.owncalls import OwnCallRoutes
from signaling.pageroutes import PageRoutes
from signaling.placement import Near
from signaling.pool import TransceiverPool
from signaling.regions import Regions
from signaling.relays import INTERVAL as LOOK_AT_RELAYS
from signaling.relays import Dataplanes, RelayRoutes
from signaling.routes import RouteGroup, heads, preflights
from signaling.steering import near_to, steer
from signaling.tls import Certificate, TlsFiles
from signaling.tracing import OfferTracing
from signaling.websockets import WebSocketRoutes
from signaling.whip import WHEP, WHIP, WhipRoutes
from signaling.whipconfig import WhipConfig

#: Connections of one client address at a time; proxies, who have many clients, are not counted.
MOST_OF_ONE = 256

_log = logging.getLogger(__name__)


class SignalingServer:
    """Serves the routes while its context is entered.

    Args:
        listen: Where to listen; port 0 takes any.
        registry: The transceivers to place calls on and the relays to advertise.
        random: The source of randomness of placement.
        pool: Intervals and time-outs of requests to transceivers.
        proxies: Who is believed when he says whose request he passes on, and from where.
        region_header: The header in which proxies tell the region of a client; None for none.
        whip: What is said of WHIP and WHEP.
        keys_file: The API keys, read again when they change; None where everybody may call.
        secret_file: What signs client secrets, so that several servers agree; None for a secret
            that ends with this process.
        tls: The certificate to serve HTTPS with; None for HTTP.
        regions: Where clients are, in a file that is read again when it changes.
        dataplane: What forwards at a relay that runs in this process; None where none does.
        metrics: Where metrics are served, apart from clients; None for nowhere.
        tracing: Where spans of offers are sent; None for nowhere.

    Attributes:
        supervisor: Its background tasks, also those of whoever keeps the registry up to date; its
            health and its metrics tell of them. They end with it.

    Raises:
        BindError: On entering, when the address cannot be listened on.
        ConfigError: A file cannot be used.
    """

    def __init__(
        self,
        listen: Endpoint,
        registry: Directory,
        *,
        random: Random,
        pool: PoolConfig | None = None,
        proxies: Sequence[Network] = LOOPBACK,
        region_header: str | None = None,
        whip: WhipConfig | None = None,
        keys_file: Path | None = None,
        secret_file: Path | None = None,
        tls: TlsFiles | None = None,
        regions: Path | None = None,
        dataplane: Callable[[], str] | None = None,
        metrics: Endpoint | None = None,
        tracing: TracingConfig | None = None,
    ) -> None:
        self._proxies = proxies
        self._faults = Faults(_log)
        self.supervisor = Supervisor(self._faults)
        self._listen = listen
        self._keys = keys_file and Watched(
            [keys_file], partial(load_api_keys, keys_file), "API keys"
        )
        self._signers = secret_file and Watched(
            [secret_file], lambda: Signer(load_secrets(secret_file)), "server secrets"
        )
        self._own_signer = Signer([os.urandom(LEAST_SECRET)])
        self._tls = tls and Certificate(tls)
        self._quotas = Quotas()
        origins = Origins(proxies, region_header)
        self._gate = Gate(self._api_keys, self._signer, origins.of, self._quotas)
        self._directory = registry
        self._random = random
        self._regions = regions and Watched(
            [regions], partial(Regions.load, regions), "the regions"
        )
        self._pool = TransceiverPool(
            registry.transceivers, random=random, config=pool or PoolConfig()
        )
        registry.on_change(lambda: self._pool.members.update(registry.transceivers))
        self._dataplanes = Dataplanes(lambda: registry.relays, dataplane)
        self._sockets = WebSocketRoutes(self._pool, self._quotas)
        calls = CallRoutes(self._pool, self._steer, self._quotas)
        whip = whip or WhipConfig()
        self._groups: list[RouteGroup] = [
            PageRoutes(),
            HealthRoutes(self._pool, self._faults, lambda: registry.trouble, self.supervisor),
            calls,
            CallActionRoutes(self._pool),
            OwnCallRoutes(self._pool),
            WhipRoutes(WHIP, self._pool, calls.place, whip),
            WhipRoutes(WHEP, self._pool, calls.place, whip),
            self._sockets,
            ModelRoutes(self._pool),
            RelayRoutes(self._dataplanes),
            OpenApiRoutes(),
            ClientSecretRoutes(self._signer),
        ]
        self._stack = contextlib.AsyncExitStack()
        self._requests = Requests()
        self._metrics = metrics
        self._tracing = tracing
        self._traced: OfferTracing | None = None
        self._spans: Callable[[], Mapping[str, int]] = dict  # what became of them
        self._address = listen

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._pool)
            stack.push_async_callback(self.supervisor.stop)
            look = self._dataplanes.look
            await look()
            if self._tracing is not None:
                await self._trace(self._tracing, stack)
            self.supervisor.start("relays", look, essential=False, every=LOOK_AT_RELAYS)
            for name, watched in self._watched().items():
                keep_watching(self.supervisor, name, watched)
            self._address = await stack.enter_async_context(
                serve_http(
                    self._application(),
                    self._listen,
                    "signaling",
                    faults=self._faults,
                    error_response=response_to_no_request,
                    tls=self._tls.context if self._tls else None,
                    most_of_one=MOST_OF_ONE,
                    shared=partial(is_within, networks=self._proxies),
                )
            )
            if self._metrics is not None:
                await stack.enter_async_context(
                    serve_http(self._exposition(), self._metrics, "metrics", faults=self._faults)
                )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _trace(self, tracing: TracingConfig, stack: contextlib.AsyncExitStack) -> None:
        from relay.tracing.exporter import exporting  # noqa: PLC0415  # 6 MB that others save

        exported = exporting(tracing, "icelane-signaling", str(self._listen))
        tracer, export = await stack.enter_async_context(exported)
        routes = (route for group in self._groups for route in group.routes())
        paths = frozenset(route.path for route in routes if route.begins_call)
        self._traced, self._spans = OfferTracing(tracer, paths), export.counts

    @property
    def url(self) -> str:
        """The base URL, with the port that was taken."""
        return f"{'https' if self._tls else 'http'}://{self._address}"

    def _application(self) -> web.Application:
        tracing = [] if self._traced is None else [self._traced.trace]
        application = web.Application(
            client_max_size=MAX_BODY, middlewares=[answer_errors, self._requests.count, *tracing]
        )
        application.on_response_prepare.append(add_headers)
        application.on_shutdown.append(lambda _: self._sockets.close())
        routes = [route for group in self._groups for route in group.routes()]
        for each in (*routes, *heads(routes), *preflights(routes)):
            application.router.add_route(
                each.method, each.path, self._gate.guard(each), expect_handler=hold_back
            )
        return application

    def _exposition(self) -> web.Application:
        from relay import exposition  # noqa: PLC0415  # 3 MB that signaling without metrics saves

        def measure() -> Iterator[Measured]:
            yield from self._requests.measure()
            failing = self.supervisor.failing
            tasks = {name: name not in failing for name in self.supervisor.states()}
            directory, faults = self._directory, self._faults.counters
            yield from measure_fleet(self._pool, lambda: directory.trouble, tasks, faults)
            yield SPANS, self._spans()

        exposed = exposition.Exposition(measure)
        headers = {"Content-Type": exposition.CONTENT_TYPE}

        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=exposed.text(), headers=headers)

        application = web.Application()
        application.router.add_get("/metrics", answer)
        return application

    def _watched(self) -> dict[str, Watched[Any]]:
        every = {
            "API keys": self._keys,
            "server secrets": self._signers,
            "certificate": self._tls and self._tls.files,
            "regions": self._regions,
        }
        return {name: watched for name, watched in every.items() if watched}

    def _steer(self, region: str | None, client: str) -> tuple[Ingress, Near] | None:
        regions = self._regions.content if self._regions else Regions()
        ingress = steer(region, client, self._directory.ingresses, regions, self._random)
        return None if ingress is None else (ingress, near_to(ingress, regions))

    def _api_keys(self) -> ApiKeys | None:
        return self._keys.content if self._keys else None

    def _signer(self) -> Signer:
        return self._signers.content if self._signers else self._own_signer
