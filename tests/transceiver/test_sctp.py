"""Our association, and aiortc's own as the client's, joined in memory; what clients may send."""

import asyncio
import inspect
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCDtlsTransport, RTCSctpTransport
from aiortc import rtcsctptransport as aiortc_sctp

from transceiver import sctp
from transceiver.datachannel import Channel
from transceiver.plan import DataPlan, DtlsRole
from transceiver.sctp import MAX_CHANNELS, MAX_MESSAGE_SIZE, NAMES, PORT, Association
from transceiver.underaiortc import Below, run

Until = Callable[[Callable[[], Any]], Awaitable[None]]
DCEP, STRING, BINARY = 50, 51, 53
INIT = 1  # a chunk's type
RESET_RESPONSE = b"\0\x10"  # a parameter's type (RFC 6525, section 4.4)
FIRST, LAST, UNORDERED = 2, 1, 4  # flags of a DATA chunk
PLAN = DataPlan("0", 0, PORT, 0)


class Heard:
    """What our association tells its call."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.messages: list[tuple[str, str | bytes]] = []
        self.wrong: list[str] = []
        self.broke: list[Exception] = []

    def channel(self, channel: Channel) -> None:
        self.channels.append(channel)

    def message(self, channel: Channel, message: str | bytes) -> None:
        self.messages.append((channel.label, message))

    def malformed(self, channel: Channel, why: str) -> None:
        self.wrong.append(f"{channel.label}: {why}")

    def data_broke(self, error: Exception) -> None:
        self.broke.append(error)


class Line:
    """Both ends, and the packets between them, which arrive in a later turn of the loop.

    Args:
        negotiated: The stream of a channel that both know of.
    """

    def __init__(self, *, negotiated: int | None = None) -> None:
        self.heard = Heard()
        self.ours = Association(DtlsRole.SERVER, self._to_client, self.heard, negotiated)
        self._below = Below(DtlsRole.CLIENT, self._to_us)
        self.client = RTCSctpTransport(cast("RTCDtlsTransport", self._below), PORT)
        self.sent_by_client: list[bytes] = []
        self.sent_by_us: list[bytes] = []
        self.passes: Callable[[bytes], bool] = lambda _: True
        self.said: list[str | bytes] = []

    async def begin(self, plan: DataPlan = PLAN) -> None:
        self.ours.begin(plan)
        await self.client.start(aiortc_sctp.RTCSctpCapabilities(maxMessageSize=0), PORT)

    def open(self, label: str = "events", number: int | None = None) -> RTCDataChannel:
        said = RTCDataChannelParameters(label=label, id=number, negotiated=number is not None)
        channel = RTCDataChannel(self.client, said)
        channel.on("message", self.said.append)
        return channel

    def inject(self, *chunks: bytes, tag: int | None = None) -> None:
        """Send a packet in the client's name, chunks with their padding."""
        mine = self.ours._local_verification_tag if tag is None else tag
        self.ours.receive(struct.pack("!HHLL", PORT, PORT, mine, 0) + b"".join(chunks))

    def say(
        self, body: bytes, kind: int = STRING, stream: int = 0, flags: int = FIRST | LAST
    ) -> None:
        """Send a message, or a part of one, in the client's name, with its next number."""
        self.inject(self.data(body, kind, stream, flags))

    def data(self, body: bytes, kind: int, stream: int, flags: int) -> bytes:
        number = self.client._local_tsn
        self.client._local_tsn = (number + 1) % (1 << 32)
        order = self.client._outbound_stream_seq.get(stream, 0)
        if flags & LAST and not flags & UNORDERED:
            self.client._outbound_stream_seq[stream] = order + 1
        head = struct.pack("!BBHLHHL", 0, flags, 16 + len(body), number, stream, order, kind)
        return head + body + bytes(-len(body) % 4)

    def _to_us(self, packet: bytes) -> None:
        self.sent_by_client.append(packet)
        if self.passes(packet):
            asyncio.get_running_loop().call_soon(self.ours.receive, packet)

    def _to_client(self, packet: bytes) -> None:
        self.sent_by_us.append(packet)
        if self.passes(packet):
            asyncio.get_running_loop().call_soon(run, self.client._handle_data(packet))


@pytest.fixture
async def line() -> Line:
    return Line()


@pytest.fixture
async def up(line: Line, until: Until) -> Line:
    """Both ends are established, and the client has opened a channel on stream 0."""
    await line.begin()
    line.open()
    await until(lambda: line.heard.channels)
    return line


def kinds(packets: list[bytes]) -> Iterator[int]:
    return (packet[12] for packet in packets)


def test_the_private_names_are_there() -> None:
    async def make() -> RTCSctpTransport:
        return RTCSctpTransport(
            cast("RTCDtlsTransport", Below(DtlsRole.CLIENT, lambda _: None)), PORT
        )

    made = asyncio.run(make())
    made._ssthresh = 0  # has no value before the other side's INIT
    assert "self._ssthresh = chunk.advertised_rwnd" in inspect.getsource(RTCSctpTransport)
    assert [name for name in NAMES if not hasattr(made, name)] == []
    for name in ("_addBufferedAmount", "_setReadyState"):
        assert callable(getattr(RTCDataChannel, name))
    for name in ("tsn_minus_one", "CHUNK_TYPES", "InitChunk", "InboundStream"):
        assert hasattr(aiortc_sctp, name)


