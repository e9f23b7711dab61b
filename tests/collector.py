"""A collector of OpenTelemetry: it takes spans over HTTP, and keeps them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

WAIT = 15.0  # seconds; a limit


@dataclass(frozen=True, slots=True)
class Received:
    """A span that came.

    Attributes:
        service: Whose, by its resource.
        name: Its name.
        trace: The id of its trace, in hex.
        id: Its own, in hex.
        parent: That of the one above it; empty where there is none.
        start: Unix seconds.
        end: Unix seconds.
        attributes: What else it tells.
        links: The ids of traces and spans that it is linked to.
        error: Why it failed; empty where it did not.
    """

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start: float
    end: float
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    error: str


@dataclass
class Collector:
    """What has come so far.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        spans: All spans.
        bodies: The requests as they came.
        paths: Where they were sent.
    """

    port: int
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self, enough: Callable[[list[Received]], object]) -> list[Received]:
        """Wait until what has come is enough; gives it."""
        deadline = time.monotonic() + WAIT
        while not enough(self.spans):
            assert time.monotonic() < deadline, [(each.service, each.name) for each in self.spans]
            time.sleep(0.05)
        return list(self.spans)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.bodies.append(body)
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_received(service, each) for each in scope.spans]


@contextmanager
def collecting(*sockets: socket) -> Iterator[Collector]:
    """Collect while the context is entered.

    Args:
        sockets: Those on which it listens, which become its own; without any it takes one.
    """
    servers = [_server(each) for each in sockets] or [_server(None)]
    collector = Collector(servers[0].server_address[1])
    threads = []
    for server in servers:
        server.collector = collector
        threads.append(threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True))
        threads[-1].start()
    try:
        yield collector
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    collector: Collector


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/x-protobuf"
        self.server.collector.paths.add(self.path)
        self.server.collector.take(body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def _server(listener: socket | None) -> _Server:
    if listener is None:
        return _Server(("127.0.0.1", 0), _Handler)
    server = _Server(listener.getsockname(), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_address = listener.getsockname()
    return server


def _received(service: str, span: Any) -> Received:
    return Received(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        _attributes(span.attributes),
        [(each.trace_id.hex(), each.span_id.hex()) for each in span.links],
        span.status.message if span.status.code == 2 else "",
    )


def _attributes(found: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        for each in found
    }
