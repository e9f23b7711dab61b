"""All connections of a relay, and adversaries: each bound is reached by somebody who tries.

The table is played: a datagram that begins with `open` opens a flow.
"""

import asyncio
import errno
import json
import resource
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
import pytest_asyncio

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple, Source
from relay.core.limits import ConnectionLimits
from relay.errors import BindError
from relay.forwarding import connections as module
from relay.forwarding.connection import Midway
from relay.forwarding.connections import MAX_FRAMES, ClientConnections
from relay.wire.endpoint import Endpoint
from relay.wire.framing import frame
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, RTP, eventually
from tests.relay.forwarding.tcppair import TcpClient, listening

OPEN = b"open"
LIMITS = ConnectionLimits(connections=6, per_prefix=4)
NEIGHBOURS = [Endpoint(f"127.0.0.{number}", 0) for number in range(1, 20)]  # of one /24
ELSEWHERE = [Endpoint(f"127.0.{number}.1", 0) for number in range(1, 20)]  # each of its own


class Relay:
    """Connections with a table that is played."""

    def __init__(self, limits: ConnectionLimits = LIMITS) -> None:
        self.counters: Counter[str] = Counter()
        self.now = 0.0
        self.received: list[bytes] = []
        self.flows: list[Flow] = []
        self.ended: list[Flow] = []
        self._stack = ExitStack()
        self.connections = ClientConnections(
            asyncio.get_running_loop(),
            self.counters,
            self._received,
            self.ended.append,
            limits=limits,
            clock=lambda: self.now,
        )
        self.address = self.open()

    def open(self, host: str = "127.0.0.1") -> Endpoint:
        listener, address = listening(host)
        self.connections.open(address, listener)
        self.connections.listen()
        return address

    def client(self, local: Endpoint | None = None, *, takes_little: bool = False) -> TcpClient:
        client = TcpClient(self.address, local, takes_little=takes_little)
        return self._stack.enter_context(client)

    async def connect(self, local: Endpoint | None = None, **kind: bool) -> tuple[TcpClient, Flow]:
        """A client with a flow."""
        client, known = self.client(local, **kind), len(self.flows)
        await client.send(OPEN)
        await eventually(lambda: len(self.flows) > known, "the flow is opened")
        return client, self.flows[-1]

    async def counts(self, reason: str, number: int = 1) -> None:
        await eventually(
            lambda: self.counters[f"tcp_{reason}"] == number, f"{number} {reason}: {self.counters}"
        )

    def close(self) -> None:
        self.connections.shutdown()
        self._stack.close()

    def _received(self, data: bytes, source: Source) -> None:
        self.received.append(data)
        if data.startswith(OPEN):
            ends = (source.client, source.vip, ALICE, ADDRESSES[FIRST])
            parts = FlowTuple(*ends, bytes(21), transport=source.transport)
            self.flows.append(Flow(parts, State.PENDING, 0.0, 0.0))
            self.connections.attach(self.flows[-1])


@pytest.fixture(autouse=True)
def _sweep_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_EVERY", 0.01)
    monkeypatch.setattr(module, "PAUSE", 0.05)


@pytest_asyncio.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.close()


async def test_frames_become_datagrams_and_datagrams_frames(relay: Relay) -> None:
    client, flow = await relay.connect()
    assert flow.addresses.client == client.address
    assert flow.addresses.vip == relay.address
    assert flow.is_connection
    await client.send(b"one", b"two")
    await eventually(lambda: relay.received == [OPEN, b"one", b"two"], "they come in order")
    relay.connections.send(flow, RTP)
    assert await client.receive() == RTP


async def test_over_ipv6_too() -> None:
    relay = Relay()
    relay.address = relay.open("::1")
    client, flow = await relay.connect()
    relay.connections.send(flow, RTP)
    assert await client.receive() == RTP
    relay.close()


async def test_two_clients_have_each_their_own(relay: Relay) -> None:
    (one, first), (other, second) = await relay.connect(), await relay.connect()
    relay.connections.send(second, b"to the other")
    relay.connections.send(first, b"to one")
    assert await one.receive() == b"to one"
    assert await other.receive() == b"to the other"


async def test_what_comes_before_it_listens_waits() -> None:
    relay = Relay()
    listener, address = listening()
    relay.connections.open(address, listener)
    with TcpClient(address) as client:
        await client.send(OPEN)
        await asyncio.sleep(0.05)
        assert relay.received == []
        relay.connections.listen()
        await eventually(lambda: relay.received == [OPEN], "it is received")
    relay.close()


async def test_an_address_that_cannot_be_had_is_told(relay: Relay) -> None:
    with pytest.raises(BindError, match="another process has that port"):
        relay.connections.open(relay.address)


