"""A program whose packets do not arrive is left: for generic mode, else for the agent."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel import losses
from relay.dataplane.kernel.config import LoadConfig, Mode
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.privileged import AsRoot
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.lab.overload import Redirecting, Tap, slow_way_out
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


@pytest.fixture
def slow(host: Host) -> Iterator[Tap]:
    """An interface of the host whose packets leave as slowly as a test wants."""
    with slow_way_out(host, "slow") as tap:
        yield tap


@pytest.fixture
def congested(host: Host, slow: Tap, new_config: NewConfig) -> Iterator[xdp.XdpDataplane]:
    """A dataplane with the slow interface, which may run in generic mode."""
    config = new_config("a", slow.name, mode=Mode.NATIVE)
    load(host, config)
    try:
        with opened(host, config, Mode.AUTO) as dataplane:
            yield dataplane
    finally:
        xdp.unload(config.instance)


@pytest.fixture
def frames(congested: xdp.XdpDataplane, slow: Tap) -> Iterator[Redirecting]:
    """Frames that are to leave by the slow interface, which is full."""
    asked = AsRoot(congested.status().instance).linked()
    with closing(Redirecting(asked["a"], asked[slow.name])) as frames:
        frames.send(1000)
        yield frames


def test_congestion_loses_packets_and_changes_nothing(
    congested: xdp.XdpDataplane, slow: Tap, frames: Redirecting
) -> None:
    for _ in range(15):
        slow.take(32)
        frames.send(1000)
        assert congested.reconcile() == []
    assert congested.counters()["transmit_dropped"] > 15 * 900
    assert (congested.forwards, congested.trouble) == (True, None)
    assert congested.status().interfaces == {"a": "native", slow.name: "native"}


@pytest.mark.parametrize(("each_time", "looks"), [(100, 3), (4, 6)])
def test_a_driver_that_sends_nothing_any_more_is_left_in_time(
    congested: xdp.XdpDataplane, slow: Tap, frames: Redirecting, each_time: int, looks: int
) -> None:
    """It says nothing: its ring is full, for ever. For a while that may be a busy host's."""

    def look() -> list[str]:
        frames.send(each_time)
        return congested.reconcile()

    congested.reconcile()
    assert [look() for _ in range(looks - 1)] == [[]] * (looks - 1)
    slow.take(32)
    frames.send(1000)
    assert congested.reconcile() == []
    assert [look() for _ in range(looks - 1)] == [[]] * (looks - 1)
    (said,) = look()
    assert f"All packets that the program sends through {slow.name} are lost" in said
    assert (congested.forwards, congested.trouble) == (False, said)