async def test_messages_go_both_ways_on_a_channel_of_the_clients(line: Line, until: Until) -> None:
    await line.begin()
    channel = line.open("events")
    await until(lambda: channel.readyState == "open" and line.heard.channels)
    channel.send("grüße")
    channel.send(b"\0\1")
    channel.send("")
    channel.send(b"")
    await until(lambda: len(line.heard.messages) == 4)
    assert line.heard.messages == [("events", each) for each in ("grüße", b"\0\1", "", b"")]
    (ours,) = line.heard.channels
    assert all(ours.send(each) for each in ("grüße", b"\0\1", "", b"", "x" * 100_000))
    await until(lambda: len(line.said) == 5)
    assert line.said == ["grüße", b"\0\1", "", b"", "x" * 100_000]
    assert line.heard.broke == []


async def test_the_client_begins(line: Line, until: Until) -> None:
    """Some clients end when our INIT comes before they know that DTLS is connected."""
    line.ours.begin(PLAN)
    await asyncio.sleep(0)
    assert line.sent_by_us == []
    await line.client.start(aiortc_sctp.RTCSctpCapabilities(maxMessageSize=0), PORT)
    await until(lambda: line.ours.is_established)
    assert INIT not in kinds(line.sent_by_us)
    assert line.ours._patience is None


async def test_we_begin_where_the_client_does_not(
    line: Line, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sctp, "_PATIENCE", 0.01)
    line.client._remote_port = PORT  # it waits for us
    line.ours.begin(PLAN)
    await until(lambda: line.ours.is_established)
    assert next(kinds(line.sent_by_us)) == INIT
    assert INIT not in kinds(line.sent_by_client)


async def test_it_begins_nothing_after_its_end(
    line: Line, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sctp, "_PATIENCE", 0.01)
    line.ours.begin(PLAN)
    line.ours.end()
    other = Line()
    other.ours.begin(PLAN)
    await until(lambda: INIT in kinds(other.sent_by_us))
    assert line.sent_by_us == []


async def test_a_negotiated_channel_opens_without_a_message(until: Until) -> None:
    line = Line(negotiated=4)
    await line.begin()
    channel = line.open("any name", 4)
    await until(lambda: line.heard.channels and channel.readyState == "open")
    (ours,) = line.heard.channels
    assert ours.send("first")
    await until(lambda: line.said == ["first"])


async def test_with_both_inits_known_nothing_is_shaken(line: Line, until: Until) -> None:
    theirs = aiortc_sctp.InitChunk()
    theirs.initiate_tag = line.client._local_verification_tag
    theirs.advertised_rwnd, theirs.initial_tsn = 1 << 17, line.client._local_tsn
    theirs.outbound_streams = theirs.inbound_streams = 256
    line.ours.begin(DataPlan("0", 0, PORT, 0, bytes(theirs)))
    assert line.ours.is_established
    assert line.sent_by_us == []
    ours = aiortc_sctp.InitChunk(body=line.ours.init[4:])
    line.client._remote_port = PORT
    line.client._remote_verification_tag = ours.initiate_tag
    line.client._last_received_tsn = (ours.initial_tsn - 1) % (1 << 32)
    line.client._ssthresh = ours.advertised_rwnd
    line.client._data_channel_id = 0
    line.client._set_state(line.client.State.ESTABLISHED)
    channel = line.open()
    await until(lambda: channel.readyState == "open")
    channel.send("at once")
    await until(lambda: line.heard.messages == [("events", "at once")])
    assert INIT not in kinds(line.sent_by_client)
    # A client that says INIT all the same, or again, resets nothing.
    line.inject(bytes(theirs), tag=0)
    assert line.ours.is_established
    assert line.ours.counts["init_out_of_place"] == 1


async def test_what_is_lost_comes_again(line: Line, until: Until) -> None:
    lost = iter([True, False, True, True, False])
    line.passes = lambda _: not next(lost, False)
    await line.begin()
    channel = line.open()
    await until(lambda: channel.readyState == "open")
    channel.send("through")
    await until(lambda: line.heard.messages == [("events", "through")])


async def test_a_message_is_longer_than_the_client_takes(line: Line, until: Until) -> None:
    await line.begin(DataPlan("0", 0, PORT, 10))
    line.open()
    await until(lambda: line.heard.channels)
    (ours,) = line.heard.channels
    assert not ours.send("x" * 11)
    assert line.ours.counts["message_too_long_for_client"] == 1
    assert ours.send("x" * 10)
    await until(lambda: line.said == ["x" * 10])
    line.ours.limit(PLAN)
    assert ours.send("x" * 11)


async def test_the_end_closes_channels_and_tells_the_client(up: Line, until: Until) -> None:
    (ours,) = up.heard.channels
    up.ours.end()
    assert not ours.is_open
    assert not ours.send("anybody?")
    await until(lambda: up.client.state == "closed")


