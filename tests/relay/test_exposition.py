"""What is measured, as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

from relay.exposition import Exposition
from relay.histogram import Histogram
from relay.metrics import Kind, Metric, alone

CALLS = Metric("icelane_test_calls_total", Kind.COUNTER, "Calls.", ("kind", "way"))
ROOM = Metric("icelane_test_room", Kind.GAUGE, "Room.")
DELAY = Metric("icelane_test_delay_seconds", Kind.HISTOGRAM, "Delay.", ("step",))


def test_each_kind_is_served_as_what_it_is() -> None:
    delay = Histogram((0.1, 0.5))
    delay.observe(0.3)
    exposition = Exposition(
        lambda: [(CALLS, {("good", "in"): 3}), (ROOM, alone(2.5)), (DELAY, {"dtls": delay})]
    )
    lines = exposition.text().decode().splitlines()
    for line in (
        "# HELP icelane_test_calls_total Calls.",
        "# TYPE icelane_test_calls_total counter",
        'icelane_test_calls_total{kind="good",way="in"} 3.0',
        "# TYPE icelane_test_room gauge",
        "icelane_test_room 2.5",
        "# TYPE icelane_test_delay_seconds histogram",
        'icelane_test_delay_seconds_bucket{le="0.1",step="dtls"} 0.0',
        'icelane_test_delay_seconds_bucket{le="0.5",step="dtls"} 1.0',
        'icelane_test_delay_seconds_bucket{le="+Inf",step="dtls"} 1.0',
        'icelane_test_delay_seconds_sum{step="dtls"} 0.3',
    ):
        assert line in lines


def test_version_and_process_are_told_beside() -> None:
    families = text_string_to_metric_families(Exposition(list).text().decode())
    found = {family.name: family for family in families}
    assert found["icelane_build_info"].samples[0].labels["version"]
    assert found["process_open_fds"].samples[0].value > 0
    assert "process_resident_memory_bytes" in found


def test_it_is_measured_at_each_scrape() -> None:
    counted = [0]

    def measure() -> list[tuple[Metric, dict[tuple[str, ...], float]]]:
        counted[0] += 1
        return [(ROOM, {(): float(counted[0])})]

    exposition = Exposition(measure)
    assert [b"icelane_test_room 1.0" in exposition.text() for _ in range(2)] == [True, False]
