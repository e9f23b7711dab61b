"""Whether a driver takes what is sent to it, asked of real veths."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyroute2 import IPRoute

from relay.dataplane import xdp
from relay.dataplane.kernel import proof
from relay.dataplane.kernel.config import LoadConfig, Mode
from relay.dataplane.kernel.losses import TRACEPOINTS
from relay.dataplane.kernel.pins import Pins
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.relay.dataplane.loading import NewConfig, load

pytestmark = pytest.mark.bpf


@pytest.fixture
def config(host: Host, new_config: NewConfig) -> Iterator[LoadConfig]:
    """Of an instance that is loaded natively on a and b."""
    config = new_config("a", "b", mode=Mode.NATIVE)
    load(host, config)
    yield config
    xdp.unload(config.instance)


@contextmanager
def without_gro(host: Host, interface: str) -> Iterator[None]:
    with host.inside():
        set_offload(interface, Offload.GRO, on=False)
    try:
        yield
    finally:
        with host.inside():
            set_offload(interface, Offload.GRO, on=True)


def set_state(netlink: IPRoute, interface: str, state: str) -> None:
    netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state=state)


def refusing(host: Host, config: LoadConfig) -> list[str]:
    pins = Pins(config.instance)
    with host.inside():
        return proof.find_refusing(pins, proof.askable(pins))


def test_those_whose_other_ends_take_nothing_are_found(host: Host, config: LoadConfig) -> None:
    assert refusing(host, config) == []
    with without_gro(host, "b-far"):
        assert refusing(host, config) == ["b"]
    assert refusing(host, config) == []


def test_nobody_is_judged_by_a_link_that_is_down(host: Host, config: LoadConfig) -> None:
    pins = Pins(config.instance)
    with host.netlink() as netlink:
        set_state(netlink, "b-far", "down")
        try:
            assert list(proof.askable(pins)) == ["a"]
        finally:
            set_state(netlink, "b-far", "up")
        assert list(proof.askable(pins)) == ["a", "b"]


def test_nobody_is_judged_where_losses_are_not_counted(host: Host, config: LoadConfig) -> None:
    pins = Pins(config.instance)
    with without_gro(host, "b-far"):
        for name in TRACEPOINTS.values():
            pins.tracepoint(name).unlink()
        assert refusing(host, config) == []


def test_what_is_sent_tells_nobody_anything(host: Host, config: LoadConfig) -> None:
    """It is no packet of a protocol that anybody has, and is not forwarded by bridges."""
    before = xdp.status(config.instance).counters
    refusing(host, config)
    after = xdp.status(config.instance).counters
    assert after == before
