"""The mirror against a real Redis server."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest

from relay.core.flowtuple import FlowTuple, Source
from relay.dataplane.userspace import UserspaceDataplane
from relay.mirror import library
from relay.mirror.dormant import DormantFlows
from relay.mirror.library import CHANNEL
from relay.mirror.mirror import TIMEOUT, Mirror
from relay.mirror.neighbours import Neighbours
from relay.mirror.record import LONGEST, PREFIX, Record, key_of
from relay.redisclient import connect
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.ports import free_port
from tests.relay.conftest import ALICE, MALLORY, RTP, VIP, RedisServer, Scene, eventually

V6_VIP = Endpoint("2001:db8:1::10", 3478)


class Watched:
    """A running mirror and what it found out."""

    def __init__(
        self, server: RedisServer | str, keys: KeyRing, owner: str, vips: list[Endpoint]
    ) -> None:
        url = server if isinstance(server, str) else server.url
        self.flows: list[FlowTuple] = []  # that the relay has
        self.records: list[Record] = []
        self.waiting: list[bytes] = []
        self.unknowns: list[tuple[Endpoint, list[bytes]]] = []
        self.events: list[tuple[str, FlowTuple, int]] = []
        self.counters: Counter[str] = Counter()
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.restored: list[float] = []
        self.dormant = DormantFlows(100, self.counters, UserspaceDataplane())
        self.mirror = Mirror(
            partial(connect, url, TIMEOUT),
            keys=keys,
            owner=owner,
            vips=vips,
            ttl=60.0,
            flows=self,
            dormant=self.dormant,
            counters=self.counters,
        )
        self.neighbours = Neighbours(
            partial(connect, url, TIMEOUT, check_every=1.0), vips, self.mirror
        )

    @property
    def has_found(self) -> list[FlowTuple]:
        return [record.flow for record in self.records]

    def has(self, source: Source) -> bool:
        return any(flow.from_client == source for flow in self.flows)

    def found(self, record: Record, waiting: Sequence[bytes]) -> None:
        self.records.append(record)
        self.waiting += waiting

    def unknown(self, source: Source, waiting: Sequence[bytes]) -> None:
        self.unknowns.append((source.client, list(waiting)))

    def claimed(self, flow: FlowTuple) -> None:
        self.events.append(("claimed", flow, 0))

    def contested(self, flow: FlowTuple, epoch: int) -> None:
        self.events.append(("contested", flow, epoch))

    def lost(self, flow: FlowTuple, epoch: int) -> None:
        self.events.append(("lost", flow, epoch))

    async def run(self) -> None:
        await self.mirror.run(self.accepting, self.restored.append)


@asynccontextmanager
async def mirroring(
    server: RedisServer | str,
    scene: Scene,
    vip: Endpoint = VIP,
    *,
    owner: str = "relay-a",
    accepting: bool = True,
    listening: bool = False,
) -> AsyncIterator[Watched]:
    watched = Watched(server, scene.keys, owner, [vip])
    if not accepting:
        watched.accepting.clear()
    tasks = [asyncio.create_task(watched.run())]
    if listening:
        tasks.append(asyncio.create_task(watched.neighbours.run(watched.accepting)))
    try:
        yield watched
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_stored_flow_is_one_readable_key_with_a_ttl(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(flow, 1)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
    assert client.keys() == [b"icelane:flow:203.0.113.10:3478|203.0.113.2:40000"]
    record = json.loads(_record(redis_server, flow))
    assert record["transceiver"] == str(flow.transceiver)
    assert record["upstream"] == str(flow.upstream)
    assert 50 < client.ttl(key_of(flow.client, flow.vip)) <= 60


async def test_forgotten_flow_is_deleted(redis_server: RedisServer, scene: Scene) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(flow, 1)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
        watched.mirror.release(flow, 1)
        await eventually(lambda: client.dbsize() == 0, "the record is deleted")


@pytest.mark.parametrize("vip", [VIP, V6_VIP], ids=["ipv4", "ipv6"])
async def test_start_loads_the_flows_of_its_vips_only(
    redis_server: RedisServer, scene: Scene, vip: Endpoint
) -> None:
    mine = scene.connect().addresses._replace(vip=vip)
    other = mine._replace(vip=Endpoint("203.0.113.11", 3478))
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(mine, 1)
        watched.mirror.claim(other, 1)
        await eventually(lambda: client.dbsize() == 2, "both records are written")
    async with mirroring(redis_server, scene, vip=vip) as again:
        await eventually(lambda: bool(again.has_found), "the flow is loaded")
    assert again.has_found == [mine]


async def test_flows_are_read_before_they_can_be_accepted_and_kept_until_then(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(flow, 1)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
    before = _calls(redis_server, "cmdstat_get")
    async with mirroring(redis_server, scene, accepting=False) as again:
        await eventually(lambda: _calls(redis_server, "cmdstat_get") > before, "it is read")
        assert (again.has_found, again.restored) == ([], [])
        again.accepting.set()
        await eventually(lambda: len(again.restored) == 1, "it is told that all are restored")
        assert again.has_found == [flow]


async def test_what_is_told_while_all_are_read_is_newer_than_what_was_read(
    redis_server: RedisServer, scene: Scene
) -> None:
    gone, moved = scene.connect(ALICE).addresses, scene.connect(MALLORY).addresses
    async with mirroring(redis_server, scene, owner="relay-b") as watched:
        for flow in (gone, moved):
            watched.mirror.claim(flow, 1)
        await eventually(lambda: redis_server.client().dbsize() == 2, "the records are written")
    before = _calls(redis_server, "cmdstat_get")
    async with mirroring(redis_server, scene, accepting=False) as again:
        await eventually(lambda: _calls(redis_server, "cmdstat_get") == before + 2, "they are read")
        newer = Record(moved, "relay-b", 2, 5.0).serialize(scene.keys)
        again.mirror.heard(key_of(gone.client, gone.vip), None)
        again.mirror.heard(key_of(moved.client, moved.vip), newer)
        again.accepting.set()
        await eventually(lambda: bool(again.restored), "all is read")
        assert again.dormant.pop(Source(gone.client, gone.vip), 0.0) is None
        assert again.dormant.pop(Source(moved.client, moved.vip), 0.0) == newer


async def test_what_an_edge_has_said_of_a_client_comes_back_also_after_redis_was_flushed(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    said = Announcement(MALLORY, VIP, ALICE, flow.route, 0.0)
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        for write in (watched.mirror.claim, watched.mirror.refresh):
            client.flushall()
            write(flow, 1, said)
            await eventually(lambda: client.dbsize() == 1, "the record is written")
    async with mirroring(redis_server, scene) as again:
        await eventually(lambda: len(again.records) == 1, "it is read")
        assert again.records[0].introduced == said


async def test_unknown_client_is_looked_up_once(redis_server: RedisServer, scene: Scene) -> None:
    flow = scene.connect().addresses
    async with connect(redis_server.url, TIMEOUT) as redis:
        await library.load(redis)  # or the claim comes after the look-up
    async with mirroring(redis_server, scene) as watched:
        # Not there at the start, so that only the look-up can find it.
        await eventually(lambda: _asked(redis_server) > 0, "the start is over")
        watched.mirror.claim(flow, 1)
        watched.mirror.recall(Source(ALICE, VIP), RTP)
        watched.mirror.recall(Source(ALICE, VIP), RTP)
        watched.mirror.recall(Source(MALLORY, VIP), RTP)
        await eventually(lambda: bool(watched.has_found), "the flow is found")
        watched.mirror.claim(flow, 1)
        await eventually(lambda: _written(redis_server) == 2, "the queue is served")
    assert watched.has_found == [flow]
    assert watched.waiting == [RTP, RTP]
    # Two look-ups, and twice a claim's.
    assert _calls(redis_server, "cmdstat_get") == 4


async def test_record_that_was_tampered_with_is_refused(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(flow, 1)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
    key = key_of(flow.client, flow.vip)
    value = _record(redis_server, flow)
    steered = json.loads(value) | {"transceiver": "127.0.0.1:6379"}
    client.set(key, json.dumps(steered))
    client.set(key_of(MALLORY, VIP), value)  # a good record under another client's key
    client.set(f"{PREFIX}{VIP}|nobody", value)
    client.set(f"{PREFIX}{VIP}|203.0.113.9:1", b"\xff{")
    async with mirroring(redis_server, scene) as again:
        await eventually(lambda: again.counters["mirror_record_refused"] == 3, "three are refused")
        # What is not this relay's is read when its client comes.
        again.mirror.recall(Source(Endpoint("203.0.113.9", 1), VIP), RTP)
        assert again.counters["mirror_record_refused"] == 4
    assert again.has_found == []


async def test_the_record_of_another_relay_sleeps_until_its_client_comes(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene) as first:
        first.mirror.claim(flow, 3)
        await eventually(lambda: bool(first.events), "it is claimed")
    async with mirroring(redis_server, scene, owner="relay-b") as second:
        await eventually(lambda: len(second.dormant) == 1, "it is read")
        assert second.records == []
        second.mirror.recall(Source(ALICE, VIP), RTP)  # needs no answer of Redis
        assert [(each.flow, each.owner, each.epoch) for each in second.records] == [
            (flow, "relay-a", 3)
        ]
        assert second.waiting == [RTP]


async def test_what_relays_claim_and_release_is_heard_by_the_others(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    async with (
        mirroring(redis_server, scene, listening=True) as first,
        mirroring(redis_server, scene, owner="relay-b", listening=True) as second,
    ):
        await eventually(lambda: subscribers(redis_server) == 2, "both listen")
        first.mirror.claim(flow, 1)
        await eventually(lambda: len(second.dormant) == 1, "the other one knows")
        first.flows.append(flow)
        second.mirror.claim(flow, 2)
        await eventually(lambda: ("lost", flow, 2) in first.events, "the first one knows")
        assert len(first.dormant) == 1  # in case that the client comes back
        second.mirror.release(flow, 2)
        await eventually(lambda: len(first.dormant) == 0, "nobody has it any more")


@pytest.mark.parametrize(
    ("owner", "epoch", "result"),
    [
        ("relay-a", 3, "claimed"),
        ("relay-a", 2, "contested"),
        ("relay-b", 2, "contested"),
        ("relay-b", 3, "contested"),
        ("relay-b", 4, "claimed"),
    ],
)
async def test_a_flow_is_written_by_its_owner_and_by_who_takes_it_over(
    redis_server: RedisServer, scene: Scene, owner: str, epoch: int, result: str
) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene) as first:
        first.mirror.claim(flow, 3)
        await eventually(lambda: bool(first.events), "it is claimed")
    async with mirroring(redis_server, scene, owner=owner) as second:
        second.mirror.claim(flow, epoch)
        await eventually(lambda: bool(second.events), "there is an answer")
    assert second.events == [(result, flow, 3 if result == "contested" else 0)]
    written = json.loads(_record(redis_server, flow))
    expected = (owner, epoch) if result == "claimed" else ("relay-a", 3)
    assert (written["owner"], written["epoch"]) == expected


async def test_nobody_refreshes_or_deletes_what_another_relay_has(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as first:
        first.mirror.claim(flow, 3)
        await eventually(lambda: bool(first.events), "it is claimed")
    client.pexpire(key_of(flow.client, flow.vip), 30_000)
    async with mirroring(redis_server, scene, owner="relay-b") as second:
        second.mirror.release(flow, 9)
        second.mirror.refresh(flow, 0)
        await eventually(lambda: bool(second.events), "there is an answer")
    assert second.events == [("lost", flow, 3)]
    assert client.ttl(key_of(flow.client, flow.vip)) <= 30
    async with mirroring(redis_server, scene) as third:
        third.mirror.refresh(flow, 0)
        third.mirror.release(flow, 2)  # of before the latest epoch
        await eventually(lambda: client.ttl(key_of(flow.client, flow.vip)) > 30, "it lives on")
    assert third.events == []


async def test_a_record_that_has_gone_is_written_again_when_it_is_refreshed(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(flow, 3)
        await eventually(lambda: bool(watched.events), "it is claimed")
        redis_server.client().flushall()
        redis_server.client().function_flush()
        watched.mirror.refresh(flow, 3)
        await eventually(lambda: len(watched.events) == 2, "it is claimed again")
    assert json.loads(_record(redis_server, flow))["epoch"] == 3


async def test_what_stands_there_and_is_no_record_is_written_over(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    for junk in (b"{", b"[]", b'{"owner": 1, "epoch": 9}', b"\xff", b'{"owner": "x"}'):
        redis_server.client().set(key_of(flow.client, flow.vip), junk)
        async with mirroring(redis_server, scene) as watched:
            watched.mirror.claim(flow, 1)
            await eventually(lambda: bool(watched.events), "there is an answer")
        assert watched.events == [("claimed", flow, 0)]


@pytest.mark.parametrize("epoch", ["9", "4000000000", "1e999", "nan", "9" * 400, "2.5"])
@pytest.mark.parametrize("verb", ["claim", "refresh"])
async def test_what_does_not_verify_is_told_to_nobody_and_written_over(
    redis_server: RedisServer, scene: Scene, verb: str, epoch: str
) -> None:
    """Whoever can write to Redis takes no flow away, and stops no mirror."""
    flow = scene.connect().addresses
    others = [flow._replace(client=MALLORY._replace(port=port)) for port in range(1, 4)]
    client = redis_server.client()
    junk = json.dumps({"owner": "x", "epoch": 0}).replace("0", epoch)
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: bool(watched.restored), "it is read")
        client.set(key_of(flow.client, flow.vip), junk)
        getattr(watched.mirror, verb)(flow, 2)
        for other in others:  # of the same batch
            watched.mirror.claim(other, 1)
        await eventually(lambda: len(watched.events) == 4, "all are claimed")
    assert sorted(watched.events) == sorted(("claimed", each, 0) for each in (flow, *others))
    assert watched.counters.keys() <= {
        "mirror_record_refused"
    }  # a claim beats any that is no number
    assert Record.parse(flow.client, flow.vip, _record(redis_server, flow), scene.keys).epoch == 2


async def test_a_server_that_answers_junk_for_ever_is_not_asked_for_ever(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    text = "#!lua name=icelane_flows2\n"
    for name in ("claim", "refresh", "release"):
        text += f"redis.register_function('icelane_flow2_{name}', function() return 'junk' end)\n"
    client.function_load(text)
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.refresh(flow, 1)
        await eventually(lambda: watched.counters["mirror_record_refused"] == 2, "it is refused")
        watched.mirror.recall(Source(ALICE, VIP), RTP)
        await eventually(lambda: bool(watched.unknowns), "the queue is served")
        assert _calls(redis_server, "cmdstat_fcall") == 2
    assert watched.events == []


async def test_what_is_nested_as_deep_as_can_be_read_stops_no_mirror(
    redis_server: RedisServer, scene: Scene
) -> None:
    """At one of these depths it can be read, and not be written again for its tag."""
    flow = scene.connect().addresses
    client, depths = redis_server.client(), range(900, 1000)
    record = Record(flow, "relay-a", 1, 5.0).serialize(scene.keys)
    for depth in depths:
        nested = record[:-1] + b', "more": ' + b"[" * depth + b"]" * depth + b"}"
        client.set(key_of(flow.client._replace(port=depth), flow.vip), nested)
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: bool(watched.restored), "it is read")
        for depth in depths:
            there = flow._replace(client=flow.client._replace(port=depth))
            watched.mirror.heard(key_of(there.client, VIP), _record(redis_server, there))
    assert watched.counters == {"mirror_record_refused": 2 * len(depths)}
    assert len(watched.dormant) == 0


async def test_what_is_too_long_for_a_record_does_not_sleep(
    redis_server: RedisServer, scene: Scene
) -> None:
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.heard(key_of(ALICE, VIP), bytes(LONGEST))
        watched.mirror.heard(key_of(MALLORY, VIP), bytes(LONGEST + 1))
    assert list(watched.dormant) == [Source(ALICE, VIP)]
    assert watched.counters == {"mirror_record_refused": 1}


async def test_a_key_with_a_value_of_another_kind_harms_no_other_flow(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    other = flow._replace(client=MALLORY)
    redis_server.client().lpush(key_of(flow.client, flow.vip), b"junk")
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(flow, 1)
        watched.mirror.claim(other, 1)
        await eventually(lambda: ("claimed", other, 0) in watched.events, "the other is claimed")
        assert watched.counters == {"mirror_refused": 1, "mirror_record_refused": 1}


async def test_how_far_redis_is_behind_is_known(redis_server: RedisServer, scene: Scene) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene) as watched:
        assert (watched.mirror.lag, watched.mirror.waiting) == (0.0, 0)
        watched.mirror.claim(flow, 1)
        assert watched.mirror.waiting == 1
        await eventually(lambda: watched.mirror.lag > 0.0, "it was written")
        await eventually(lambda: bool(watched.events), "there is an answer")
        assert watched.mirror.waiting == 0


async def test_a_client_that_redis_does_not_know_is_looked_for_elsewhere(
    redis_server: RedisServer, scene: Scene
) -> None:
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: bool(watched.restored), "it is read")
        for data in (b"1", b"2"):
            watched.mirror.recall(Source(ALICE, VIP), data)
        await eventually(lambda: bool(watched.unknowns), "it is looked for")
        assert watched.unknowns == [(ALICE, [b"1", b"2"])]
        watched.mirror.recall(Source(ALICE, VIP), b"3")
        assert len(watched.unknowns) == 1


@pytest.mark.parametrize("trouble", [signal.SIGSTOP, signal.SIGKILL])
async def test_while_redis_is_away_clients_are_looked_for_elsewhere_soon(
    redis_server: RedisServer, scene: Scene, trouble: signal.Signals
) -> None:
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: bool(watched.restored), "it is read")
        redis_server.signal(trouble)
        watched.mirror.recall(Source(ALICE, VIP), b"1")
        # Before it is known that Redis is away: that takes `TIMEOUT`.
        await eventually(lambda: watched.unknowns == [(ALICE, [b"1"])], "it is looked for")
        await eventually(lambda: bool(watched.counters["mirror_failed"]), "Redis is away")
        watched.mirror.recall(Source(MALLORY, VIP), b"2")  # at once from now on
        assert watched.unknowns == [(ALICE, [b"1"]), (MALLORY, [b"2"])]


async def test_outage_loses_only_the_mirror(redis_server: RedisServer, scene: Scene) -> None:
    flow = scene.connect().addresses
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: _asked(redis_server) > 0, "the start is over")
        redis_server.stop()
        watched.mirror.claim(flow, 1)
        await eventually(lambda: watched.counters["mirror_lost"] == 1, "the write is counted")
        redis_server.start()
        watched.mirror.claim(flow, 1)
        await eventually(lambda: redis_server.client().dbsize() == 1, "a later write arrives")


async def test_a_cluster_of_which_nobody_answers_is_away(scene: Scene) -> None:
    flow = scene.connect().addresses
    async with mirroring(f"redis+cluster://127.0.0.1:{free_port()}", scene) as watched:
        await eventually(lambda: watched.mirror.trouble is not None, "it is told")
        watched.mirror.claim(flow, 1)
        failed = watched.counters["mirror_failed"]
        await eventually(lambda: watched.counters["mirror_failed"] > failed, "it is tried again")


async def test_what_a_full_server_has_lives_on_and_ends(
    redis_server: RedisServer, scene: Scene
) -> None:
    flow = scene.connect().addresses
    client = redis_server.client()
    async with mirroring(redis_server, scene) as watched:
        watched.mirror.claim(flow, 1)
        await eventually(lambda: client.dbsize() == 1, "the record is written")
        client.config_set("maxmemory", 1)
        watched.mirror.claim(flow._replace(client=MALLORY), 1)
        await eventually(lambda: watched.mirror.trouble is not None, "it is told")
        client.pexpire(key_of(flow.client, flow.vip), 30_000)
        watched.mirror.refresh(flow, 1)
        await eventually(lambda: client.ttl(key_of(flow.client, flow.vip)) > 30, "it lives on")
        assert watched.mirror.trouble is not None, "new ones are still refused"
        watched.mirror.release(flow, 1)
        await eventually(lambda: client.dbsize() == 0, "it has ended")


async def test_redis_that_comes_late_is_loaded_all_the_same(
    redis_server: RedisServer, scene: Scene
) -> None:
    redis_server.stop()
    async with mirroring(redis_server, scene) as watched:
        await eventually(lambda: watched.counters["mirror_failed"] > 0, "the first try fails")
        redis_server.start()
        await eventually(lambda: _asked(redis_server) > 0, "the flows are asked for")


def _record(server: RedisServer, flow: FlowTuple) -> bytes:
    value = server.client().get(key_of(flow.client, flow.vip))
    assert isinstance(value, bytes)
    return value


def subscribers(server: RedisServer) -> int:
    ((_, count),) = server.client().pubsub_numsub(f"{CHANNEL}{VIP}")
    return int(count)


def _asked(server: RedisServer) -> int:
    return _calls(server, "cmdstat_scan")


def _written(server: RedisServer) -> int:
    return _calls(server, "cmdstat_set")


def _calls(server: RedisServer, name: str) -> int:
    statistics = server.client().info("commandstats")
    return int(statistics.get(name, {"calls": 0})["calls"])


async def test_cancellation_at_any_moment_ends_it(redis_server: RedisServer, scene: Scene) -> None:
    for steps in range(40):
        watched = Watched(redis_server, scene.keys, "relay-a", [VIP])
        task = asyncio.create_task(watched.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5.0)
        assert done, f"cancelled after {steps} steps, and still running"
