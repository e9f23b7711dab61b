"""A relay without a mirror asks transceivers whose a client is."""

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.config.directory import Directory
from relay.config.registry import Registry, Transceiver
from relay.core.flowtuple import FlowTuple, Source
from relay.mirror.asked import WAITING
from relay.run import asking
from relay.run.agent import Agent
from relay.run.asking import Asker
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role
from relay.wire.question import Answer, Question, is_question
from relay.wire.route import mint, open_ufrag
from tests.relay.conftest import ALICE, DTLS, FIRST, RTP, SECOND, VIP, RedisServer, eventually
from tests.relay.run.stage import PORTS, Peer, Stage, stage_on
from tests.transceiver.conftest import Checks
from transceiver.ice import IceAgent
from transceiver.mux import Mux
from transceiver.plan import Credentials

ELSEWHERE = Endpoint("127.0.0.2", 20_500)  # the relay that had the client


@pytest.fixture
def stage4(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


async def question(stage: Stage) -> tuple[Question, Endpoint]:
    """The question that reaches the transceiver, and where from."""
    data, source = await stage.transceiver.receive()
    assert is_question(data)
    asked = Question.parse(data, stage.scene.keys)
    assert (asked.client, asked.vip) == (stage.client.address, stage.vip)
    assert asked.asker == source
    assert source.port not in PORTS  # which the kernel's program watches
    return asked, source


def answer(stage: Stage, asked: Question, upstream: Endpoint = ELSEWHERE) -> Answer:
    return Answer(asked.nonce, open_ufrag(stage.scene.ufrag(), stage.scene.keys).raw, 4, upstream)


async def test_a_client_that_comes_from_another_relay_goes_on_and_loses_nothing(
    stage4: Stage,
) -> None:
    async with stage4.relay() as agent:
        for data in (RTP + b"1", RTP + b"2"):
            stage4.client.send(data, stage4.vip)
        asked, asker = await question(stage4)
        stage4.transceiver.send(answer(stage4, asked).serialize(stage4.scene.keys), asker)
        data, upstream = await stage4.transceiver.receive()
        told = Announcement.parse(data, stage4.scene.keys)
        assert (told.client, told.vip, told.upstream, told.epoch) == (
            *(stage4.client.address, stage4.vip),
            *(upstream, 5),
        )
        for number in (b"1", b"2"):
            assert await stage4.transceiver.receive() == (RTP + number, upstream)
        stage4.transceiver.send(DTLS, upstream)
        assert await stage4.client.receive() == (DTLS, stage4.vip)
        assert agent.state.counters()["taken_over"] == 1


async def test_a_relay_that_has_lost_all_goes_on_at_the_port_that_the_flow_had(
    stage4: Stage,
) -> None:
    before = Endpoint(stage4.host, PORTS[123])
    async with stage4.relay() as agent:
        stage4.client.send(RTP, stage4.vip)
        asked, asker = await question(stage4)
        stage4.transceiver.send(answer(stage4, asked, before).serialize(stage4.scene.keys), asker)
        assert await stage4.announced() == before
        assert await stage4.transceiver.receive() == (RTP, before)
        assert agent.state.counters()["restored"] == 1


@pytest.mark.parametrize("trouble", [signal.SIGSTOP, signal.SIGKILL, None])
async def test_it_is_asked_while_redis_is_away_or_knows_nothing(
    stage4: Stage, redis_server: RedisServer, trouble: signal.Signals | None
) -> None:
    async with stage4.relay(redis=redis_server.url) as agent:
        client = redis_server.client()
        await eventually(lambda: client.info("stats")["total_commands_processed"] > 5, "it is read")
        if trouble is not None:
            redis_server.signal(trouble)
        stage4.client.send(RTP, stage4.vip)
        asked, asker = await question(stage4)
        stage4.transceiver.send(answer(stage4, asked).serialize(stage4.scene.keys), asker)
        await eventually(lambda: agent.state.flow_counts()["confirmed"] == 1, "it is taken over")


class Transceivers:
    """Sockets of transceivers that know nothing by themselves, and a relay that asks them."""

    def __init__(self, count: int = 2) -> None:
        self.keys = KeyRing({0: bytes(range(32))}, 0)
        self.peers = [Peer("127.0.0.1") for _ in range(count)]
        targets = (FIRST._replace(slot=slot) for slot in range(1, count + 1))
        self.registry = Registry(
            tuple(
                Transceiver(target, peer.address)
                for target, peer in zip(targets, self.peers, strict=True)
            )
        )
        self.directory = Directory(self.registry)
        self.counters: Counter[str] = Counter()
        self.found: list[tuple[FlowTuple, int, list[bytes]]] = []
        self.asker = Asker(
            self.keys.exported(FIRST.cluster, Role.RELAY),
            self.directory,
            {socket.AF_INET: ["127.0.0.1"]},
            self.counters,
            randbytes=bytes,
            found=lambda flow, epoch, waiting: self.found.append((flow, epoch, list(waiting))),
        )

    async def asked(self) -> list[tuple[Question, Endpoint]]:
        heard = [await peer.receive() for peer in self.peers]
        return [(Question.parse(data, self.keys), source) for data, source in heard]

    def answer(self, **changes: Any) -> bytes:
        target = changes.pop("target", FIRST)
        route = mint(target, self.keys, now=1.8e9, lifetime=60.0, nonce=b"abcd")
        fields = {"nonce": bytes(8), "route": route.raw, "epoch": 1, "upstream": ELSEWHERE}
        return Answer(**{**fields, **changes}).serialize(self.keys)


@asynccontextmanager
async def transceivers(count: int = 2) -> AsyncIterator[Transceivers]:
    made = Transceivers(count)
    made.asker.open()
    try:
        yield made
    finally:
        made.asker.close()
        for peer in made.peers:
            peer.close()


async def test_each_transceiver_is_asked_once_for_a_client() -> None:
    async with transceivers(130) as there:
        for number in range(WAITING + 2):
            there.asker.ask(Source(ALICE, VIP), bytes([number]))
        asked = await there.asked()
        assert len({question for question, _ in asked}) == 1
        assert there.counters["question"] == 1
        there.peers[0].send(there.answer(), asked[0][1])
        await eventually(lambda: bool(there.found), "it is found")
        ((flow, epoch, waiting),) = there.found
        assert (flow.client, flow.vip, flow.upstream) == (ALICE, VIP, ELSEWHERE)
        assert flow.transceiver == there.peers[0].address
        assert (epoch, waiting) == (1, [bytes([number]) for number in range(2, WAITING + 2)])


async def test_a_question_that_is_lost_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "AGAIN_AFTER", (0.0,))
    async with transceivers() as there:
        for data in (b"1", b"2", b"3"):
            there.asker.ask(Source(ALICE, VIP), data)
        assert there.counters["question"] == 2
        await there.asked()  # and nobody answers
        again = await there.asked()
        assert {question.client for question, _ in again} == {ALICE}
        there.peers[0].send(there.answer(), again[0][1])
        await eventually(lambda: bool(there.found), "it is found")
        assert there.found[0][2] == [b"1", b"2", b"3"]


