"""The flows of several workers are listed, described, closed and watched as one relay's."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.admin.flowentry import FlowEntry, packed
from relay.admin.question import answers
from relay.errors import AdminError
from tests.relay.conftest import FLOWS, RedisServer
from tests.relay.run.workers.test_supervisor import LIMIT, Relay


@pytest.fixture
def relay(tmp_path: Path, redis_server: RedisServer) -> Iterator[Relay]:
    with Relay(tmp_path) as made:
        made.start(redis=redis_server.url)
        yield made


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.01)


def listed(relay: Relay, **texts: str) -> list[FlowEntry]:
    pieces = answers(relay.admin, "flows", LIMIT, filter=texts)
    return [FlowEntry.from_wire(each) for piece in pieces for each in piece["entries"]]


def test_flows_of_all_workers(relay: Relay, redis_server: RedisServer) -> None:
    upstreams = {relay.connect(client) for client in relay.clients}
    assert {relay.worker_of(client) for client in relay.clients} == {0, 1}
    flows = listed(relay)
    assert {flow.addresses.upstream for flow in flows} == upstreams
    assert listed(relay, client=str(flows[0].addresses.client)) == [flows[0]]
    with pytest.raises(AdminError, match="the filter cannot be read: --client 'x'"):
        listed(relay, client="x")
    events: list[dict[str, object]] = []
    watches, told = threading.Event(), threading.Event()

    def watch() -> None:
        for piece in answers(relay.admin, "watch", LIMIT):
            events.append(piece)
            watches.set()
            if len([each for each in events if each["event"] == "closed"]) == len(flows):
                told.set()
                return

    watching = threading.Thread(target=watch)
    watching.start()
    assert watches.wait(LIMIT)
    for flow in flows:
        name = packed(flow.addresses)
        until(lambda: relay.ask("flow", flow=name)["record"] is not None, "it is mirrored")  # noqa: B023
        about = relay.ask("flow", flow=name)
        assert about["record"]["is_this_flow"]
        assert about["record"]["owner"] == about["owner"]
    (closed,) = [
        set(answer["closed"])
        for answer in answers(
            relay.admin, "close", LIMIT, flows=[packed(each.addresses) for each in flows]
        )
    ]
    assert closed == {packed(each.addresses) for each in flows}
    assert told.wait(LIMIT)
    watching.join()
    assert {each["client"] for each in events if each["event"] == "closed"} == {
        str(flow.addresses.client) for flow in flows
    }
    assert listed(relay) == []
    assert relay.ask("flow", flow=packed(flows[0].addresses)) == {"known": False}
    with redis_server.client() as redis:
        until(lambda: not list(redis.scan_iter(FLOWS)), "their records have gone")
