"""What a relay does right now: from its agent, or from the pinned maps where none runs."""

import asyncio
from pathlib import Path

import pytest

from relay.admin.snapshot import take_snapshot
from relay.config.directory import Directory
from relay.config.registry import Registry
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import LoadConfig
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import DataplaneError
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.relay.dataplane.loading import FLOW

KEYS = {"agent", "instance", "dataplane", "counters", "dataplane_counters", "flows"}


def agent_of(admin: Path, instance: str = "default") -> Agent:
    config = RelayConfig(
        vips=(Endpoint("127.0.0.1", 0),),
        upstreams=("127.0.0.1",),
        keys=admin,
        registry=admin,
        dataplane=DataplaneChoice.USERSPACE,
        instance=instance,
        admin=admin,
    )
    return Agent(config, KeyRing({0: bytes(32)}, 0), Directory(Registry(())), UserspaceDataplane())


async def test_an_agent_is_asked(tmp_path: Path) -> None:
    admin = tmp_path / "admin.sock"
    async with agent_of(admin):
        snapshot = await asyncio.to_thread(take_snapshot, "default", admin)
    assert snapshot.keys() >= KEYS
    assert snapshot["agent"] is True
    assert (snapshot["dataplane"], snapshot["flows"]) == ("userspace", [])


@pytest.mark.bpf
class TestLoadedProgram:
    def test_without_an_agent_the_pinned_maps_tell(
        self, running: LoadConfig, tmp_path: Path
    ) -> None:
        snapshot = take_snapshot(running.instance, tmp_path / "nobody.sock")
        assert snapshot.keys() == KEYS
        assert snapshot["agent"] is False
        assert (snapshot["instance"], snapshot["dataplane"]) == (running.instance, "xdp")
        (flow,) = snapshot["flows"]
        assert flow["client"] == str(FLOW.client)
        assert flow["state"] == "confirmed"
        assert snapshot["dataplane_counters"]["stun_forged"] == 0

    async def test_an_agent_knows_better_than_the_maps(
        self, running: LoadConfig, tmp_path: Path
    ) -> None:
        admin = tmp_path / "admin.sock"
        async with agent_of(admin, running.instance):
            snapshot = await asyncio.to_thread(take_snapshot, running.instance, admin)
        assert (snapshot["agent"], snapshot["flows"]) == (True, [])


@pytest.mark.bpf
def test_where_there_is_neither_both_are_named(tmp_path: Path) -> None:
    admin = tmp_path / "nobody.sock"
    with pytest.raises(DataplaneError) as caught:
        take_snapshot("never-loaded", admin)
    assert f"no agent answers at {admin}" in str(caught.value)
    assert "and no program: " in str(caught.value)
    assert "never-loaded" in str(caught.value)