async def test_where_there_are_no_transceivers_nobody_is_asked() -> None:
    async with transceivers(0) as there:
        there.asker.ask(Source(ALICE, VIP), RTP)
        assert there.counters == {}


@pytest.mark.parametrize("wrong", ["nonce", "tag", "sender", "target", "again"])
async def test_what_was_not_asked_for_or_is_forged_does_nothing(wrong: str) -> None:
    async with transceivers() as there:
        there.asker.ask(Source(ALICE, VIP), RTP)
        (_, asker), _ = await there.asked()
        good, bad = (
            there.answer(),
            {
                "nonce": there.answer(nonce=b"87654321"),
                "tag": there.answer()[:-1] + b"?",
                "target": there.answer(target=SECOND._replace(slot=99)),
            },
        )
        if wrong == "again":
            there.peers[0].send(good, asker)
            await eventually(lambda: bool(there.found), "it is found")
        by = there.peers[1] if wrong == "sender" else there.peers[0]
        by.send(bad.get(wrong, good), asker)
        counter = "answer_forged" if wrong == "tag" else "answer_to_nothing"
        await eventually(lambda: there.counters[counter] == 1, "it is refused")
        assert len(there.found) == (wrong == "again")
        if wrong != "again":  # and the true one still counts
            there.peers[0].send(good, asker)
            await eventually(lambda: bool(there.found), "it is found")


