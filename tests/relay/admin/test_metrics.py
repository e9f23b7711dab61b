import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.request import urlopen

import pytest

from relay.admin import catalogue
from relay.admin.metrics import RelayCollector, listen, serving
from relay.dataplane.interface import Usage
from relay.errors import BindError
from relay.wire.endpoint import Endpoint
from tests.relay.admin.test_health import Relay


class Numbers:
    """A relay's numbers, which change between two scrapes."""

    def __init__(self) -> None:
        self.agent = {
            "received_from_clients": 3,
            "forwarded_to_transceivers": 2,
            "bytes_to_transceivers": 250,
            "bad_route": 1,
            "send_failed_eio": 5,
            "rebound": 1,
        }
        self.dataplane = {"forwarded_to_client": 1_000_000, "stun_forged": 7}
        self.usage: Usage | None = Usage(4, 100, 500, 600)
        self.mirror: tuple[float, int] | None = (0.25, 6)
        self.flows = {"pending": 1, "confirmed": 2}
        self.changes = {"routes": 4}
        self.used = {"ports": 3}
        self.limits = {"ports": 20_000}

    def collector(self) -> RelayCollector:
        return RelayCollector(
            agent=lambda: self.agent,
            dataplane=lambda: self.dataplane,
            flows=lambda: self.flows,
            changes=lambda: self.changes,
            used=lambda: self.used,
            limits=lambda: self.limits,
            setups=lambda: {"0.01": 1, "sum": 0.007},
            usage=lambda: self.usage,
            mirror=lambda: self.mirror,
        )


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
def endpoint(request: pytest.FixtureRequest, numbers: Numbers) -> Iterator[Endpoint]:
    """Where metrics are served."""
    host: str = request.param
    with serving(listen(Endpoint(host, 0)), numbers.collector(), Relay()) as endpoint:
        yield endpoint


def scrape(endpoint: Endpoint) -> list[str]:
    with urlopen(f"http://{endpoint}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    "line",
    [
        'icelane_relay_packets_total{dataplane="xdp",direction="to_client"} 1e+06',
        'icelane_relay_packets_total{dataplane="userspace",direction="to_transceiver"} 2.0',
        'icelane_relay_bytes_total{dataplane="userspace",direction="to_transceiver"} 250.0',
        'icelane_relay_bytes_total{dataplane="xdp",direction="to_client"} 600.0',
        'icelane_relay_agent_received_packets_total{source="clients"} 3.0',
        'icelane_relay_dropped_packets_total{dataplane="userspace",reason="bad_route"} 1.0',
        'icelane_relay_dropped_packets_total{dataplane="userspace",reason="route_full"} 0.0',
        'icelane_relay_dropped_packets_total{dataplane="userspace",reason="send_failed_eio"} 5.0',
        'icelane_relay_dropped_packets_total{dataplane="xdp",reason="stun_forged"} 7.0',
        'icelane_relay_events_total{event="rebound"} 1.0',
        'icelane_relay_flows{state="confirmed"} 2.0',
        'icelane_relay_kernel_packets_total{reason="forwarded_to_client"} 1e+06',
        'icelane_relay_setup_seconds_bucket{le="0.01"} 1.0',
        'icelane_relay_setup_seconds_bucket{le="+Inf"} 1.0',
        "icelane_relay_setup_seconds_sum 0.007",
        'icelane_relay_limit{of="ports"} 20000.0',
        'icelane_relay_limit{of="kernel_flows"} 100.0',
        'icelane_relay_used{of="kernel_flows"} 4.0',
        'icelane_relay_network_changes_total{kind="routes"} 4.0',
        "icelane_relay_mirror_lag_seconds 0.25",
        "icelane_relay_mirror_queue_length 6.0",
    ],
)
def test_a_scrape_has_every_number(endpoint: Endpoint, line: str) -> None:
    assert line in scrape(endpoint)


def test_a_scrape_has_the_numbers_of_its_moment(endpoint: Endpoint, numbers: Numbers) -> None:
    numbers.agent["rebound"] = 2
    assert 'icelane_relay_events_total{event="rebound"} 2.0' in scrape(endpoint)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/plain; version=x", "text/plain; version=0.0.4"),
        ("text/plain;version=1.x, */*", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=latest", "text/plain; version=0.0.4"),
        ("text/plain; version=x, application/openmetrics-text", "application/openmetrics-text"),
        ("text/plain; version=1.0.0", "text/plain; version=1.0.0"),
        ("application/openmetrics-text;version=1.0.0;q=0.5", "application/openmetrics-text"),
        ("\xff;;=,,version=\xb2", "text/plain; version=0.0.4"),
        ("", "text/plain; version=0.0.4"),
    ],
)
def test_a_scrape_that_accepts_what_nobody_knows_gets_the_usual_format(
    endpoint: Endpoint, accept: str, content_type: str
) -> None:
    with closing(HTTPConnection(endpoint.host, endpoint.port, timeout=5)) as http:
        http.request("GET", "/metrics", headers={"Accept": accept})
        answer = http.getresponse()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        assert b'icelane_relay_flows{state="confirmed"} 2.0' in answer.read()


def test_what_a_relay_in_userspace_has_not_is_not_told(
    endpoint: Endpoint, numbers: Numbers
) -> None:
    """No kernel, no Redis."""
    numbers.dataplane, numbers.usage, numbers.mirror = {}, None, None
    lines = scrape(endpoint)
    of_kernel = ('dataplane="xdp"', "icelane_relay_kernel", "icelane_relay_mirror", "kernel_flows")
    assert not [line for line in lines if any(each in line for each in of_kernel)]


def test_a_drop_is_no_event_and_an_event_no_drop() -> None:
    counters = {"bad_route": 1, "send_failed_eperm": 1, "rebound": 1, "bytes_to_clients": 9}
    assert dict(catalogue.events(counters)) == {"rebound": 1}
    assert [name for name in counters if catalogue.is_drop(name)] == [
        "bad_route",
        "send_failed_eperm",
    ]


def test_a_taken_address_is_refused_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint.of(taken.getsockname())
        with pytest.raises(BindError, match=f"at {endpoint}: another process has that port"):
            listen(endpoint)


def test_an_address_of_another_host_is_refused_in_words() -> None:
    with pytest.raises(BindError, match=r"cannot serve metrics at 192\.0\.2\.1:9100: "):
        listen(Endpoint("192.0.2.1", 9100))


def test_an_agent_and_its_successor_serve_at_one_socket(numbers: Numbers) -> None:
    """One of them accepts, and the other one does not wait for the next connection then."""
    listener = listen(Endpoint("127.0.0.1", 0))
    with (
        serving(listener, numbers.collector(), Relay()) as endpoint,
        serving(listener.dup(), numbers.collector(), Relay()),
    ):
        for _ in range(20):
            assert scrape(endpoint)


def test_the_address_is_free_again_afterwards(numbers: Numbers) -> None:
    with serving(listen(Endpoint("127.0.0.1", 0)), numbers.collector(), Relay()) as endpoint:
        pass
    with serving(listen(endpoint), numbers.collector(), Relay()) as again:
        assert again == endpoint
