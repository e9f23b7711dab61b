"""What keeps an agent's dataplane in step, on a real session table."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from relay.config.registry import Registry
from relay.core.flow import CloseUpstream, Command, Flow, Forget, Instant, Remove
from relay.dataplane import xdp
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.userspace import UserspaceDataplane
from relay.dataplane.xdp import XdpDataplane
from relay.netns.host import Host
from relay.run.executor import now
from relay.run.housekeeping import Housekeeping
from relay.run.keeper import DataplaneKeeper
from tests.relay.conftest import ALICE, MALLORY, RTP, Scene
from tests.relay.dataplane.loading import SEEN_WITHIN, NewConfig, count_packets, load
from tests.relay.run.test_config import config_of

if TYPE_CHECKING:
    from relay.run.executor import Executor


@pytest.fixture
def loaded(host: Host, new_config: NewConfig) -> Iterator[str]:
    """An instance without flows, which a test may unload."""
    config = new_config("a", "b")
    load(host, config)
    yield config.instance
    xdp.unload(config.instance)


async def no_sockets(flows: Iterable[Flow]) -> int:
    return len(list(flows)) * 0


class Executed(list[Command]):
    """What was to be done; the real executor wants sockets."""

    def execute(self, commands: Iterable[Command]) -> None:
        self += commands


async def switched(keeper: DataplaneKeeper) -> None:
    await keeper.switch(DataplaneChoice.USERSPACE)


async def unloaded(keeper: DataplaneKeeper) -> None:
    assert await keeper.unload()


async def unloaded_by_somebody(keeper: DataplaneKeeper) -> None:
    xdp.unload(keeper._config.instance)
    await keeper.tend()


async def lost_delivery(keeper: DataplaneKeeper) -> None:
    """As `reconcile` does where what the program sends does not leave."""
    keeper.dataplane.deactivate()


@pytest.mark.bpf
@pytest.mark.parametrize("sleeps", [False, True])
@pytest.mark.parametrize("leave", [switched, unloaded, unloaded_by_somebody, lost_delivery])
async def test_calls_that_are_quiet_when_the_kernel_forwards_no_more_go_on(
    loaded: str,
    host: Host,
    leave: Callable[[DataplaneKeeper], Coroutine[None, None, None]],
    sleeps: bool,
) -> None:
    """To the agent, all have been silent since they were set up, as the kernel forwarded."""
    scene = Scene(now=Instant(time.monotonic() - 1000.0, time.time() - 1000.0))
    before = [scene.connect(each).addresses for each in (ALICE, MALLORY)]
    with host.inside(), closing(XdpDataplane(loaded)) as dataplane:
        for each in before:
            dataplane.install(each)
        heard = time.monotonic() - 50.0
        count_packets(Pins(loaded), 3, heard)
        if sleeps:
            scene = Scene(now=scene.now)
            scene.table.adopt(dataplane, scene.now)
        config = config_of(instance=loaded)
        keeper = DataplaneKeeper(config, scene.keys, Registry(()), scene.table, dataplane)
        executed = Executed()
        keep = Housekeeping(scene.table, keeper, cast("Executor", executed))

        async def look() -> None:
            """What may happen at any moment: a sweep, and that it is asked who lives there."""
            await keep.sweep()
            for flow in scene.table:
                seen = keeper.dataplane.record(flow.addresses).to_transceiver.last_seen
                assert max(flow.last_from_client, seen) > heard - SEEN_WITHIN

        async def unsteer(flows: Iterable[Flow]) -> int:
            await look()
            return await no_sockets(flows)

        keeper.start(unsteer)
        await look()
        leaving = asyncio.create_task(leave(keeper))
        while not leaving.done():
            await asyncio.sleep(0)
            await look()
        await leaving
        assert not keeper.dataplane.forwards
        scene.now = now()
        scene.client(RTP)  # which wakes it, if it sleeps still
        await look()
        assert sorted(flow.addresses for flow in scene.table) == sorted(before)
    assert not [each for each in executed if isinstance(each, Remove | CloseUpstream | Forget)]


@pytest.mark.bpf
async def test_nor_do_they_end_when_it_has_forwarded_for_a_moment_only(
    loaded: str, host: Host
) -> None:
    scene = Scene(now=Instant(time.monotonic() - 1000.0, time.time() - 1000.0))
    flow = scene.connect()
    flow.last_from_transceiver = time.monotonic() - scene.table.limits.idle + 60.0
    with host.inside(), closing(XdpDataplane(loaded)) as dataplane:
        dataplane.install(flow.addresses)
        dataplane.deactivate()
        config = config_of(instance=loaded)
        keeper = DataplaneKeeper(config, scene.keys, Registry(()), scene.table, dataplane)
        keeper.start(no_sockets)
        executed = Executed()
        keep = Housekeeping(scene.table, keeper, cast("Executor", executed))
        await keep.sweep()
        await keeper.switch(DataplaneChoice.XDP)
        count_packets(Pins(loaded), 3, time.monotonic())
        await keeper.switch(DataplaneChoice.USERSPACE)
        flow.last_from_transceiver -= 120.0  # as if there had been as much time between the two
        await keep.sweep()
    assert list(scene.table) == [flow]


@pytest.mark.bpf
async def test_other_keys_are_in_force_when_the_kernel_has_them(
    scene: Scene, pins: Pins, maps_host: Host
) -> None:
    with maps_host.inside(), closing(XdpDataplane(pins.instance)) as dataplane:
        config = config_of(instance=pins.instance)
        keeper = DataplaneKeeper(config, scene.keys, scene.registry, scene.table, dataplane)
        scene.keys.take(scene.keys.added(bytes)[0])
        keeper.rekey()
        assert keeper.keys_in_force == {"slots": [0], "signing": 0}
        await keeper.tend()
        assert keeper.keys_in_force == {"slots": [0, 1], "signing": 0}
        with PinnedMap(pins.map("route_keys")) as table:
            had = {value for _, value in table.items()}
        clusters = scene.registry.clusters
        assert had == {scene.keys.route_key(each, slot) for each in clusters for slot in (0, 1)}


async def test_without_a_kernel_they_are_in_force_at_once(scene: Scene) -> None:
    config = config_of(instance="test-keeper-of-nothing")
    nothing = UserspaceDataplane()
    keeper = DataplaneKeeper(config, scene.keys, scene.registry, scene.table, nothing)
    scene.keys.take(scene.keys.added(bytes)[0])
    keeper.rekey()
    assert keeper.keys_in_force == {"slots": [0, 1], "signing": 0}
