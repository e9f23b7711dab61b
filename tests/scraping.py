"""What Prometheus would read at an address."""

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, dict[tuple[str, ...], float]]


async def scrape(http: aiohttp.ClientSession, address: object) -> tuple[str, Samples]:
    """The text, and the samples by name and by the values of their labels, sorted by label.

    Args:
        http: Asks.
        address: Host and port.
    """
    async with http.get(f"http://{address}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return text, found
