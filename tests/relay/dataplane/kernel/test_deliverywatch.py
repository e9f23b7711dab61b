"""A program whose packets do not arrive is left: for generic mode, else for the agent."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel import losses
from relay.dataplane.kernel.config import LoadConfig, Mode
from relay.dataplane.kernel.deliverywatch import DeliveryWatch
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.kernel.privileged import AsRoot
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.relay.dataplane.loading import NewConfig, load

pytestmark = pytest.mark.bpf


@pytest.fixture
def config(host: Host, new_config: NewConfig) -> Iterator[LoadConfig]:
    """Of an instance that is loaded natively on a and b, the other end of which can change."""
    config = new_config("a", "b", mode=Mode.NATIVE)
    load(host, config)
    yield config
    xdp.unload(config.instance)


@contextmanager
def opened(host: Host, config: LoadConfig, mode: Mode) -> Iterator[xdp.XdpDataplane]:
    with host.inside(), closing(xdp.XdpDataplane(config.instance, mode)) as dataplane:
        assert dataplane.reconcile() == []  # it was proven
        try:
            yield dataplane
        finally:
            set_offload("b-far", Offload.GRO, on=True)


def add(pins: Pins, name: str, packets: int) -> None:
    """Let packets have been lost."""
    with PinnedMap(pins.map(losses.MAP)) as table:
        key, span = table.key.number(0), table.value.spans[name]
        value = bytearray(table.lookup(key) or b"")
        value[span] = (int.from_bytes(value[span], "little") + packets).to_bytes(8, "little")
        table.update(key, bytes(value))


def test_generic_mode_comes_where_it_may(host: Host, config: LoadConfig) -> None:
    with opened(host, config, Mode.AUTO) as dataplane:
        set_offload("b-far", Offload.GRO, on=False)
        assert dataplane.reconcile() == []  # nothing was lost yet, so nobody is asked
        add(Pins(config.instance), "redirect_failed", 1)
        (said,) = dataplane.reconcile()
        assert "b runs the program, and nothing that it sends" in said
        assert dataplane.trouble == said
        assert dataplane.forwards
        assert dataplane.status().interfaces == {"a": "generic", "b": "generic"}
        assert dataplane.reconcile() == []
    # An agent that is started again keeps it, and says so.
    report = load(host, replace(config, mode=Mode.AUTO))
    assert any("in generic mode" in warning for warning in report.warnings)


def test_where_native_mode_must_be_the_agent_forwards(host: Host, config: LoadConfig) -> None:
    with opened(host, config, Mode.NATIVE) as dataplane:
        set_offload("b-far", Offload.GRO, on=False)
        add(Pins(config.instance), "transmit_dropped", 1)
        (said,) = dataplane.reconcile()
        assert "icelane dataplane switch xdp" in said
        assert (dataplane.forwards, dataplane.trouble) == (False, said)
        set_offload("b-far", Offload.GRO, on=True)
        dataplane.activate()
        assert dataplane.reconcile() == []
        assert (dataplane.forwards, dataplane.trouble) == (True, None)


def test_a_driver_that_takes_frames_may_lose_some(host: Host, config: LoadConfig) -> None:
    with opened(host, config, Mode.AUTO) as dataplane:
        add(Pins(config.instance), "transmit_dropped", 100)
        assert dataplane.reconcile() == []
        assert dataplane.status().interfaces == {"a": "native", "b": "native"}


@pytest.mark.parametrize(
    ("forwarded", "lost", "futile"), [(100, 60, True), (100, 40, False), (6, 6, False)]
)
def test_half_of_what_is_forwarded_may_not_be_lost_again_and_again(
    host: Host, config: LoadConfig, forwarded: int, lost: int, *, futile: bool
) -> None:
    pins = AsRoot(config.instance)
    with host.inside(), PinnedMap(pins.map(losses.MAP)) as table:
        watch = DeliveryWatch(pins, table)
        looks = []
        for number in range(3):
            looks.append(watch.is_futile({"forwarded_to_client": number * forwarded, "no": 9}))
            add(pins, "transmit_dropped", lost)
    assert looks == [False, False, futile]