# How connections and flows end


@pytest.mark.parametrize("first", [b"\x00", b"GET / HTTP/1.1", RTP], ids=["byte", "http", "rtp"])
async def test_a_first_frame_that_opens_no_flow_ends_the_connection(
    relay: Relay, first: bytes
) -> None:
    client = relay.client()
    await client.send(first, OPEN)
    assert await client.is_ended()
    assert relay.received == [first]  # what follows it is not looked at
    assert relay.counters == {"tcp_accepted": 1, "tcp_refused": 1}
    assert len(relay.connections) == 0


async def test_a_stream_of_something_else_ends_the_connection(relay: Relay) -> None:
    client = relay.client()
    await client.send_bytes(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))  # TLS
    assert await client.is_ended()
    await relay.counts("bad_frame")
    assert relay.received == []


async def test_an_empty_frame_says_nothing(relay: Relay) -> None:
    client, _ = await relay.connect()
    await client.send(b"", b"more")
    await eventually(lambda: relay.received[-1] == b"more", "what follows it is received")
    assert relay.ended == []


async def test_a_bad_frame_ends_the_connection_and_its_flow(relay: Relay) -> None:
    client, flow = await relay.connect()
    await client.send_bytes((LIMITS.longest + 1).to_bytes(2, "big"))
    assert await client.is_ended()
    assert relay.ended == [flow]
    await relay.counts("bad_frame")


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_the_flow_ends_with_the_clients_connection(relay: Relay, how: str) -> None:
    client, flow = await relay.connect()
    client.tcp.close() if how == "close" else client.reset()
    await eventually(lambda: relay.ended == [flow], "the flow ends")
    await relay.counts("closed" if how == "close" else "reset")
    assert len(relay.connections) == 0
    relay.connections.send(flow, RTP)  # nobody is there
    relay.connections.detach(flow)


async def test_the_connection_ends_with_its_last_flow(relay: Relay) -> None:
    client, first = await relay.connect()
    await client.send(OPEN)
    await eventually(lambda: len(relay.flows) == 2, "another flow is opened")
    relay.connections.detach(first)
    assert len(relay.connections) == 1
    relay.connections.detach(relay.flows[1])
    assert await client.is_ended()
    assert relay.ended == []  # who ends them knows
    await relay.counts("flow_ended")


async def test_who_comes_again_from_the_same_address_is_somebody_new(relay: Relay) -> None:
    client, flow = await relay.connect()
    client.reset()
    # From the same address, before the relay has looked at the end of the first one.
    again = relay.client(client.address)
    relay.connections._accept(next(iter(relay.connections._listeners)))
    await again.send(OPEN)
    await eventually(lambda: len(relay.flows) == 2, "another flow is opened")
    assert relay.ended == [flow]
    relay.connections.send(relay.flows[1], RTP)
    assert await again.receive() == RTP
    assert len(relay.connections) == 1


@pytest.mark.parametrize("who", ["the relay", "the client"])
async def test_what_another_process_still_has_a_copy_of_ends_as_well(
    relay: Relay, who: str
) -> None:
    """A successor that could not take over has copies until it has ended."""
    client, flow = await relay.connect()
    ((tcp, _),) = relay.connections.all()
    with tcp.dup():
        if who == "the relay":
            relay.connections.detach(flow)
        else:
            client.reset()
            await eventually(lambda: relay.ended == [flow], "the flow ends")
        assert len(relay.connections) == 0
        if who == "the relay":
            assert await client.is_ended()
        assert relay.connections._ready.poll(0) == []  # or each turn of the loop would stumble
        other, _ = await relay.connect()
        await other.send(b"goes on")
        await eventually(lambda: relay.received[-1] == b"goes on", "others are served")


