"""Calls through an edge: client - edge - 60 ms - relay of the cluster - transceiver."""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.lab.edge.network import CLIENT_ADDRESS, EDGE, EDGE_VIP, MEDIA, RELAY, RELAY_VIP
from tests.lab.edge.site import EdgeCall, EdgeSite, Settings

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

STAGES = (EDGE, RELAY)
DISTANCE = 0.06  # seconds of a round trip between edge and relay
LIMIT = 60.0  # seconds until what must happen has happened
ENDLESS = 120.0  # seconds; such a call is hung up


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EdgeSite]:
    name, directory = f"edge-{request.param}", tmp_path_factory.mktemp("edge")
    with EdgeSite(Settings(name, dataplane=request.param), directory) as site:
        site.set_distance(DISTANCE)
        yield site


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.05)


def flow_at(site: EdgeSite, stage: str, upstream: str | None = None) -> dict[str, Any] | None:
    """The flow with an upstream address, or that of the only call that is under way."""
    for flow in reversed(site.status(stage)["flows"]):
        if flow["state"] == "confirmed" and upstream in (None, flow["upstream"]):
            found: dict[str, Any] = flow
            return found
    return None


def packets(site: EdgeSite, stage: str, upstream: str | None) -> int:
    """How many of it have reached the transceiver and the client, the fewer of both."""
    flow = flow_at(site, stage, upstream)
    return min(flow[way]["packets"] for way in ("to_transceiver", "to_client")) if flow else 0


def wait_for_media(site: EdgeSite, upstreams: Sequence[str | None] = (None, None)) -> list[str]:
    """Wait for packets at both stages, and return the upstream addresses of their flow."""
    at = list(zip(STAGES, upstreams, strict=True))
    before = [packets(site, *each) for each in at]
    eventually(
        lambda: all(
            packets(site, *each) > count + 50 for each, count in zip(at, before, strict=True)
        ),
        "media at both stages",
    )
    return [flow["upstream"] for each in at if (flow := flow_at(site, *each))]


def hang_up(call: EdgeCall) -> dict[str, Any]:
    call.interrupt()
    return call.report()


def require_nothing_lost(report: dict[str, Any]) -> None:
    assert report["ok"], report["error"]
    assert report["sent"] > 25  # among the packets that were waited for are others
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)


def test_a_call_through_an_edge(site: EdgeSite) -> None:
    with site.call(ENDLESS) as call:
        wait_for_media(site)
        edge, relay = (flow_at(site, stage) for stage in STAGES)
        report = hang_up(call)
    require_nothing_lost(report)
    # The client knows the edge alone, and the transceiver the client.
    assert report["remote"] == str(EDGE_VIP)
    assert edge is not None
    assert relay is not None
    assert report["far_end"]["session"]["client"] == edge["client"]
    assert edge["client"].startswith(f"{CLIENT_ADDRESS}:")
    assert (edge["transceiver"], relay["transceiver"]) == (str(RELAY_VIP), str(MEDIA))
    assert relay["client"] == edge["upstream"]
    setup = report["setup_ms"]
    assert setup["ice"] - setup["answer"] >= DISTANCE * 1000  # a check and its answer
    if "xdp" in site.settings.dataplane:
        for flow in (edge, relay):  # all but the first check and its answer
            for way in ("to_transceiver", "to_client"):
                assert flow[way]["userspace_packets"] == 1
    # Both stages let go of it, and did not have to wait until it was silent for long.
    eventually(
        lambda: all(flow_at(site, stage) is None for stage in STAGES), "there are no flows left"
    )
    for stage in STAGES:
        assert site.status(stage)["counters"]["goodbye"] >= 1


@pytest.mark.parametrize("site", [pytest.param("xdp", marks=pytest.mark.bpf)], indirect=True)
def test_the_death_of_either_agent_costs_nothing(site: EdgeSite) -> None:
    """In userspace, what an agent forwards is lost with it."""
    with site.call(ENDLESS) as call:
        wait_for_media(site)
        for stage in STAGES:
            site.kill(stage)
            site.start(stage)
        wait_for_media(site)
        report = hang_up(call)
    require_nothing_lost(report)
    for stage in STAGES:
        counters = site.status(stage)["counters"]
        assert counters["adopted"] == 1
        # Neither agent knows who the client is, and both hear that the call has ended.
        assert counters["goodbye"] >= 1


def test_the_edge_holds_no_key_of_the_cluster(site: EdgeSite) -> None:
    held = re.findall("[0-9a-f]{32,}", "".join(path.read_text() for path in site.edge_files))
    masters = re.findall("[0-9a-f]{64}", site.keys.dumps())
    assert len(held) == 3  # its own master key and spread secret, and the edge key of the cluster
    assert not set(held) & set(masters)


def test_the_edge_reads_its_keys_of_the_cluster_again(site: EdgeSite) -> None:
    newer, slot = site.keys.added(secrets.token_bytes)
    site.give_edge(newer)
    eventually(lambda: site.edge_slots() == [0, slot], "it has the new key, too")
    site.give_edge(site.keys)
    eventually(lambda: site.edge_slots() == [0], "it has not that any more")


def key_of_a_call(site: EdgeSite) -> int:
    """The slot of the key by which a new call is routed, of which nothing is lost."""
    before = {flow["upstream"] for flow in site.status(RELAY)["flows"]}

    def new() -> list[dict[str, Any]]:
        flows = site.status(RELAY)["flows"]
        return [each for each in flows if each["upstream"] not in before and talks(each)]

    with site.call(ENDLESS) as call:
        eventually(lambda: bool(new()), "it is heard both ways")
        slot = site.signed_by(new()[-1]["client"])
        require_nothing_lost(hang_up(call))
    return slot


def talks(flow: dict[str, Any]) -> bool:
    return all(flow[way]["packets"] > 50 for way in ("to_transceiver", "to_client"))


def test_keys_rotate_while_calls_go_on_and_the_edge_is_late(site: EdgeSite) -> None:
    """At each step of docs/rotation.md the cluster has its file, and the edge that before it."""
    (old,) = site.keys.slots
    added, new = site.keys.added(secrets.token_bytes)
    rotated = added.rotated(None, time.time())
    with site.call(ENDLESS) as whole:
        ours = wait_for_media(site)
        site.give_cluster(added)
        eventually(lambda: site.relay_slots() == [old, new], "the relay has both keys")
        assert key_of_a_call(site) == old
        site.give_cluster(rotated)
        eventually(lambda: key_of_a_call(site) == new, "the transceiver signs with the new key")
        assert site.edge_slots() == [old]
        site.give_edge(rotated)
        eventually(lambda: site.edge_slots() == [old, new], "the edge has both keys")
        assert key_of_a_call(site) == new
        site.give_cluster(rotated.retired(old))
        eventually(lambda: site.relay_slots() == [new], "the relay has the old key no more")
        assert key_of_a_call(site) == new
        site.give_edge(site.keys)
        eventually(lambda: site.edge_slots() == [new], "the edge has the old key no more")
        assert key_of_a_call(site) == new
        # Of the call whose key has gone everywhere. The edge may know others still: while it is
        # late, it cannot read who has ended a call with a new key.
        wait_for_media(site, ours)
        report = hang_up(whole)
    require_nothing_lost(report)
