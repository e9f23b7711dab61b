"""An instance belongs to a network namespace, for as long as that is there."""

import time
from contextlib import closing
from dataclasses import replace

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig, Outcome
from relay.dataplane.kernel.ownaddresses import VIPS, OwnTable
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.conftest import new_host
from tests.relay.dataplane.loading import FLOW, NewConfig, link_ids, load

pytestmark = pytest.mark.bpf

GONE_WITHIN = 10.0  # seconds


def flows(config: LoadConfig) -> list[FlowTuple]:
    with closing(xdp.XdpDataplane(config.instance)) as dataplane:
        return list(dataplane.tuples())


def test_an_instance_belongs_to_a_network_namespace(host: Host, running: LoadConfig) -> None:
    links = link_ids(running.instance)
    vip = Endpoint("203.0.113.99", 3478)
    wanted = replace(running, settings=replace(running.settings, vips=(vip,)))
    with new_host() as other, pytest.raises(DataplaneError, match="--instance") as refused:
        load(other, wanted)
    assert f"is loaded in the network namespace {host.namespace}" in str(refused.value)
    assert link_ids(running.instance) == links
    assert flows(running) == [FLOW]
    with closing(OwnTable(Pins(running.instance), VIPS)) as vips:
        assert vip.packed not in vips.names().values()
    with host.inside():  # it is still what its own relay would keep
        assert xdp.load(running).outcome is Outcome.KEPT


def test_one_whose_namespace_has_gone_is_for_the_next_and_keeps_its_flows(
    new_config: NewConfig,
) -> None:
    config = new_config("a", "b")
    with new_host() as gone:
        load(gone, config)
        with closing(xdp.XdpDataplane(config.instance)) as dataplane:
            dataplane.install(FLOW)
    # The kernel takes a namespace apart some time after its last user has left.
    deadline = time.monotonic() + GONE_WITHIN
    while any(Pins(config.instance).linked().values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with new_host() as again:
        assert load(again, config).interfaces == {"a": "native", "b": "native"}
        assert load(again, config).outcome is Outcome.KEPT
        assert flows(config) == [FLOW]
