"""The testbed: who reaches whom, on which processors programs run, and that nothing is left."""

import sys
from pathlib import Path

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.compare.testbed import testbed as testbed_module
from tests.bench.compare.testbed.testbed import DIRECT, MOST_FLOWS, Testbed
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER

pytestmark = pytest.mark.netns

SHOW_CORES = "import os, time; print('cores', sorted(os.sched_getaffinity(0)), flush=True)"
STAY = "; time.sleep(600)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_clients_have_addresses_of_their_own() -> None:
    testbed = Testbed()
    assert testbed.client(0) == Endpoint("198.18.0.1", 10_000)
    assert testbed.client(49_999) == Endpoint("198.18.0.1", 59_999)
    assert testbed.client(50_000) == Endpoint("198.18.0.2", 10_000)
    assert testbed.client(MOST_FLOWS - 1) == Endpoint("198.18.0.20", 59_999)
    assert len(testbed.upstreams) * len(testbed.upstream_ports) >= MOST_FLOWS


def test_hosts_send_to_their_neighbours_without_asking(routed: Testbed) -> None:
    for host, interface in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL)):
        relay = routed.mac(RELAY, interface).hex(":")
        with routed.hosts[host].netlink() as netlink:
            (neighbour,) = netlink.get_neighbours(lladdr=relay)
        assert neighbour.get_attr("NDA_LLADDR") == relay
    assert routed.interface(CLIENT) == PUBLIC
    assert routed.interface(TRANSCEIVER) == INTERNAL
    assert routed.mac(CLIENT, DIRECT) != routed.mac(TRANSCEIVER, DIRECT)


@pytest.mark.parametrize(("cores", "shown"), [(1, "[1]"), (2, "[0, 1]")])
def test_a_program_runs_on_its_cores_until_the_block_ends(
    routed: Testbed, cores: int, shown: str
) -> None:
    command = python(SHOW_CORES + STAY)
    with routed.start(command, ready="^cores", cores=cores) as started:
        assert started.lines() == [f"cores {shown}"]
        assert started.alive()
    assert not started.alive()


def test_a_program_that_ends_too_early_is_told_with_its_last_words(routed: Testbed) -> None:
    with pytest.raises(LabError, match="ended before it was ready"):
        routed.start(python(SHOW_CORES), ready="^never")


def test_nothing_is_left_of_a_testbed() -> None:
    with Testbed("test-left") as testbed:
        started = testbed.start(python(SHOW_CORES + STAY), ready="^cores")
        directory = testbed.directory
        assert directory.exists()
    assert not started.alive()
    assert not directory.exists()
    assert not any(host.exists() for host in testbed.hosts.values())


@pytest.mark.parametrize("before", ["1", "0", None])
def test_programs_compete_one_by_one_for_as_long_as_there_is_a_testbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    grouping = tmp_path / "sched_autogroup_enabled"
    monkeypatch.setattr(testbed_module, "_AUTOGROUP", grouping)
    if before is None:
        with testbed_module._one_scheduling_group():
            assert not grouping.exists()
        return
    grouping.write_text(before, "ascii")
    with testbed_module._one_scheduling_group():
        assert grouping.read_text("ascii") == "0"
    assert grouping.read_text("ascii") == before