async def still_works(line: Line, until: Until) -> bool:
    """Whether a message of the client's arrives, with its next number."""
    line.say(b"still there")
    await until(lambda: ("events", "still there") in line.heard.messages)
    return line.ours.is_established and line.heard.broke == []


def opening(label: bytes, said: int | None = None) -> bytes:
    size = len(label) if said is None else said
    return struct.pack("!BBHLHH", 3, 0, 0, 0, size, 0) + label


@pytest.mark.parametrize(
    ("message", "counted"),
    [
        ((b"\xff\xfe", STRING, 0), "message_not_utf8"),
        ((b"?", 99, 0), "message_of_unknown_kind"),
        ((b"?", STRING, 9), "message_without_channel"),
        ((opening(b"again"), DCEP, 0), "dcep_open_again"),
        ((b"\x03\0", DCEP, 2), "dcep_malformed"),
        ((b"\x09", DCEP, 2), "dcep_malformed"),
    ],
)
async def test_a_message_that_makes_no_sense_costs_itself(
    up: Line, until: Until, message: tuple[bytes, int, int], counted: str
) -> None:
    up.say(*message)
    assert up.ours.counts[counted] == 1
    assert await still_works(up, until)


async def test_an_ack_of_nothing_and_a_label_of_no_language(up: Line, until: Until) -> None:
    up.say(b"\x02", DCEP, 8)
    up.say(opening(b"\xff", 9), DCEP, 8)
    assert [each.label for each in up.heard.channels] == ["events", "\N{REPLACEMENT CHARACTER}"]
    assert await still_works(up, until)


async def test_a_stream_is_used_again_though_the_word_that_it_is_reset_was_lost(
    up: Line, until: Until
) -> None:
    tag = up.ours._local_verification_tag.to_bytes(4, "big")

    async def open_again(channel: RTCDataChannel, label: str) -> RTCDataChannel:
        up.passes = lambda packet: packet[4:8] != tag or packet[16:18] != RESET_RESPONSE
        channel.close()
        await until(lambda: channel.readyState == "closed")
        another = up.open(label)
        await until(lambda: another.readyState == "open")
        assert another.id == 0
        up.passes = lambda _: True
        another.send("hello")
        await until(lambda: (label, "hello") in up.heard.messages)
        assert up.heard.channels[-1].send(label)
        await until(lambda: label in up.said)
        return another

    second = await open_again(up.client._data_channels[0], "second")
    await open_again(second, "third")
    assert up.ours.counts == {}
    assert up.heard.broke == []


async def test_channels_are_bounded(up: Line, until: Until) -> None:
    for stream in range(2, 2 * MAX_CHANNELS + 20, 2):
        up.say(opening(b"more"), DCEP, stream)
    assert len(up.heard.channels) == MAX_CHANNELS
    assert up.ours.counts["channels_too_many"] > 0
    assert await still_works(up, until)


async def test_a_message_that_never_ends_is_refused_and_told(up: Line, until: Until) -> None:
    up.say(b"x" * 1000, flags=FIRST)
    for _ in range(MAX_MESSAGE_SIZE // 1000 + 1):
        up.say(b"x" * 1000, flags=0)
    up.say(b"x", flags=LAST)
    assert up.ours.counts["message_too_long"] == 1
    assert up.heard.wrong == [f"events: a message must not have more than {MAX_MESSAGE_SIZE} bytes"]
    assert await still_works(up, until)


async def test_fragments_without_an_end_are_bounded_in_memory(up: Line) -> None:
    for number in range(20_000):
        up.say(b"x", stream=2 * (number % 100), flags=FIRST | UNORDERED)
    stored = sum(len(each.reassembly) for each in up.ours._inbound_streams.values())
    assert stored < 6_000
    assert up.ours.is_established
    assert up.heard.broke == []


@pytest.mark.parametrize(
    "chunk",
    [
        struct.pack("!BBHHH", 4, 0, 8, 1, 0),  # HEARTBEAT with a parameter of length 0
        struct.pack("!BBHHH", 130, 0, 8, 13, 0),
        struct.pack("!BBHLLHHHH", 3, 0, 20, 1, 1, 1, 0, 1, 65_535),  # a SACK of what was never sent
        struct.pack("!BBHHH", 130, 0, 8, 16, 4),
        struct.pack("!BBH", 255, 0, 4),
        b"\xff" * 40,
    ],
)
async def test_chunks_that_make_no_sense_cost_themselves(
    up: Line, until: Until, chunk: bytes
) -> None:
    up.inject(chunk)
    assert await still_works(up, until)


async def test_what_comes_before_the_beginning_is_passed_over(line: Line) -> None:
    line.inject(struct.pack("!BBH", 6, 0, 4))
    assert line.heard.broke == []
    line.ours.end()
    assert line.sent_by_us == []


async def test_what_the_call_raises_at_a_message_costs_the_message(
    up: Line, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(up.heard, "message", breaks)
        up.say(b"first")
    (error,) = up.heard.broke
    assert isinstance(error, ZeroDivisionError)
    up.heard.broke.clear()
    assert await still_works(up, until)
