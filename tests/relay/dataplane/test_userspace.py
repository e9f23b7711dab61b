"""The userspace dataplane takes no flow off the agent, whatever it is asked."""

from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.userspace import UserspaceDataplane
from tests.relay.dataplane.loading import FLOW


def test_installed_flows_are_still_the_agents() -> None:
    dataplane = UserspaceDataplane()
    dataplane.install(FLOW)
    dataplane.activate()
    assert not dataplane.forwards
    assert list(dataplane.tuples()) == []
    assert list(dataplane.idle(float("inf"))) == []
    assert dataplane.record(FLOW) == FlowRecord(FLOW, Activity(0, 0, 0.0), Activity(0, 0, 0.0))
    dataplane.note_edge(FLOW.client)
    dataplane.remove(FLOW)
    dataplane.deactivate()


def test_there_is_nothing_to_count_or_to_warn_of() -> None:
    dataplane = UserspaceDataplane()
    assert dataplane.counters() == {}
    assert dataplane.reconcile() == []
    dataplane.close()
