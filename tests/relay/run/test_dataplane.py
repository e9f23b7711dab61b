"""Which dataplane an agent gets, and what its log says about it."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from relay.config.registry import Registry, Transceiver
from relay.dataplane import xdp
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel import bpffs, bpfsys
from relay.dataplane.kernel.config import LoadConfig
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.run.config import RelayConfig
from relay.run.dataplane import open_dataplane
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.relay.dataplane.conftest import new_host

pytestmark = pytest.mark.bpf

KEYS = KeyRing({0: bytes(32)}, signing_slot=0)
REGISTRY = Registry((Transceiver(Target(1, 1, 1), Endpoint("192.0.2.2", 5000)),))


@pytest.fixture
def config(new_config: Callable[..., LoadConfig]) -> Iterator[RelayConfig]:
    """Of a relay with its public interface on a host where that is a."""
    instance = new_config("a").instance
    bpffs.mount()  # so that no test hears that it was not mounted
    yield RelayConfig(
        vips=(Endpoint("203.0.113.10", 3478),),
        upstreams=("192.0.2.1",),
        keys=Path("keys.toml"),
        registry=Path("registry.toml"),
        interfaces=("a",),
        instance=instance,
        max_flows=8,
    )
    xdp.unload(instance)


def test_generic_mode_in_auto_is_warned_of(
    host: Host, config: RelayConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with host.netlink() as netlink:
        netlink.link("add", ifname="e", kind="bridge")  # which has no native mode
    for _ in range(2):  # an agent that is started again finds it loaded
        caplog.clear()
        with host.inside():
            dataplane = open_dataplane(replace(config, interfaces=("e",)), KEYS, REGISTRY)
        with closing(dataplane):
            assert dataplane.forwards
        (warning,) = [each.message for each in caplog.records if each.levelname == "WARNING"]
        assert "generic mode, which is several times slower" in warning


def test_a_program_of_another_size_is_taken_out_of_the_way(
    host: Host, config: RelayConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """It would drop what it does not know, so it may not run beside an agent that forwards."""
    with host.inside():
        open_dataplane(config, KEYS, REGISTRY).close()
        dataplane = open_dataplane(replace(config, max_flows=9), KEYS, REGISTRY)
    with closing(dataplane):
        assert isinstance(dataplane, XdpDataplane)
        assert not dataplane.forwards
    said = "\n".join(each.message for each in caplog.records)
    assert "room for 8 flows, and 9 are wanted" in said
    assert "will pass everything up" in said


def test_xdp_that_must_be_is_refused(host: Host, config: RelayConfig) -> None:
    wanted = replace(config, dataplane=DataplaneChoice.XDP, interfaces=("nowhere0",))
    with host.inside(), pytest.raises(DataplaneError, match="no interface nowhere0"):
        open_dataplane(wanted, KEYS, REGISTRY)


@pytest.mark.parametrize("choice", DataplaneChoice)
def test_the_instance_of_another_namespace_is_left_alone(
    host: Host, config: RelayConfig, choice: DataplaneChoice
) -> None:
    with host.inside(), closing(open_dataplane(config, KEYS, REGISTRY)):
        pass
    wanted = replace(config, dataplane=choice)
    with new_host() as other, other.inside(), pytest.raises(DataplaneError, match="--instance"):
        open_dataplane(wanted, KEYS, REGISTRY)
    pins = Pins(config.instance)
    with bpfsys.pinned(pins.link("a")) as link, bpfsys.pinned(pins.program) as program:
        assert bpfsys.link_info(link).program_id == bpfsys.program_info(program).id


def test_a_relay_without_interfaces_takes_a_loaded_program_out_of_the_way(
    host: Host, config: RelayConfig
) -> None:
    with host.inside():
        open_dataplane(config, KEYS, REGISTRY).close()
        with closing(open_dataplane(replace(config, interfaces=()), KEYS, REGISTRY)) as dataplane:
            assert isinstance(dataplane, XdpDataplane)
            assert not dataplane.forwards
