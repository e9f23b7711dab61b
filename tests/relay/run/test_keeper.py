"""What keeps an agent's dataplane in step, on a real session table."""

import time
from contextlib import closing

import pytest

from relay.config.registry import Registry
from relay.core.flow import Instant, State
from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.pins import PinnedMap, Pins
from relay.dataplane.userspace import UserspaceDataplane
from relay.dataplane.xdp import XdpDataplane
from relay.netns.host import Host
from relay.run.keeper import DataplaneKeeper
from tests.relay.conftest import Scene
from tests.relay.dataplane.loading import SEEN_WITHIN, count_packets
from tests.relay.run.test_config import config_of


class Heard(UserspaceDataplane):
    """It has heard both sides of each flow at one moment."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at

    def record(self, flow: FlowTuple) -> FlowRecord:
        return FlowRecord(flow, Activity(1, 1, self.at - 1), Activity(1, 1, self.at))


async def test_the_agent_takes_over_when_flows_were_heard_in_the_kernel(scene: Scene) -> None:
    """Or all would expire at once, as silent as they are to the agent itself."""
    flow = scene.connect()
    dataplane = Heard(flow.last_from_transceiver + 1_000.0)
    config = config_of(instance="test-keeper-of-nothing")
    keeper = DataplaneKeeper(config, scene.keys, Registry(()), scene.table, dataplane)
    await keeper.switch(DataplaneChoice.USERSPACE)
    at = dataplane.at
    assert (flow.last_from_client, flow.last_from_transceiver) == (at - 1, at)
    # What the agent has heard itself since is younger, and stays.
    dataplane.at -= 50.0
    await keeper.switch(DataplaneChoice.USERSPACE)
    assert flow.last_from_transceiver == at


@pytest.mark.bpf
async def test_flows_that_the_kernel_forwarded_do_not_expire_at_a_switch(
    scene: Scene, pins: Pins, maps_host: Host
) -> None:
    flow = scene.connect()
    now = Instant(time.monotonic(), scene.now.unix)
    # As long ago as nothing of it has come to the agent: the kernel has forwarded all.
    flow.last_from_client = flow.last_from_transceiver = now.monotonic - 1000.0
    with maps_host.inside(), closing(XdpDataplane(pins.instance)) as dataplane:
        dataplane.install(flow.addresses)
        count_packets(pins, 3, now.monotonic)
        config = config_of(instance=pins.instance)
        keeper = DataplaneKeeper(config, scene.keys, Registry(()), scene.table, dataplane)
        await keeper.switch(DataplaneChoice.USERSPACE)
        try:
            scene.table.sweep(now)
        finally:
            dataplane.activate()
        assert scene.table.count(State.CONFIRMED) == 1
        assert now.monotonic - flow.last_from_client < SEEN_WITHIN + 10.0
        dataplane.remove(flow.addresses)


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