async def test_there_are_only_so_many_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "RATE", 4)
    async with transceivers() as there:
        for port in range(1, 5):
            there.asker.ask(Source(ALICE._replace(port=port), VIP), RTP)
        assert (there.counters["question"], there.counters["question_limited"]) == (2, 2)


async def test_those_of_a_cluster_without_keys_are_not_asked() -> None:
    """Such as one that the registry file has got since the start."""
    async with transceivers() as there:
        first, other = there.registry.transceivers
        strange = replace(other, target=other.target._replace(cluster=other.target.cluster + 1))
        there.directory.write(Registry((first, strange)))
        there.asker.ask(Source(ALICE, VIP), RTP)
        data, asker = await there.peers[0].receive()
        assert Question.parse(data, there.keys).cluster == first.target.cluster
        there.peers[0].send(there.answer(), asker)
        await eventually(lambda: bool(there.found), "it is found")


async def test_nobody_waits_for_an_answer_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async with transceivers() as there:
        there.asker.ask(Source(ALICE, VIP), RTP)
        now = time.monotonic() + asking.ANSWER_WITHIN
        monkeypatch.setattr(time, "monotonic", lambda: now)
        monkeypatch.setattr(there.asker, "_randbytes", lambda count: b"\1" * count)
        there.asker.ask(Source(ALICE._replace(port=1), VIP), RTP)
        assert list(there.asker._waiting) == [b"\1" * 8]


class Session:
    """A call of the real mux."""

    def __init__(self, agent: IceAgent) -> None:
        self.agent = agent
        self.datagrams: list[bytes] = []

    def datagram(self, data: bytes, _source: Endpoint) -> None:
        self.datagrams.append(data)

    def reachable(self) -> None:
        pass


@asynccontextmanager
async def relay(stage: Stage, name: str, host: str) -> AsyncIterator[Agent]:
    admin = stage.config.keys.with_name(f"{name}.sock")
    async with stage.relay(admin=admin, name=name, upstreams=(host,)) as agent:
        yield agent


async def test_two_relays_without_redis_and_a_call_that_moves_without_a_check(
    stage4: Stage,
) -> None:
    ufrag = stage4.scene.ufrag()
    check = Checks(Credentials(ufrag, "server-password-of-24-ch"))
    session = Session(IceAgent(check.credentials))
    mux = Mux(stage4.transceiver._udp, stage4.scene.keys, FIRST)
    assert mux.bind(ufrag, session)
    mux.open()
    try:
        async with relay(stage4, "a", stage4.host):
            stage4.client.send(check(nominate=True), stage4.vip)
            await stage4.client.receive()
        async with relay(stage4, "b", ELSEWHERE.host) as second:
            stage4.client.send(RTP, stage4.vip)
            await eventually(lambda: session.datagrams == [RTP], "the very packet arrives")
            destination = session.agent.destination(mux.clock())
            assert destination is not None
            assert destination.host == ELSEWHERE.host
            mux.send(DTLS, destination)
            assert await asyncio.wait_for(stage4.client.receive(), 5) == (DTLS, stage4.vip)
            assert second.state.counters()["taken_over"] == 1
            assert mux.counters.as_dict()["stun"] == 1
    finally:
        mux.close()
