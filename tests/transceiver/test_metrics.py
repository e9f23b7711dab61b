"""What a transceiver tells Prometheus."""

from collections.abc import Callable
from typing import Any

import aiohttp

from tests.scraping import Samples, scrape
from transceiver.metrics import METRICS
from transceiver.server import Transceiver


async def samples(transceiver: Transceiver) -> Samples:
    """What it tells now."""
    async with aiohttp.ClientSession() as http:
        return (await scrape(http, transceiver.control))[1]


async def test_every_metric_that_is_declared_is_served(transceiver: Transceiver) -> None:
    async with aiohttp.ClientSession() as http:
        text, _ = await scrape(http, transceiver.control)
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text


async def test_a_refused_request_is_counted_by_its_code(
    transceiver: Transceiver, caller: Callable[..., Any]
) -> None:
    await caller().request("POST", "/v1/sessions", {"sdp": "hello"})
    found = await samples(transceiver)
    assert found["icelane_transceiver_control_errors_total"] == {("invalid_candidates",): 1}
    assert found["icelane_transceiver_calls_total"] == {(): 0}


async def test_a_call_is_counted_from_its_beginning_to_its_end(
    transceiver: Transceiver, caller: Callable[..., Any], until: Callable[..., Any]
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(5))
    found = await samples(transceiver)
    assert found["icelane_transceiver_calls_total"] == {(): 1}
    assert found["icelane_transceiver_places_taken"] == {(): 1}
    assert found["icelane_transceiver_sessions"][("connected",)] == 1
    assert found["icelane_transceiver_setup_seconds_count"][("dtls",)] == 1
    await client.request("DELETE", f"/v1/sessions/{client.id}")
    found = await samples(transceiver)
    assert found["icelane_transceiver_sessions"] == {("new",): 0, ("connected",): 0}
    ended = found["icelane_transceiver_calls_ended_total"]
    assert {reason for reason, count in ended.items() if count} == {("hung_up",)}
    packets = found["icelane_transceiver_rtp_packets_total"]
    assert min(packets[("from_clients",)], packets[("to_clients",)]) >= 5
    assert not [name for name in found if client.id in str(found[name])]
