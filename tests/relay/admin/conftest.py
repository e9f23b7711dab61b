"""Hosts with interfaces and instances for them, as the dataplane's tests have them."""

from tests.relay.dataplane.conftest import first_config, host, new_config, running

__all__ = ["first_config", "host", "new_config", "running"]
