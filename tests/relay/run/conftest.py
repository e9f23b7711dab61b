"""Hosts with interfaces and instances for them, as the dataplane's tests have them."""

from tests.relay.dataplane.conftest import host, new_config

__all__ = ["host", "new_config"]
