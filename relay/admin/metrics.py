"""Prometheus metrics over HTTP: numbers of reasons and flows, never an address, an id or a key."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from relay.errors import BindError
from relay.wire.endpoint import Endpoint

Numbers = Callable[[], Mapping[str, int]]


class RelayCollector(Collector):
    """Reads the relay's numbers when somebody asks for them.

    Args:
        agent: The agent's datagrams by reason.
        dataplane: The dataplane's packets by reason.
        flows: Flows by state.
        changes: Changes to the host's network by kind.
    """

    def __init__(
        self, agent: Numbers, dataplane: Numbers, flows: Numbers, changes: Numbers
    ) -> None:
        self._agent = agent
        self._dataplane = dataplane
        self._flows = flows
        self._changes = changes

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The metric families of one scrape."""
        agent = CounterMetricFamily(
            "icelane_relay_agent_datagrams", "Datagrams and events of the agent.", labels=["reason"]
        )
        for reason, count in self._agent().items():
            agent.add_metric([reason], count)
        yield agent
        dataplane = CounterMetricFamily(
            "icelane_relay_kernel_packets", "Packets of the XDP program.", labels=["reason"]
        )
        for reason, count in self._dataplane().items():
            dataplane.add_metric([reason], count)
        yield dataplane
        flows = GaugeMetricFamily("icelane_relay_flows", "Flows of the relay.", labels=["state"])
        for state, count in self._flows().items():
            flows.add_metric([state], count)
        yield flows
        changes = CounterMetricFamily(
            "icelane_relay_network_changes",
            "Changes to the host's network after which all flows asked the FIB again.",
            labels=["kind"],
        )
        for kind, count in self._changes().items():
            changes.add_metric([kind], count)
        yield changes


@contextmanager
def serving(endpoint: Endpoint, collector: RelayCollector) -> Iterator[Endpoint]:
    """Serve the collector's metrics, from a thread of its own, while the context is entered.

    Gives the address, with the port that was taken where 0 was asked for.

    Raises:
        BindError: The address cannot be bound.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(endpoint.port, endpoint.host, registry)
    except OSError as error:
        raise BindError(f"cannot serve metrics at {endpoint}: {error.strerror}") from None
    try:
        yield endpoint._replace(port=server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