async def test_one_that_cannot_be_watched_is_refused(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def register(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, "fs.epoll.max_user_watches")

    with monkeypatch.context() as patched:
        patched.setattr(relay.connections, "_ready", Full())
        client = relay.client()
        await relay.counts("accept_failed_enospc")
    assert await client.is_ended()
    kept = relay.connections
    assert [len(each) for each in (kept, kept._by_fd, kept._new, kept._of_prefix)] == [0] * 4
    assert relay.counters["tcp_accepted"] == 0
    await relay.connect()


async def test_nothing_is_kept_of_who_has_gone(relay: Relay) -> None:
    for local in ELSEWHERE[:3]:
        client, _ = await relay.connect(local)
        client.tcp.close()
    await relay.counts("closed", 3)
    kept = relay.connections
    assert [len(each) for each in (kept, kept._by_fd, kept._new, kept._of_prefix)] == [0] * 4


async def test_at_the_end_everybody_is_told() -> None:
    relay = Relay()
    client, _ = await relay.connect()
    relay.connections.shutdown()
    with pytest.raises(OSError, match="refused"):
        TcpClient(relay.address)
    assert await client.is_ended()
    assert relay.ended == []
    client.tcp.close()


# Adversaries


async def test_who_says_nothing_is_ended(relay: Relay) -> None:
    client, (other, _) = relay.client(), await relay.connect()
    await relay.counts("accepted", 2)
    relay.now = LIMITS.first_frame + 0.1
    assert await client.is_ended()
    await relay.counts("first_frame_late")
    await other.send(b"still here")
    await eventually(lambda: relay.received[-1] == b"still here", "the other one goes on")


async def test_who_trickles_the_first_frame_is_ended(relay: Relay) -> None:
    client = relay.client()
    for second, byte in enumerate(b"\x00\x09open"):
        await client.send_bytes(bytes([byte]))
        relay.now = float(second)
    relay.now = LIMITS.first_frame + 0.1
    assert await client.is_ended()
    assert relay.received == []
    await relay.counts("first_frame_late")


async def test_who_trickles_a_later_frame_is_ended_and_its_flow(relay: Relay) -> None:
    client, flow = await relay.connect()
    await client.send_bytes(b"\x00")
    (connection,) = relay.connections._connections.values()
    await eventually(lambda: connection._began is not None, "the frame has begun")
    relay.now = LIMITS.first_frame - 1
    await client.send_bytes(b"\x09")
    relay.now = LIMITS.first_frame + 0.1
    assert await client.is_ended()
    assert relay.ended == [flow]
    await relay.counts("frame_late")


async def test_a_client_that_has_left_without_a_word_is_ended(relay: Relay) -> None:
    client, flow = await relay.connect()
    relay.now = LIMITS.idle - 1
    await asyncio.sleep(0.05)  # some sweeps
    assert relay.ended == []
    relay.now = LIMITS.idle + 0.1
    assert await client.is_ended()
    assert relay.ended == [flow]
    await relay.counts("idle")


async def test_one_network_has_no_more_than_its_share(relay: Relay) -> None:
    members = [await relay.connect(local) for local in NEIGHBOURS[: LIMITS.per_prefix]]
    assert await relay.client(NEIGHBOURS[10]).is_ended()
    await relay.counts("prefix_full")
    await relay.connect(ELSEWHERE[0])
    members[0][0].tcp.close()
    await relay.counts("closed")
    await relay.connect(NEIGHBOURS[11])


async def test_all_together_have_no_more_than_there_are(relay: Relay) -> None:
    clients = [await relay.connect(local) for local in ELSEWHERE[: LIMITS.connections]]
    assert await relay.client(ELSEWHERE[10]).is_ended()
    await relay.counts("full")
    for client, flow in clients:  # none of them has noticed
        relay.connections.send(flow, RTP)
        assert await client.receive() == RTP


@pytest.mark.parametrize(
    "silent", [NEIGHBOURS, ELSEWHERE], ids=["of one network", "from everywhere"]
)
async def test_who_says_nothing_keeps_nobody_out(relay: Relay, silent: list[Endpoint]) -> None:
    crowd = [relay.client(local) for local in silent[:12]]
    await relay.counts("accepted", 12)
    await relay.connect(silent[13])
    assert await crowd[0].is_ended()  # the oldest makes way
    assert relay.counters["tcp_displaced"] > 0
    assert len(relay.connections) <= LIMITS.connections


async def test_who_says_nothing_displaces_nobody_with_a_flow(relay: Relay) -> None:
    client, flow = await relay.connect(ELSEWHERE[0])
    for local in ELSEWHERE[1:]:
        relay.client(local)
    await relay.counts("accepted", len(ELSEWHERE))
    relay.connections.send(flow, RTP)
    assert await client.receive() == RTP
    assert relay.ended == []


@contextmanager
def no_files_left() -> Iterator[None]:
    """This process may open no file more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null", encoding="utf-8") as free:  # noqa: PTH123  # its number is wanted
        lowest = free.fileno()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_files_it_pauses_and_then_accepts_who_has_waited(relay: Relay) -> None:
    client = TcpClient(relay.address)
    asking = 0
    with client:
        # The client's socket is connected, and the relay has not accepted it: nothing has run.
        with no_files_left():
            await relay.counts("accept_failed_emfile")
            for _ in range(100):
                await asyncio.sleep(0)
                asking = max(asking, relay.counters["tcp_accept_failed_emfile"])
            assert asking <= 2  # it does not ask again and again
        await client.send(OPEN)
        await eventually(lambda: len(relay.flows) == 1, "who has waited is accepted")


async def test_a_client_that_does_not_read_loses_what_it_does_not_take(relay: Relay) -> None:
    slow, its_flow = await relay.connect(takes_little=True)
    client, flow = await relay.connect()
    sent = 2_000
    for number in range(sent):
        relay.connections.send(its_flow, number.to_bytes(2, "big") * 500)
    lost = relay.counters["tcp_not_taken"]
    assert 0 < lost < sent
    relay.connections.send(flow, RTP)
    assert await client.receive() == RTP
    # When it reads again, it gets what was not lost, whole and in order, and then what comes.
    received = [await slow.receive() for _ in range(sent - lost)]
    assert received == sorted(received)
    assert {len(each) for each in received} == {1000}
    await eventually(
        lambda: not next(iter(relay.connections._connections.values())).is_behind, "all is sent"
    )
    relay.connections.send(its_flow, RTP)
    assert await slow.receive() == RTP


async def test_a_client_that_catches_up_costs_no_wake_ups(relay: Relay) -> None:
    slow, flow = await relay.connect(takes_little=True)
    while not relay.counters["tcp_not_taken"]:
        relay.connections.send(flow, bytes(1000))
    (connection,) = relay.connections._connections.values()

    async def read() -> None:
        while True:
            await slow.receive()

    reading = asyncio.create_task(read())
    await eventually(lambda: not connection.is_behind, "it has caught up")
    await eventually(lambda: not relay.connections._ready.poll(0), "nothing is to be done")
    reading.cancel()


async def test_the_shortest_frames_of_many_keep_the_loop_from_nobody() -> None:
    relay = Relay(replace(LIMITS, connections=40, per_prefix=40))
    clients = [(await relay.connect())[0] for _ in range(20)]
    for client in clients:
        await client.send_bytes(b"\x00\x01x" * 10_000)
    handled = len(relay.received)
    relay.connections._serve()
    first_turn = len(relay.received) - handled
    assert 0 < first_turn < MAX_FRAMES + 700  # one read more than the bound, at most
    await eventually(lambda: len(relay.received) == 20 + 20 * 10_000, "the rest follows", 30.0)
    relay.close()


async def test_each_of_those_with_much_to_say_has_a_turn(relay: Relay) -> None:
    loud, _ = await relay.connect()
    quiet, _ = await relay.connect()
    await loud.send_bytes(b"\x00\x01x" * 15_000)
    await quiet.send(b"quiet")
    await eventually(lambda: b"quiet" in relay.received, "the quiet one is heard")
    assert relay.received.count(b"x") < 3_000


async def test_any_bytes_of_strangers_raise_nothing(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    (good, flow), rubbish = await relay.connect(), [b"", b"\x00", b"\xff" * 70_000, b"\x00\x00" * 9]
    for number, data in enumerate([*rubbish, bytes(range(256)) * 20, b"\x00\x02" * 2_000]):
        with TcpClient(relay.address, ELSEWHERE[number]) as stranger:
            try:
                await stranger.send_bytes(data)
            except OSError:
                continue  # ended while it was sending
    await eventually(lambda: len(relay.connections) == 1, "all strangers have gone")
    relay.connections.send(flow, RTP)
    assert await good.receive() == RTP
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


async def test_a_connection_goes_on_in_another_process_in_the_middle_of_a_frame() -> None:
    before, after = Relay(), Relay()
    client, flow = await before.connect()
    await client.send_bytes(frame(RTP)[:5])
    await eventually(lambda: bool(_midway(before).rest), "half of a frame has come")
    _hand_over(before, after, flow)
    await client.send_bytes(frame(RTP)[5:] + frame(RTP))
    await eventually(lambda: after.received == [RTP, RTP], f"all is received: {after.received}")
    after.connections.send(flow, b"answer")
    assert await client.receive() == b"answer"
    after.connections.detach(flow)
    assert await client.is_ended()
    before.close()
    after.close()


async def test_what_waits_for_a_slow_client_is_sent_by_the_other_process() -> None:
    before, after = Relay(), Relay()
    client, flow = await before.connect(takes_little=True)
    sent = 0
    while not _midway(before).unsent:
        before.connections.send(flow, bytes(1000))
        sent += 1
    _hand_over(before, after, flow)
    for _ in range(sent):
        assert await client.receive() == bytes(1000)
    before.close()
    after.close()


def _midway(relay: Relay) -> Midway:
    ((_, midway),) = relay.connections.all()
    return midway


def _hand_over(before: Relay, after: Relay, flow: Flow) -> None:
    """Let another process have the one connection, and close it here, which ends nothing."""
    ((tcp, midway),) = before.connections.all()
    after.connections.adopt(tcp.dup(), Midway(*json.loads(json.dumps(midway))))
    after.connections.attach(flow)
    asyncio.get_running_loop().remove_reader(before.connections._ready)
    tcp.close()
