import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from relay.admin.metrics import RelayCollector, serving
from relay.errors import BindError
from relay.wire.endpoint import Endpoint


class Numbers:
    """A relay's numbers, which change between two scrapes."""

    def __init__(self) -> None:
        self.agent = {"received_from_clients": 3, "forged": 1}
        self.dataplane = {"forwarded_to_client": 1_000_000}
        self.flows = {"pending": 1, "confirmed": 2}
        self.changes = {"routes": 4}

    def collector(self) -> RelayCollector:
        return RelayCollector(
            lambda: self.agent, lambda: self.dataplane, lambda: self.flows, lambda: self.changes
        )


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
def endpoint(request: pytest.FixtureRequest, numbers: Numbers) -> Iterator[Endpoint]:
    """Where metrics are served."""
    host: str = request.param
    with serving(Endpoint(host, 0), numbers.collector()) as endpoint:
        yield endpoint


def scrape(endpoint: Endpoint) -> list[str]:
    with urlopen(f"http://{endpoint}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_a_scrape_has_every_number_and_nothing_else(endpoint: Endpoint, numbers: Numbers) -> None:
    lines = scrape(endpoint)
    assert sorted(lines) == [
        'icelane_relay_agent_datagrams_total{reason="forged"} 1.0',
        'icelane_relay_agent_datagrams_total{reason="received_from_clients"} 3.0',
        'icelane_relay_flows{state="confirmed"} 2.0',
        'icelane_relay_flows{state="pending"} 1.0',
        'icelane_relay_kernel_packets_total{reason="forwarded_to_client"} 1e+06',
        'icelane_relay_network_changes_total{kind="routes"} 4.0',
    ]
    numbers.agent["forged"] = 2
    assert 'icelane_relay_agent_datagrams_total{reason="forged"} 2.0' in scrape(endpoint)


def test_without_numbers_there_are_no_samples(numbers: Numbers) -> None:
    numbers.agent = numbers.dataplane = numbers.flows = numbers.changes = {}
    families = list(numbers.collector().collect())
    assert [family.name for family in families] == [
        "icelane_relay_agent_datagrams",
        "icelane_relay_kernel_packets",
        "icelane_relay_flows",
        "icelane_relay_network_changes",
    ]
    assert not any(family.samples for family in families)


def test_a_taken_address_is_refused_in_words(numbers: Numbers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint.of(taken.getsockname())
        with (
            pytest.raises(BindError, match=f"at {endpoint}: Address already in use"),
            serving(endpoint, numbers.collector()),
        ):
            pass


def test_an_address_of_another_host_is_refused_in_words(numbers: Numbers) -> None:
    with (
        pytest.raises(BindError, match=r"cannot serve metrics at 192\.0\.2\.1:9100: "),
        serving(Endpoint("192.0.2.1", 9100), numbers.collector()),
    ):
        pass


def test_the_address_is_free_again_afterwards(numbers: Numbers) -> None:
    with serving(Endpoint("127.0.0.1", 0), numbers.collector()) as endpoint:
        pass
    with serving(endpoint, numbers.collector()) as again:
        assert again == endpoint
