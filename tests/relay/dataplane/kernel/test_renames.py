"""An interface that is renamed runs the program on, under its new name."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel import renames
from relay.dataplane.kernel.config import LoadConfig, Outcome
from relay.dataplane.kernel.pins import Pins, locked
from relay.netns.host import Host
from tests.relay.dataplane.loading import NewConfig, load

pytestmark = [pytest.mark.netns, pytest.mark.bpf]


@pytest.fixture
def config(host: Host, running: LoadConfig, new_config: NewConfig) -> Iterator[LoadConfig]:
    """Of an instance on d and e."""
    xdp.unload(running.instance)
    with host.netlink() as netlink:
        for name in ("d", "e"):
            netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far")
    config = new_config("d", "e")
    load(host, config)
    yield config
    xdp.unload(config.instance)
    with host.netlink() as netlink:
        for name in ("d-far", "e-far"):
            netlink.link("del", index=netlink.link_lookup(ifname=name)[0])


def rename(host: Host, **names: str) -> None:
    with host.netlink() as netlink:
        for name, new in names.items():
            netlink.link("set", index=netlink.link_lookup(ifname=name)[0], ifname=new)


def test_the_agent_follows_and_says_so_once(host: Host, config: LoadConfig) -> None:
    rename(host, d="lan.1")
    with host.inside(), closing(xdp.XdpDataplane(config.instance)) as dataplane:
        (told,) = dataplane.reconcile()
        assert told.startswith("d is called lan.1 now, and runs the XDP program on;")
        assert dataplane.status().interfaces == {"lan.1": "native", "e": "native"}
        assert dataplane.reconcile() == []


def test_names_may_be_exchanged(host: Host, config: LoadConfig) -> None:
    pins = Pins(config.instance)
    before = pins.linked()
    rename(host, d="x", e="d")
    rename(host, x="e")
    with host.inside(), locked():
        assert len(renames.follow(pins)) == 2
    assert pins.linked() == {"d": before["e"], "e": before["d"]}


def test_the_loader_takes_an_interface_for_its_own(host: Host, config: LoadConfig) -> None:
    rename(host, d="x")
    report = load(host, replace(config, interfaces=("x", "e")))
    assert report.outcome is Outcome.KEPT
    assert report.interfaces == {"x": "native", "e": "native"}


def test_in_another_namespace_names_mean_nothing(config: LoadConfig) -> None:
    pins = Pins(config.instance)
    with locked():
        assert renames.follow(pins) == []
    assert set(pins.links()) == {"d", "e"}
