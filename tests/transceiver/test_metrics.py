"""What a transceiver tells Prometheus."""

from collections.abc import Callable
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from transceiver.metrics import METRICS
from transceiver.server import Transceiver


async def scrape(transceiver: Transceiver) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name, and by the values of their labels."""
    url = f"http://{transceiver.control}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_every_metric_that_is_declared_is_served(transceiver: Transceiver) -> None:
    url = f"http://{transceiver.control}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        text = await response.text()
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text


async def test_a_refused_request_is_counted_by_its_code(
    transceiver: Transceiver, caller: Callable[..., Any]
) -> None:
    await caller().request("POST", "/v1/sessions", {"sdp": "hello"})
    found = await scrape(transceiver)
    assert found["icelane_transceiver_control_errors_total"] == {("invalid_candidates",): 1}
    assert found["icelane_transceiver_calls_total"] == {(): 0}


async def test_a_call_is_counted_from_its_beginning_to_its_end(
    transceiver: Transceiver, caller: Callable[..., Any], until: Callable[..., Any]
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(5))
    found = await scrape(transceiver)
    assert found["icelane_transceiver_calls_total"] == {(): 1}
    assert found["icelane_transceiver_places_taken"] == {(): 1}
    assert found["icelane_transceiver_sessions"][("connected",)] == 1
    assert found["icelane_transceiver_setup_seconds_count"][("dtls",)] == 1
    await client.request("DELETE", f"/v1/sessions/{client.id}")
    found = await scrape(transceiver)
    assert found["icelane_transceiver_sessions"] == {("new",): 0, ("connected",): 0}
    ended = found["icelane_transceiver_calls_ended_total"]
    assert {reason for reason, count in ended.items() if count} == {("hung_up",)}
    packets = found["icelane_transceiver_rtp_packets_total"]
    assert min(packets[("from_clients",)], packets[("to_clients",)]) >= 5
    assert not [name for name in found if client.id in str(found[name])]
