"""Prometheus metrics over HTTP: numbers of reasons and flows, never an address, an id or a key."""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from socket import create_server, socket
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from relay.admin import catalogue
from relay.admin.health import Application, Health, StartResponse, answering, measure_health
from relay.config import exposure
from relay.core.session import SETUPS
from relay.dataplane.interface import Usage
from relay.errors import BindError
from relay.exposition import Exposition
from relay.forwarding.udp import bind_advice
from relay.histogram import Histogram
from relay.metrics import Measured, alone
from relay.wire.endpoint import Endpoint

_log = logging.getLogger(__name__)

# A version of a format, as the library compares it: of any other it raises.
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})*")

Numbers = Callable[[], Mapping[str, int]]


class RelayCollector:
    """Reads the relay's numbers when somebody asks for them.

    Args:
        agent: What the agent counts.
        dataplane: The dataplane's packets by reason.
        flows: Flows by state.
        changes: Changes to the host's network by kind.
        used: How much of what has a bound is in use.
        limits: How much of it there is.
        setups: The histogram of set-ups, as `Histogram.as_numbers`.
        usage: What the dataplane holds and has carried; None where it holds nothing.
        mirror: How far Redis is behind, in seconds, and how many requests wait; None without.
    """

    def __init__(
        self,
        *,
        agent: Numbers,
        dataplane: Numbers,
        flows: Numbers,
        changes: Numbers,
        used: Numbers,
        limits: Numbers,
        setups: Callable[[], Mapping[str, float]] = dict,
        usage: Callable[[], Usage | None] = lambda: None,
        mirror: Callable[[], tuple[float, int] | None] = lambda: None,
    ) -> None:
        self._agent = agent
        self._dataplane = dataplane
        self._flows = flows
        self._changes = changes
        self._used = used
        self._limits = limits
        self._setups = setups
        self._usage = usage
        self._mirror = mirror

    def measure(self) -> Iterator[Measured]:
        """What is measured, at one scrape."""
        agent, dataplane, usage = self._agent(), self._dataplane(), self._usage()
        yield from _traffic(agent, dataplane, usage)
        yield catalogue.DROPPED, dict(_drops(agent, dataplane))
        received = {who: agent.get(name, 0) for who, name in catalogue.RECEIVED_FROM.items()}
        yield catalogue.RECEIVED, received
        yield catalogue.VERDICTS, dataplane
        yield catalogue.EVENTS, dict(catalogue.events(agent))
        yield catalogue.FLOWS, self._flows()
        setups = Histogram(SETUPS)
        setups.add(self._setups())
        yield catalogue.SETUP, alone(setups)
        yield catalogue.CHANGES, self._changes()
        in_kernel = {"kernel_flows": usage.flows} if usage is not None else {}
        yield catalogue.USED, {**self._used(), **in_kernel}
        room = {"kernel_flows": usage.room} if usage is not None else {}
        yield catalogue.LIMIT, {**self._limits(), **room}
        if (mirror := self._mirror()) is not None:
            lag, waiting = mirror
            yield catalogue.MIRROR_LAG, alone(lag)
            yield catalogue.MIRROR_QUEUE, alone(waiting)


def _traffic(
    agent: Mapping[str, int], dataplane: Mapping[str, int], usage: Usage | None
) -> Iterator[Measured]:
    """Packets and bytes that were forwarded."""
    packets: dict[tuple[str, str], int] = {}
    carried: dict[tuple[str, str], int] = {}
    for direction, (counted, size) in catalogue.FORWARDED.items():
        packets[catalogue.USERSPACE, direction] = agent.get(counted, 0)
        carried[catalogue.USERSPACE, direction] = agent.get(size, 0)
    if dataplane:
        for direction, name in catalogue.KERNEL_FORWARDED.items():
            packets[catalogue.KERNEL, direction] = dataplane.get(name, 0)
    if usage is not None:
        carried[catalogue.KERNEL, catalogue.TO_TRANSCEIVER] = usage.bytes_to_transceivers
        carried[catalogue.KERNEL, catalogue.TO_CLIENT] = usage.bytes_to_clients
    yield catalogue.PACKETS, packets
    yield catalogue.BYTES, carried


def _drops(
    agent: Mapping[str, int], dataplane: Mapping[str, int]
) -> Iterator[tuple[tuple[str, str], int]]:
    """Packets that were dropped; 0 for what never was, so that a rate has its beginning."""
    if dataplane:
        for reason in catalogue.KERNEL_DROPS:
            yield (catalogue.KERNEL, reason), dataplane.get(reason, 0)
    for reason in {**dict.fromkeys(catalogue.AGENT_DROPS), **agent}:
        if catalogue.is_drop(reason):
            yield (catalogue.USERSPACE, reason), agent.get(reason, 0)


def _with_known_versions(others: Application) -> Application:
    """Leave what is served to another application, which hears only of versions that are some."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        formats = environ.get("HTTP_ACCEPT", "").split(",")
        known = ",".join(filter(_has_known_version, formats))
        return others(environ | {"HTTP_ACCEPT": known}, start_response)

    return answer


def _has_known_version(accepted: str) -> bool:
    parameters = (each.strip().partition("=") for each in accepted.split(";"))
    versions = [value for name, _, value in parameters if name == "version"]
    return all(_VERSION.fullmatch(each) for each in versions)


class _Handler(WSGIRequestHandler):
    """Logs nothing."""

    timeout = 10.0  # seconds, for who connects and says nothing

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def listen(endpoint: Endpoint) -> socket:
    """The socket at which metrics are served.

    Raises:
        BindError: The address cannot be bound.
    """
    try:
        listener = create_server(endpoint, family=endpoint.family)
    except OSError as error:
        raise BindError(
            f"cannot serve metrics at {endpoint}: {bind_advice(error, endpoint)}"
        ) from None
    # An agent and its successor have the same one for a moment: one of them accepts.
    listener.setblocking(False)
    return listener


@contextmanager
def serving(listener: socket, collector: RelayCollector, health: Health) -> Iterator[Endpoint]:
    """Serve metrics and health, from a thread of its own, while the context is entered.

    Gives the address, with the port that was taken where 0 was asked for.

    Args:
        listener: Where; it is closed in the end.
        collector: What has the relay's own numbers.
        health: What is told at /healthz and /readyz, and in further metrics.
    """
    exposition = Exposition(lambda: [*collector.measure(), *measure_health(health)])
    endpoint = Endpoint.of(listener.getsockname())
    exposure.warn(endpoint, "metrics and health", _log)
    server = _Server(endpoint, _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = endpoint
    server.setup_environ()
    server.set_app(answering(health, _with_known_versions(make_wsgi_app(exposition.registry))))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
