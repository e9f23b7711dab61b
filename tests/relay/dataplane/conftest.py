"""A host whose interfaces can run the program."""

import itertools
import os
import secrets
from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute

from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.dataplane.kernel.pins import Pins, instances
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import FLOW, NewConfig, load

_numbers = itertools.count(1)

VIP = Endpoint("203.0.113.10", 3478)
SETTINGS = Settings((VIP,), (UpstreamRange("192.0.2.1", 20000, 29999),), {(1, 0): bytes(16)})


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A namespace with the interfaces a and b."""
    host = Host(f"test-{os.getpid()}-{secrets.token_hex(2)}", "relay")
    host.create()
    host.sysctl("ipv6/conf/default/disable_ipv6", 1)
    try:
        with IPRoute(netns=host.namespace) as netlink:
            for name in ("a", "b"):
                netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far")
            for link in netlink.get_links():
                netlink.link("set", index=link["index"], state="up")
        yield host
    finally:
        host.remove()


@pytest.fixture(scope="module")
def new_config() -> Iterator[NewConfig]:
    """Makes configurations of instances of their own, unloaded in the end."""
    made = []

    def make(*interfaces: str, max_flows: int = 8, mode: Mode = Mode.AUTO) -> LoadConfig:
        instance = f"test-{os.getpid()}-{next(_numbers)}"
        made.append(instance)
        return LoadConfig(instance, interfaces, SETTINGS, max_flows, mode)

    yield make
    for instance in made:
        xdp.unload(instance)


@pytest.fixture(scope="module")
def first_config(new_config: NewConfig) -> LoadConfig:
    """Of the instance that most tests share: compiling takes a second."""
    return new_config("a", "b")


@pytest.fixture
def running(host: Host, first_config: LoadConfig) -> LoadConfig:
    """A loaded instance on both interfaces, with a flow; alone on the host."""
    config = first_config
    for instance in instances():
        if instance.startswith(f"test-{os.getpid()}-") and instance != config.instance:
            xdp.unload(instance)
    if set(Pins(config.instance).links()) != {"a", "b"}:
        load(host, config)
    dataplane = xdp.XdpDataplane(config.instance)
    dataplane.install(FLOW)
    dataplane.close()
    return config
