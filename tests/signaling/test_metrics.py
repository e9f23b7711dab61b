"""What signaling tells Prometheus, apart from its clients."""

from typing import Any

import aiohttp

from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from signaling.callid import CALLS
from signaling.metrics import METRICS
from signaling.pool import PLACEMENTS
from tests.ports import free_port
from tests.scraping import scrape
from tests.signaling.conftest import AUDIO, SDP


async def test_every_metric_that_is_declared_is_served(
    http: aiohttp.ClientSession, serve: Any
) -> None:
    metrics = Endpoint("127.0.0.1", free_port())
    async with serve(metrics=metrics):
        text, _ = await scrape(http, metrics)
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text


async def test_clients_are_not_shown_metrics(http: aiohttp.ClientSession, serve: Any) -> None:
    async with (
        serve(metrics=Endpoint("127.0.0.1", free_port())) as server,
        http.get(f"{server.url}/metrics") as response,
    ):
        assert response.status == 404


async def test_requests_are_counted_by_route_and_what_became_of_them(
    http: aiohttp.ClientSession, serve: Any
) -> None:
    """What a client makes up is no label: neither a path, nor a method, nor an id of a call."""
    metrics = Endpoint("127.0.0.1", free_port())
    async with serve(metrics=metrics) as server:
        for method, path in (
            ("GET", "/healthz"),
            ("GET", "/made/up"),
            ("TRACE", "/healthz"),
            ("DELETE", f"{CALLS}/rtc_made-up"),
        ):
            async with http.request(method, server.url + path):
                pass
        async with http.post(server.url + CALLS, data=AUDIO, headers=SDP) as response:
            assert response.status == 503
        text, found = await scrape(http, metrics)
    requests = found["icelane_signaling_requests_total"]
    assert requests[("GET", "/healthz", "200")] == 1
    assert requests[("GET", "none", "404")] == 1
    assert requests[("POST", CALLS, "503")] == 1
    assert {labels[0] for labels in requests} == {"GET", "POST", "DELETE", "other"}
    assert found["icelane_signaling_refused_requests_total"][("no_transceiver",)] == 1
    assert found["icelane_signaling_request_seconds_count"][(CALLS,)] == 1
    assert "made" not in text


async def test_what_comes_of_placing_a_call_is_counted(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    metrics = Endpoint("127.0.0.1", free_port())
    nobody = (Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")
    async with serve(nobody, metrics=metrics) as server:
        async with http.post(server.url + CALLS, data=AUDIO, headers=SDP):
            pass
        _, found = await scrape(http, metrics)
    placed = found["icelane_signaling_placements_total"]
    assert {result for (result,) in placed} == set(PLACEMENTS)
    assert placed[("no_transceiver",)] == 1
    assert found["icelane_signaling_transceivers"] == {
        ("registered",): 1,
        ("reachable",): 0,
        ("draining",): 0,
        ("with_room",): 0,
    }
    assert found["icelane_signaling_registry_working"] == {(): 1}


async def test_a_call_that_is_placed_is_counted(
    http: aiohttp.ClientSession, real_server: Any, offer: str
) -> None:
    async with http.post(real_server.url + CALLS, data=offer, headers=SDP) as response:
        assert response.status == 201
    assert real_server._pool.placements == {"placed": 1}
