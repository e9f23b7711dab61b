"""An instance with room for 8 flows, as the dataplane's tests have it."""

from tests.relay.dataplane.conftest import instance, maps_host, pins

__all__ = ["instance", "maps_host", "pins"]
