"""What takes privileges, by root itself: where an instance is, and whether it is there."""

from dataclasses import replace

import pytest
from pyroute2.netlink.rtnl.ndmsg import NUD_DELAY, NUD_STALE

from relay.dataplane import xdp
from relay.dataplane.kernel import rtnetlink, txports
from relay.dataplane.kernel.config import LoadConfig
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.privileged import AsRoot
from relay.errors import DataplaneError
from relay.netns.host import Host
from tests.relay.dataplane.conftest import new_host
from tests.relay.run.helper.conftest import no_free_file

pytestmark = [pytest.mark.netns, pytest.mark.bpf]


def test_a_table_is_known_where_its_instance_belongs(host: Host, running: LoadConfig) -> None:
    kernel = AsRoot(running.instance)
    with host.inside():
        kernel.require_not_elsewhere()
        number = kernel.table()
        assert number is not None
        assert kernel.table() == number
    with new_host() as other, other.inside():
        assert kernel.table() is None
        with pytest.raises(DataplaneError, match="--instance"):
            kernel.require_not_elsewhere()
    assert kernel.has("counters")
    xdp.unload(running.instance)
    with host.inside():
        assert kernel.table() is None
        assert not kernel.has("counters")
        assert not kernel.is_loaded()


def test_while_a_table_cannot_be_looked_at_it_is_the_one_that_was(
    host: Host, running: LoadConfig
) -> None:
    kernel = AsRoot(running.instance)
    with host.inside():
        with no_free_file():
            with pytest.raises(DataplaneError, match="cannot be told: Too many open files"):
                kernel.table()
            with pytest.raises(DataplaneError, match="counters cannot be opened: Too many open"):
                kernel.opened("counters")
        number = kernel.table()
        with no_free_file():
            assert kernel.table() == number is not None


def test_links_run_what_forwards_or_what_passes_all_up(host: Host, running: LoadConfig) -> None:
    kernel, pins = AsRoot(running.instance), Pins(running.instance)
    with host.inside():
        for on in (False, True):
            kernel.forward(on=on)
            assert pins.running(on=on).exists()
            assert kernel.follow_interfaces(on=on, mode=running.mode) == []
        assert kernel.refusing(kernel.linked()) == []
        assert kernel.trouble() is None


def test_neighbours_on_vlans_are_probed_too_where_the_interface_below_is_named(
    host: Host, running: LoadConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain interface stands in for the VLAN's: the kernel's modules have no VLANs everywhere."""
    with host.netlink() as netlink:
        netlink.link("add", ifname="a.5", kind="veth", peer="a.5-far")
        netlink.link("add", ifname="other", kind="veth", peer="other-far")
        index = {name: netlink.link_lookup(ifname=name)[0] for name in ("a", "a.5", "other")}
        for each in index.values():
            netlink.link("set", index=each, state="up")

        def links() -> list[rtnetlink.Link]:
            vlan = {"lower": index["a"], "vlan": 5, "kind": "vlan"}
            return [
                replace(link, **vlan) if link.index == index["a.5"] else link
                for link in rtnetlink.links()
            ]

        monkeypatch.setattr(txports, "links", links)
        for number, each in enumerate(index.values(), 2):
            netlink.neigh(
                "add",
                dst=f"192.0.2.{number}",
                lladdr=f"02:00:00:00:00:{number:02x}",
                ifindex=each,
                state=NUD_STALE,
            )
        with host.inside():
            AsRoot(running.instance).probe_neighbours()
        states = {name: netlink.get_neighbours(ifindex=index[name]) for name in index}
        assert {name: [each["state"] for each in found] for name, found in states.items()} == {
            "a": [NUD_DELAY],
            "a.5": [NUD_DELAY],
            "other": [NUD_STALE],
        }
        for name in ("a.5", "other"):
            netlink.link("del", index=index[name])
