"""The session table of an agent, as its settings want it."""

import secrets
from collections.abc import Callable

from relay.config.directory import Directory
from relay.core.admission import Admission
from relay.core.flowtuple import FlowTuple
from relay.core.ports import UpstreamPool
from relay.core.session import SessionTable
from relay.run.config import RelayConfig
from relay.wire.edgekeys import EdgeKeys
from relay.wire.keys import KeyRing


def new_table(
    config: RelayConfig,
    keys: KeyRing,
    edge_keys: EdgeKeys,
    registry: Directory,
    heard: Callable[[FlowTuple], float],
) -> SessionTable:
    """A session table without a flow.

    Args:
        config: The agent's settings.
        keys: The clusters' keys.
        edge_keys: What an edge has of clusters elsewhere.
        registry: Where transceivers are.
        heard: See `SessionTable`.
    """
    # The lowest cluster's key serves all: the port's hash needs only to be the same each time.
    port_key = keys.port_key(keys.home(registry.clusters))
    return SessionTable(
        vips=frozenset(config.vips),
        upstreams={
            (transport, family): UpstreamPool(hosts, ports, port_key)
            for family, hosts in config.upstreams_by_family.items()
            for transport, ports in config.ports_by_transport.items()
        },
        registry=registry,
        keys=keys,
        randbelow=secrets.randbelow,
        limits=config.limits,
        edge_keys=edge_keys,
        admission=Admission(config.rates),
        heard=heard,
    )
