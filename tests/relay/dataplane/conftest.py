"""A host whose interfaces can run the program."""

import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.dataplane.kernel.pins import Pins, instances
from relay.dataplane.kernel.settings import write_settings
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.lab.links import bring_up
from tests.relay.dataplane.loading import FLOW, MAX_FLOWS, VIP, VIP6, NewConfig, clear, load

_numbers = itertools.count(1)
# Of no other instance: `running` unloads all of these but its own.
_PREFIX = f"dataplane-test-{os.getpid()}-"

UPSTREAM = "192.0.2.1"
_UPSTREAMS = tuple(UpstreamRange(each, 20000, 29999) for each in (UPSTREAM, "2001:db8:2::1"))
SETTINGS = Settings((VIP, VIP6), _UPSTREAMS, {(1, 0): bytes(16)})


@contextmanager
def new_host() -> Iterator[Host]:
    """A namespace with the interfaces a and b."""
    host = Host(f"test-{os.getpid()}-{secrets.token_hex(2)}", "relay")
    host.create()
    try:
        host.sysctl("ipv6/conf/default/disable_ipv6", 1)
        with host.netlink() as netlink:
            for name in ("a", "b"):
                netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far")
            with host.inside():  # what is redirected to a and b arrives
                for name in ("a", "b"):
                    set_offload(f"{name}-far", Offload.GRO, on=True)
            bring_up(netlink)
        with host.inside():
            for name in ("a", "b"):
                set_offload(f"{name}-far", Offload.TX_CHECKSUM, on=False)
        yield host
    finally:
        host.remove()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host of a module's own, with the interfaces a and b."""
    with new_host() as host:
        yield host


@pytest.fixture(scope="session")
def maps_host() -> Iterator[Host]:
    """The host of `instance`, which has the upstream address."""
    with new_host() as host:
        with host.netlink() as netlink:
            netlink.addr("add", index=1, address=UPSTREAM, prefixlen=32)
        yield host


@pytest.fixture(scope="session")
def instance(maps_host: Host) -> Iterator[str]:
    """A loaded instance with room for 8 flows, for tests of its maps and links."""
    config = LoadConfig(f"maps-{maps_host.network}", ("a", "b"), SETTINGS, MAX_FLOWS)
    try:
        load(maps_host, config)
        yield config.instance
    finally:
        xdp.unload(config.instance)


@pytest.fixture
def pins(instance: str) -> Pins:
    """That instance's, without flows and with the settings that it was loaded with."""
    pins = Pins(instance)
    clear(pins)
    write_settings(pins, SETTINGS)
    return pins


@pytest.fixture(scope="module")
def new_config() -> Iterator[NewConfig]:
    """Makes configurations of instances of their own, unloaded in the end."""
    made = []

    def make(*interfaces: str, max_flows: int = MAX_FLOWS, mode: Mode = Mode.AUTO) -> LoadConfig:
        instance = f"{_PREFIX}{next(_numbers)}"
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
        if instance.startswith(_PREFIX) and instance != config.instance:
            xdp.unload(instance)
    if set(Pins(config.instance).links()) != {"a", "b"}:
        load(host, config)
    dataplane = xdp.XdpDataplane(config.instance)
    dataplane.install(FLOW)
    dataplane.close()
    return config
