"""An interface that went away and came back runs the program again."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Mode
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError
from relay.netns.host import Host
from tests.lab.xdp_pass import attach_xdp_pass
from tests.relay.dataplane.loading import NewConfig, load, program_of, running_program

pytestmark = pytest.mark.bpf


class TestComesBack:
    """An interface that went away: the loader attaches it again, and so does an agent."""

    @pytest.fixture
    def config(self, host: Host, running: LoadConfig, new_config: NewConfig) -> LoadConfig:
        """Of an instance on a and d, the second of which has gone."""
        xdp.unload(running.instance)
        config = new_config("a", "d")
        with host.netlink() as netlink:
            netlink.link("add", ifname="d", kind="veth", peer="d-far")
            load(host, config)
            netlink.link("del", index=netlink.link_lookup(ifname="d")[0])
        return config

    @pytest.fixture
    def dataplane(self, config: LoadConfig) -> Iterator[xdp.XdpDataplane]:
        with closing(xdp.XdpDataplane(config.instance)) as dataplane:
            yield dataplane
        xdp.unload(config.instance)

    def bring_back(self, host: Host, **kind: str) -> int:
        with host.netlink() as netlink:
            netlink.link("add", ifname="d", **(kind or {"kind": "veth", "peer": "d-far"}))
            (index,) = netlink.link_lookup(ifname="d")
        return int(index)

    def remove(self, host: Host) -> None:
        with host.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname="d")[0])

    def test_the_loader_attaches_it(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        with host.inside():
            assert dataplane.status().interfaces == {"a": "native", "d": None}
        self.bring_back(host)
        load(host, config)
        with host.inside():
            assert dataplane.status().interfaces == {"a": "native", "d": "native"}
        self.remove(host)

    def test_a_running_dataplane_attaches_it(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        with host.inside():
            assert dataplane.reconcile() == []  # it is still away
        index = self.bring_back(host)
        with host.inside():
            (said,) = dataplane.reconcile()
            assert "d is back" in said
            assert dataplane.status().interfaces == {"a": "native", "d": "native"}
            assert dataplane.reconcile() == []
        assert program_of(config, "d") == program_of(config, "a")
        with PinnedMap(Pins(config.instance).map("tx_ports")) as ports:
            assert index in [each["value"]["ifindex"] for each in ports.show()]
        with PinnedMap(Pins(config.instance).map("ingresses")) as ingresses:
            assert index in [each["value"]["ifindex"] for each in ingresses.show()]
        self.remove(host)

    def test_while_the_agent_forwards_it_runs_what_the_others_run(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        dataplane.deactivate()
        self.bring_back(host)
        with host.inside():
            dataplane.reconcile()
        assert program_of(config, "d") == program_of(config, "a")
        dataplane.activate()
        assert program_of(config, "d") == program_of(config, "a")
        self.remove(host)

    def test_somebody_elses_program_on_it_stays(
        self, host: Host, dataplane: xdp.XdpDataplane
    ) -> None:
        self.bring_back(host)
        attach_xdp_pass(host, "d")
        before = running_program(host, "d")
        with host.inside(), pytest.raises(DataplaneError, match="d runs another XDP program"):
            dataplane.reconcile()
        assert running_program(host, "d") == before
        with host.netlink() as netlink:
            index = netlink.link_lookup(ifname="d")[0]
            netlink.link("set", index=index, IFLA_XDP={"attrs": [("IFLA_XDP_FD", -1)]})
        with host.inside():
            assert len(dataplane.reconcile()) == 1  # when that has gone, ours comes
        self.remove(host)

    def test_one_that_cannot_does_not_make_the_others_forgotten(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        with host.netlink() as netlink:
            netlink.link("add", ifname="e", kind="veth", peer="e-far")
        self.bring_back(host)
        load(host, replace(config, interfaces=("a", "d", "e")))
        with host.netlink() as netlink:
            for name in ("d", "e"):
                netlink.link("del", index=netlink.link_lookup(ifname=name)[0])
                netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far")
        attach_xdp_pass(host, "e")
        with host.inside():
            with pytest.raises(DataplaneError, match="e runs another XDP program"):
                dataplane.reconcile()
            assert dataplane.status().interfaces == {"a": "native", "d": None, "e": None}
        with host.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname="e")[0])
        with host.inside():
            assert len(dataplane.reconcile()) == 1
            assert dataplane.status().interfaces == {"a": "native", "d": "native", "e": None}
        self.remove(host)

    def test_it_runs_in_generic_mode_only_where_it_may(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        self.bring_back(host)
        load(host, replace(config, interfaces=("d",)))
        self.remove(host)
        self.bring_back(host, kind="bridge")  # which has no native mode
        with (
            host.inside(),
            closing(xdp.XdpDataplane(config.instance, Mode.NATIVE)) as strict,
            pytest.raises(DataplaneError, match="driver of d refuses native mode"),
        ):
            strict.reconcile()
        with host.inside():
            back, warning = dataplane.reconcile()
            assert dataplane.status().interfaces == {"d": "generic"}
        assert "d is back" in back
        assert "generic mode, which is several times slower" in warning
        self.remove(host)
