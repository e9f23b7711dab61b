"""What happens to flows is told to whoever listens."""

import asyncio
import json
import socket

import pytest

from relay.admin.flowcommands import FlowCommands
from relay.core.flowevents import FlowEvent, Happened
from relay.core.limits import Limits
from relay.dataplane.userspace import UserspaceDataplane
from relay.wire.transport import Transport
from tests.relay.conftest import ALICE, MALLORY, SECOND, Scene


def told(events: list[FlowEvent]) -> list[tuple[str, str]]:
    return [(event.what.value, event.reason) for event in events]


@pytest.fixture
def scene() -> Scene:
    return Scene(limits=Limits(pending_life=10.0, address_kept=15.0))


def test_a_flow_opens_is_confirmed_and_expires(scene: Scene) -> None:
    events: list[FlowEvent] = []
    with scene.table.events.told_to(events.append):
        flow = scene.connect()
        scene.wait(scene.table.limits.idle + 1)
        scene.done(scene.table.sweep(scene.now))
    assert told(events) == [
        *(("opened", ""), ("confirmed", ""), ("installed", "")),
        ("closed", "expired"),
    ]
    assert {event.flow for event in events} == {flow}
    assert events[0].at < events[3].at == scene.now


def test_who_no_longer_listens_is_told_nothing(scene: Scene) -> None:
    events: list[FlowEvent] = []
    with scene.table.events.told_to(events.append):
        scene.client(scene.request())
    scene.client(scene.request(), MALLORY)
    assert told(events) == [("opened", "")]


def test_a_pending_flow_that_nobody_answers(scene: Scene) -> None:
    events: list[FlowEvent] = []
    with scene.table.events.told_to(events.append):
        scene.client(scene.request())
        scene.wait(11)
        scene.done(scene.table.sweep(scene.now))
    assert told(events) == [("opened", ""), ("closed", "pending_expired")]


def test_the_flow_that_another_replaces(scene: Scene) -> None:
    scene.connect()
    scene.wait(16)
    events: list[FlowEvent] = []
    with scene.table.events.told_to(events.append):
        scene.connect(ALICE, SECOND)
    assert told(events) == [
        *(("opened", ""), ("confirmed", ""), ("installed", "")),
        ("closed", "rebound"),
    ]


def test_an_operator_closes_a_confirmed_flow_and_its_record(scene: Scene) -> None:
    flow = scene.connect()
    events: list[FlowEvent] = []
    with scene.table.events.told_to(events.append):
        commands = scene.done(scene.table.lifecycle.close(flow.addresses, scene.now))
    address = flow.addresses.transceiver
    assert commands == [f"remove {address}", f"close {address}", f"forget {address}"]
    assert told(events) == [("closed", "closed")]
    assert scene.states() == []
    assert scene.counted()["closed"] == 1


def test_a_pending_flow_is_closed_and_its_clients_other_one_keeps_its_record(scene: Scene) -> None:
    confirmed = scene.connect()
    scene.client(scene.request(scene.ufrag(SECOND)))
    pending = scene.flow(ALICE, SECOND)
    closed = scene.done(scene.table.lifecycle.close(pending.addresses, scene.now))
    assert closed == [f"close {pending.addresses.transceiver}"]
    assert scene.states() == [(ALICE, confirmed.state)]


def test_what_is_not_there_or_is_another_one_by_now_is_not_closed(scene: Scene) -> None:
    flow = scene.connect()
    other = flow.addresses.at(flow.addresses.packed_transceiver)
    assert scene.table.lifecycle.close(other, scene.now) == []
    gone = flow.addresses._replace(transport=Transport.TCP)
    assert scene.table.lifecycle.close(gone, scene.now) == []
    assert len(scene.states()) == 1


async def test_who_watches_flows_is_told_once_that_one_is_confirmed(scene: Scene) -> None:
    commands = FlowCommands(
        scene.table,
        dataplane=UserspaceDataplane,
        execute=lambda _: None,
        now=lambda: scene.now,
        owner="relay-1",
        fetch=None,
    )
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    watching = asyncio.ensure_future(commands.conversations["watch"]({}, theirs))
    reader, writer = await asyncio.open_connection(sock=ours)
    told = [json.loads(await reader.readline())["event"]]
    flow = scene.connect()
    scene.done(scene.table.lifecycle.close(flow.addresses, scene.now))
    told += [json.loads(await reader.readline())["event"] for _ in range(3)]
    writer.close()
    await watching
    assert told == ["watching", "opened", "confirmed", "closed"]


def test_what_happens_has_names_that_people_know() -> None:
    assert [each.value for each in Happened] == ["opened", "confirmed", "installed", "closed"]
