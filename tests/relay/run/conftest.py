"""Hosts with interfaces and instances for them, as the dataplane's tests have them."""

from tests.relay.dataplane.conftest import host, instance, maps_host, new_config, pins

__all__ = ["host", "instance", "maps_host", "new_config", "pins"]
