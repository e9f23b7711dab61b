"""Signaling and a real transceiver tell a real collector of one trace."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import aiohttp
import pytest

from relay.tracing.config import TracingConfig
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, read_ufrag
from relay.wire.tracecontext import TraceContext
from signaling.callid import CALLS
from signaling.whip import WHIP
from tests.collector import Collector, collecting
from tests.signaling.conftest import ANYWHERE, AUDIO, SDP, Keys, Serve, place, until
from transceiver.server import Transceiver, TransceiverConfig

TARGET = Target(1, 5, 9)
CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FOREIGN = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
def tracing(collector: Collector) -> TracingConfig:
    return TracingConfig(collector.url + "/v1/traces")


@pytest.fixture
async def traced(tracing: TracingConfig) -> AsyncIterator[Transceiver]:
    """A transceiver that traces."""
    keys = KeyRing.generate(os.urandom)
    async with Transceiver(
        TransceiverConfig(ANYWHERE, ANYWHERE, TARGET, keys, tracing=tracing)
    ) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Stage:
    """Signaling's neighbours, all of which are real."""

    http: aiohttp.ClientSession
    serve: Serve
    collector: Collector
    tracing: TracingConfig
    traced: Transceiver

    @property
    def control(self) -> tuple[Target, str]:
        return TARGET, f"http://{self.traced.control}"


@pytest.fixture
def stage(
    http: aiohttp.ClientSession,
    serve: Serve,
    collector: Collector,
    tracing: TracingConfig,
    traced: Transceiver,
) -> Stage:
    return Stage(http, serve, collector, tracing, traced)


def trace_of(answer: str) -> TraceContext:
    lines = answer.splitlines()
    ufrag = next(line for line in lines if line.startswith("a=ice-ufrag:"))
    return TraceContext.of_route(read_ufrag(ufrag.partition(":")[2]).raw)


@pytest.mark.parametrize("path", [CALLS, WHIP])
async def test_a_client_that_traces_is_linked_and_the_transceiver_is_below(
    path: str, stage: Stage, offer: str
) -> None:
    http, collector = stage.http, stage.collector
    async with stage.serve(stage.control, tracing=stage.tracing) as server:
        headers = {**SDP, "traceparent": CLIENT, "tracestate": "icelane=ufrag"}
        async with http.post(server.url + path, data=offer, headers=headers) as response:
            assert response.status == 201
            first = trace_of(await response.text())
        # It ends before anybody connects, which is told of it.
        async with http.delete(server.url + response.headers["Location"]) as ended:
            assert ended.status == 200
        await until(lambda: len(collector.spans) >= 5)
    spans = {each.name: each for each in collector.spans}
    assert {each.trace for each in spans.values()} == {first.trace_id.hex()}
    request, asked = spans[f"POST {path}"], spans["POST /v1/sessions"]
    assert (request.id, request.parent) == (first.span_id.hex(), "")
    assert request.links == [FOREIGN]
    assert request.attributes["http.response.status_code"] == 201
    session = spans["call set-up"]
    assert (session.service, session.parent) == ("icelane-transceiver", asked.id)
    assert (session.links, session.error) == ([], "hung_up")
    assert spans["answer"].parent == session.id
    said = repr([(each.name, each.attributes, each.error) for each in collector.spans])
    assert not [each for each in ("127.0.0.1", "203.0.113.10", "ufrag", "rtc_") if each in said]


async def test_signaling_of_somebody_else_is_linked_to(
    http: aiohttp.ClientSession, collector: Collector, traced: Transceiver, offer: str
) -> None:
    url = f"http://{traced.control}/v1/sessions"
    candidate = {"transport": "udp", "address": str(Endpoint("203.0.113.10", 3478))}
    body = {"sdp": offer, "candidates": [candidate]}
    async with http.post(url, json=body, headers={"traceparent": CLIENT}) as response:
        session = await response.json()
    async with http.delete(f"{url}/{session['id']}"):
        pass
    await until(lambda: len(collector.spans) >= 2)
    (found,) = (each for each in collector.spans if each.name == "call set-up")
    first = trace_of(session["sdp"])
    assert (found.trace, found.id) == (first.trace_id.hex(), first.span_id.hex())
    assert (found.parent, found.links) == ("", [FOREIGN])


async def test_an_offer_that_no_transceiver_takes_is_told(
    http: aiohttp.ClientSession, serve: Serve, collector: Collector, tracing: TracingConfig
) -> None:
    async with serve((TARGET, "http://127.0.0.1:1"), tracing=tracing) as server:
        async with http.post(server.url + CALLS, data=AUDIO, headers=SDP) as response:
            assert response.status == 503
        await until(lambda: len(collector.spans) >= 2)
    assert {each.name: each.error for each in collector.spans} == {
        f"POST {CALLS}": "503",
        "placement": "ApiError",
    }


async def test_who_may_not_call_leaves_no_trace(stage: Stage, keys: Keys, offer: str) -> None:
    http, collector = stage.http, stage.collector
    bearer, door = keys.add("ann"), {"keys_file": keys.path}
    async with stage.serve(stage.control, tracing=stage.tracing, **door) as server:
        for headers, status in ((SDP, 401), ({**SDP, **bearer}, 201)):
            async with http.post(server.url + CALLS, data=offer, headers=headers) as response:
                assert response.status == status
        async with http.get(server.url + "/healthz"):
            pass
    requests = [each for each in collector.spans if each.parent == ""]
    assert [each.attributes["http.response.status_code"] for each in requests] == [201]


async def test_calls_are_placed_while_the_collector_hangs(
    http: aiohttp.ClientSession, serve: Serve, traced: Transceiver, offer: str
) -> None:
    controls = (TARGET, f"http://{traced.control}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(15.0)
        config = TracingConfig(f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces")
        async with serve(controls, tracing=config) as server:
            await place(http, server, offer)
            accepted, _ = await asyncio.to_thread(silent.accept)
            began = time.monotonic()
            for _ in range(3):
                await place(http, server, offer)
            took = time.monotonic() - began
        ended = time.monotonic() - began - took
        accepted.close()
    # An exporter waits ten seconds for each answer (OTEL_EXPORTER_OTLP_TIMEOUT), and asks again.
    assert took < 10.0
    assert ended < 10.0


async def test_what_became_of_spans_is_measured(stage: Stage, offer: str) -> None:
    async with stage.serve(stage.control, tracing=stage.tracing) as server:
        await place(stage.http, server, offer)
        await until(lambda: len(stage.collector.spans) >= 3)
    async with stage.http.get(f"{stage.control[1]}/metrics") as response:
        text = await response.text()
    for result in ("sent", "failed", "dropped"):
        assert f'icelane_transceiver_spans_total{{result="{result}"}} 0.0' in text
