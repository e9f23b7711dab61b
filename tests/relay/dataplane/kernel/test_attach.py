"""Attaching to real interfaces: next to other programs, and in the modes that drivers allow."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pyroute2 import IPRoute

from relay.dataplane import xdp
from relay.dataplane.kernel.attach import attached_mode
from relay.dataplane.kernel.config import LoadConfig, Mode
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.lab.xdp_pass import attach_xdp_pass
from tests.relay.dataplane.loading import NewConfig, load, program_of, running_program

pytestmark = pytest.mark.bpf


def test_another_program_is_never_replaced_and_nothing_is_left_half_done(
    host: Host, running: LoadConfig, new_config: NewConfig
) -> None:
    load(host, replace(running, interfaces=("b",)))
    second = new_config("a", "b")
    with pytest.raises(DataplaneError, match="b runs another XDP program already"):
        load(host, second)
    assert not Pins(second.instance).directory.exists()
    with host.inside():
        assert attached_mode("a") is None
        assert attached_mode("b") is Mode.NATIVE


class TestForce:
    """Somebody else's program is detached when that is asked for, and can be."""

    @pytest.fixture
    def other(self, host: Host, running: LoadConfig) -> Iterator[int]:
        """A program on b, attached over netlink as `ip link` does it: its number."""
        xdp.unload(running.instance)
        attach_xdp_pass(host, "b")
        number, _ = running_program(host, "b")
        assert number is not None
        yield number
        with host.netlink() as netlink:
            index = netlink.link_lookup(ifname="b")[0]
            netlink.link("set", index=index, IFLA_XDP={"attrs": [("IFLA_XDP_FD", -1)]})

    def test_it_is_detached_with_a_warning(
        self, host: Host, other: int, new_config: NewConfig
    ) -> None:
        config = new_config("a", "b")
        with pytest.raises(DataplaneError, match=r"b runs another XDP program already.*--force"):
            load(host, config)
        assert running_program(host, "b") == (other, "xdp")
        report = load(host, replace(config, force=True))
        assert report.interfaces == {"a": "native", "b": "native"}
        (warning,) = report.warnings
        assert f"b ran another XDP program (number {other}), which --force has detached" in warning
        assert load(host, replace(config, force=True)).warnings == ()
        xdp.unload(config.instance)

    def test_it_is_attached_again_when_loading_fails(
        self, host: Host, other: int, running: LoadConfig, new_config: NewConfig
    ) -> None:
        load(host, replace(running, interfaces=("a",)))  # by a link, which cannot be detached
        config = replace(new_config("b", "a"), force=True)
        with pytest.raises(DataplaneError, match=r"a runs the XDP program \d+ by a link"):
            load(host, config)
        assert running_program(host, "b") == (other, "xdp")
        assert program_of(running, "a") == running_program(host, "a")[0]
        assert not Pins(config.instance).directory.exists()


class TestMode:
    """Native first; a driver that refuses is quoted."""

    @pytest.fixture
    def picky(self, host: Host, running: LoadConfig) -> Host:
        """A host whose interface c cannot run a program natively: it is a bridge."""
        xdp.unload(running.instance)
        with IPRoute(netns=host.namespace) as netlink:
            if not netlink.link_lookup(ifname="c"):
                netlink.link("add", ifname="c", kind="bridge")
        return host

    def test_native_takes_frames_that_are_larger_than_a_page(
        self, host: Host, running: LoadConfig, new_config: NewConfig
    ) -> None:
        xdp.unload(running.instance)
        with host.netlink() as netlink:
            netlink.link("add", ifname="j", kind="veth", peer="j-far")
            with host.inside():
                set_offload("j-far", Offload.GRO, on=True)
            for name in ("j", "j-far"):
                (index,) = netlink.link_lookup(ifname=name)
                netlink.link("set", index=index, mtu=9000, state="up")
        config = new_config("j", mode=Mode.NATIVE)
        assert load(host, config).interfaces == {"j": "native"}
        xdp.unload(config.instance)

    @pytest.fixture
    def deaf(self, host: Host, running: LoadConfig) -> Iterator[Host]:
        """A host whose interface k is a veth whose other end takes no frames of XDP."""
        xdp.unload(running.instance)
        with host.netlink() as netlink:
            netlink.link("add", ifname="k", kind="veth", peer="k-far")
            for name in ("k", "k-far"):
                netlink.link("set", index=netlink.link_lookup(ifname=name)[0], state="up")
            yield host
            netlink.link("del", index=netlink.link_lookup(ifname="k")[0])

    def test_native_is_refused_where_nothing_would_arrive(
        self, deaf: Host, new_config: NewConfig
    ) -> None:
        config = new_config("a", "k", mode=Mode.NATIVE)
        with pytest.raises(DataplaneError, match=r"^k runs.*nothing that it sends.*ethtool -K"):
            load(deaf, config)
        assert not Pins(config.instance).directory.exists()
        with deaf.inside():
            assert attached_mode("a") is attached_mode("k") is None

    def test_auto_is_generic_where_nothing_would_arrive(
        self, deaf: Host, new_config: NewConfig
    ) -> None:
        config = new_config("a", "k")
        report = load(deaf, config)
        assert report.interfaces == {"a": "generic", "k": "generic"}
        assert any(
            "k runs the program, and nothing that it sends" in said for said in report.warnings
        )
        xdp.unload(config.instance)

    def test_native_is_refused_in_the_drivers_words(
        self, picky: Host, new_config: NewConfig
    ) -> None:
        config = new_config("a", "c", mode=Mode.NATIVE)
        with pytest.raises(
            DataplaneError,
            match=r"driver of c refuses native mode: .*does not support XDP.*only generic mode",
        ):
            load(picky, config)
        with picky.inside():
            assert attached_mode("a") is attached_mode("c") is None

    def test_auto_falls_back_on_all_interfaces_and_says_so(
        self, picky: Host, new_config: NewConfig
    ) -> None:
        config = new_config("a", "c")
        report = load(picky, config)
        assert report.interfaces == {"a": "generic", "c": "generic"}
        (warning,) = report.warnings
        assert "does not support XDP" in warning
        assert "generic mode" in warning
        again = load(picky, replace(config, interfaces=("a", "c", "b")))
        assert set(again.interfaces.values()) == {"generic"}
        xdp.unload(config.instance)

    def test_generic_is_taken_when_asked_for(self, picky: Host, new_config: NewConfig) -> None:
        config = new_config("b", mode=Mode.GENERIC)
        report = load(picky, config)
        assert (report.interfaces, report.warnings) == ({"b": "generic"}, ())
        with pytest.raises(DataplaneError, match=r"some in generic(.|\n)*icelane relay unload"):
            load(picky, replace(config, interfaces=("a", "b"), mode=Mode.NATIVE))
        with picky.inside():
            assert attached_mode("a") is None
        xdp.unload(config.instance)
