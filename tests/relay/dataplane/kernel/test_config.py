"""What the loader is told."""

from dataclasses import replace

import pytest

from relay.dataplane.kernel.config import LoadConfig, Settings, UpstreamRange
from relay.errors import DataplaneError
from relay.wire.endpoint import Endpoint

SETTINGS = Settings(
    vips=(Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::1", 3478)),
    upstreams=(UpstreamRange("192.0.2.1", 20000, 29999),),
    route_keys={(1, 0): bytes(range(16)), (65535, 6): bytes(16)},
)
CONFIG = LoadConfig("edge", ("eth0", "eth1.5"), SETTINGS)


def test_a_configuration_without_interfaces_is_refused() -> None:
    with pytest.raises(DataplaneError, match="give one to `icelane relay run`"):
        replace(CONFIG, interfaces=())


@pytest.mark.parametrize("max_flows", [0, -1, (1 << 24) + 1])
def test_sizes_that_no_map_can_have_are_refused(max_flows: int) -> None:
    with pytest.raises(DataplaneError, match="choose from 1 to 16,777,216"):
        replace(CONFIG, max_flows=max_flows)
