"""An interface that is renamed runs the program on, under its new name."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel import bpfsys, renames, rtnetlink
from relay.dataplane.kernel.config import LoadConfig, Mode, Outcome
from relay.dataplane.kernel.ingresses import renew_ingresses
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins, locked
from relay.dataplane.kernel.privileged import AsRoot
from relay.dataplane.kernel.reattach import reattach
from relay.dataplane.kernel.txports import renew_tx_ports
from relay.netns.host import Host
from tests.relay.dataplane.conftest import new_host
from tests.relay.dataplane.loading import NewConfig, load, running_program

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

NUMBER = 4000  # that no interface has by itself


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
            for index in netlink.link_lookup(ifname=name):
                netlink.link("del", index=index)


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


@pytest.fixture
def away() -> Iterator[Host]:
    """A host that interfaces are moved to."""
    with new_host() as away:
        yield away


def move(host: Host, name: str, away: Host) -> None:
    """Move an interface; it gets another number, as if its own were taken there."""
    with host.netlink() as netlink:
        fd = os.open(away.path, os.O_RDONLY)
        (index,) = netlink.link_lookup(ifname=name)
        netlink.link("set", index=index, net_ns_fd=fd, new_ifindex=NUMBER)
        os.close(fd)


def test_one_that_was_moved_away_is_not_one_here_with_its_number(
    host: Host, config: LoadConfig, away: Host
) -> None:
    move(host, "d", away)
    pins = Pins(config.instance)
    with bpfsys.pinned(pins.link("d")) as link:
        assert bpfsys.link_info(link).ifindex == NUMBER  # it runs the program on, there
    with host.netlink() as netlink:
        netlink.link("add", ifname="bridge", kind="bridge", index=NUMBER)
        (e,) = netlink.link_lookup(ifname="e")
    with host.inside():
        with locked():
            assert renames.follow(pins) == []
        assert pins.linked() == {"d": 0, "e": e}
        renew_tx_ports(pins)
        assert [each.index for each in renew_ingresses(pins)] == [e]
        assert xdp.status(config.instance).interfaces == {"d": None, "e": "native"}
    assert pins.linked() == {"d": NUMBER, "e": e}  # as nobody from elsewhere can tell
    with PinnedMap(pins.map("tx_ports")) as table:
        assert {each["value"]["ifindex"] for each in table.show()} - {0} == {e}
    with host.netlink() as netlink:
        netlink.link("del", index=NUMBER)


@pytest.mark.parametrize(("moved", "stays"), [("d", "e"), ("e", "d")])
def test_one_that_was_moved_away_takes_no_other_ones_place(
    host: Host, config: LoadConfig, away: Host, moved: str, stays: str
) -> None:
    """Both run the program, and have the same number, each where it is."""
    move(host, moved, away)
    pins = Pins(config.instance)
    with host.netlink() as netlink:
        netlink.link("del", index=netlink.link_lookup(ifname=stays)[0])
        netlink.link("add", ifname=stays, kind="veth", peer=f"{stays}-far", index=NUMBER)
    with host.inside(), locked():
        reattach(pins, pins.program, Mode.AUTO)
        assert renames.follow(pins) == []
        assert pins.linked() == {moved: 0, stays: NUMBER}
    program = running_program(host, stays)
    assert program
    rename(host, **{stays: "lan"})
    with host.inside(), locked():
        assert len(renames.follow(pins)) == 1  # it cannot tell whose, and detaches none
        assert "lan" in pins.links()
        assert list(pins.linked().values()).count(NUMBER) == 1
    assert running_program(host, "lan") == program
    rename(host, lan=stays)


@pytest.mark.parametrize("reload", [False, True])
def test_another_of_its_name_and_number_is_attached_anew(
    host: Host, config: LoadConfig, away: Host, *, reload: bool
) -> None:
    move(host, "d", away)
    with host.netlink() as netlink:
        netlink.link("add", ifname="d", kind="veth", peer="d-other", index=NUMBER)
    report = load(host, replace(config, reload=reload))
    assert report.interfaces == {"d": "native", "e": "native"}
    assert running_program(host, "d") == running_program(host, "e")
    assert running_program(away, "d")[0] is None
    with host.netlink() as netlink:
        netlink.link("del", index=NUMBER)


def test_an_interface_whose_program_is_replaced_meanwhile_is_here(
    host: Host, config: LoadConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, links = AsRoot(config.instance), rtnetlink.links
    for on in (False, True):

        def replaced(*, on: bool = on) -> list[rtnetlink.Link]:
            kernel.forward(on=on)
            return links()

        with host.inside():
            monkeypatch.setattr(rtnetlink, "links", replaced)
            assert 0 not in kernel.linked().values()
            monkeypatch.setattr(rtnetlink, "links", links)
