"""What an operator calls a flow by: its client, upstream address, id or ufrag; pure."""

import re
from collections.abc import Callable
from ipaddress import ip_address

from relay.admin.flowentry import id_of
from relay.core.flowtuple import FlowTuple
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint, canonical_host
from relay.wire.errors import EndpointError, RouteError
from relay.wire.route import read_ufrag

_ID = re.compile(r"[0-9a-f]{6,12}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


def parse_name(text: str) -> Callable[[FlowTuple], bool]:
    """Whether a flow is called so.

    It is its client (``203.0.113.2:40000``, or without the port), its upstream address
    (``192.0.2.1:20417``, or the port alone), its id or the beginning of it, or its ufrag.

    Raises:
        ConfigError: It is none of these.
    """
    if _PORT.fullmatch(text) and 0 < int(text) < 1 << 16:
        port = int(text).to_bytes(2, "big")
        return lambda flow: flow.packed_upstream.endswith(port)
    if _ID.fullmatch(text):
        return lambda flow: id_of(flow).startswith(text)
    try:
        return _by_address(text)
    except ValueError:
        pass
    try:
        route = read_ufrag(text).raw
    except RouteError:
        raise ConfigError(
            f"{text!r} names no flow: write its client, such as 203.0.113.2:40000, its upstream "
            "port, its id, or its ufrag"
        ) from None
    return lambda flow: flow.route == route


def _by_address(text: str) -> Callable[[FlowTuple], bool]:
    """Raises ValueError where it is no address."""
    try:
        packed = Endpoint.parse(text).packed
    except EndpointError:
        host = Endpoint(canonical_host(str(ip_address(text))), 1).packed[:-2]
        return lambda flow: flow.packed_client.startswith(host)
    return lambda flow: packed in (flow.packed_client, flow.packed_upstream)
