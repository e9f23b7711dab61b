"""Calls whose back end is a service on a real WebSocket: sound, events, turns, its death."""

import asyncio
import gc
import json
import random
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from relay.supervision import Faults
from relay.wire.transport import Candidate
from tests.lab.realtimeservice import Connection, RealtimeService, beep
from tests.lab.thinclient import ThinClient, new_identity
from transceiver.backend import EVENTS_LABEL
from transceiver.bridge import link, uplink
from transceiver.bridge.backend import ServiceBackend
from transceiver.bridge.settings import SessionSettings
from transceiver.calls import CallRequest
from transceiver.media.events import KeyPress
from transceiver.server import Transceiver

Until = Callable[[Callable[[], Any]], Awaitable[None]]
Dial = Callable[..., Any]


def kinds(client: Any) -> list[str]:
    return [json.loads(each)["type"] for each in client.messages]


async def placed(bridged: Transceiver, dial: Dial, until: Until, **more: Any) -> Any:
    client = dial(bridged.control)
    await client.call(bridged.address, **more)
    await until(lambda: "session.created" in kinds(client))
    return client


async def test_sound_goes_both_ways_and_events_beside_it(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until
) -> None:
    client = await placed(bridged, dial, until)
    await until(lambda: len(service.connection.sound) > 24_000)
    assert max(service.connection.sound) > 0, "the client's tone, not only silence"
    client.channel.send('{"type": "response.create", "event_id": "mine"}')
    await until(lambda: service.connection.received)
    assert service.connection.received == [{"type": "response.create", "event_id": "mine"}]
    await service.connection.say(beep(1.0))
    await service.connection.send("response.done", response={"id": "resp_1"})
    await until(lambda: client.hears(30))
    await until(lambda: kinds(client)[-1] == "output_audio_buffer.stopped")
    assert kinds(client) == [
        "session.created",
        "response.created",
        *(
            ["response.done", "output_audio_buffer.started"]
            if kinds(client)[2] == "response.done"
            else ["output_audio_buffer.started", "response.done"]
        ),
        "output_audio_buffer.stopped",
    ]


async def test_when_the_client_speaks_the_sound_ends_within_a_frame(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until
) -> None:
    client = await placed(bridged, dial, until)
    (call,) = bridged.calls

    def frames() -> int:
        return int(call.stats()["rtp"]["sent"])

    await until(lambda: frames() == 5)  # the silence with which a stream begins
    await service.connection.say(beep(20.0))
    await until(lambda: client.hears(20))
    before = frames() - 5
    await service.connection.send("input_audio_buffer.speech_started", item_id="item_2")
    await until(lambda: service.connection.received)
    sent = frames() - 5
    await asyncio.sleep(0.3)
    assert frames() - 5 <= sent + 1 + 5  # and silence, which ends it
    (truncate,) = service.connection.of("conversation.item.truncate")
    assert (truncate["item_id"], truncate["content_index"]) == ("item_1", 0)
    voice = call._parts.voice
    assert voice is not None
    delay = voice._path.delay * 1000
    assert (before - 2) * 20 - delay - 20 <= truncate["audio_end_ms"] <= sent * 20 - 40
    assert kinds(client)[-2:] == [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
    ]
    await service.connection.say(beep(1.0), response="resp_2", item="item_3")
    await until(lambda: kinds(client)[-1] == "output_audio_buffer.started")


async def test_the_session_of_the_call_is_told_first_and_its_model_picks(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until
) -> None:
    session = {"type": "realtime", "model": "gpt-realtime", "instructions": "be brief"}
    client = await placed(bridged, dial, until, session=session, principal="alice")
    client.channel.send('{"type": "x"}')
    await until(lambda: "x" in service.connection.kinds())
    update, _ = service.connection.received
    assert update["type"] == "session.update"
    assert update["session"] == {"type": "realtime", "instructions": "be brief"}
    assert service.connection.request.query == {"model": "gpt-realtime"}


async def test_a_call_for_transcription_says_so_to_the_service(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until
) -> None:
    session = {"type": "transcription", "model": "gpt-realtime"}
    await placed(bridged, dial, until, session=session, principal="alice")
    asked = {"model": "gpt-realtime", "intent": "transcription"}
    assert service.connection.request.query == asked


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost is made again soon."""
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.05)


@pytest.mark.usefixtures("soon")
async def test_a_service_that_dies_ends_the_turn_and_not_the_call(
    service: RealtimeService,
    bridged: Transceiver,
    dial: Dial,
    until: Until,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = await placed(bridged, dial, until)
    update = {"type": "session.update", "session": {"type": "realtime", "tools": []}}
    client.channel.send(json.dumps(update))
    await until(lambda: service.connection.received)
    await service.connection.say(beep(0.2))
    await service.connection.socket.close(code=1011)
    await until(lambda: "response.done" in kinds(client))
    error = next(event for event in map(json.loads, client.messages) if event["type"] == "error")
    assert error["error"]["code"] == "backend_lost"
    assert "the back end test: it closed the connection" in error["error"]["message"]
    await until(lambda: len(service.connections) == 2)
    await until(lambda: service.connection.received)
    assert service.connection.received[0]["session"] == update["session"]
    await service.connection.say(beep(2.0), response="resp_2")
    await until(lambda: client.hears(20))
    await until(lambda: len(service.connection.sound) > 0)
    stats = (await client.stats())["backend"]
    assert (stats["name"], stats["connected"]) == ("test", True)
    assert "the back end test: it closed the connection (code 1011)" in caplog.text
    assert service.url not in caplog.text


async def test_an_event_that_is_too_long_for_the_client_is_told_of(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until
) -> None:
    client = dial(bridged.control)
    await client.call(
        bridged.address,
        offer=lambda sdp: sdp.replace("a=max-message-size:262144", "a=max-message-size:1024"),
    )
    await until(lambda: "session.created" in kinds(client))
    await service.connection.send("large", x="y" * 2000)
    await service.connection.send("small")
    await until(lambda: kinds(client)[-1] == "small")
    assert kinds(client) == ["session.created", "error", "small"]
    told = json.loads(client.messages[1])["error"]
    assert told["code"] == "event_too_long"
    assert "large of 2" in told["message"]


async def test_a_call_ends_its_connection_and_frees_its_memory(
    service: RealtimeService, bridged: Transceiver, until: Until
) -> None:
    client = ThinClient(new_identity(), random.Random(4), data=True)
    before = asyncio.all_tasks()
    call, answer = bridged.calls.create(
        CallRequest(client.offer, [Candidate(bridged.address)], negotiated=0)
    )
    await client.connect(answer)
    await until(lambda: service.connections and len(bridged.calls) == 1)
    backend: Any = call._backend
    left = [weakref.ref(each) for each in (call, backend, backend._link, backend._bridge)]
    gc.collect()
    gc.disable()
    try:
        call.end("hung up")
        client.close(goodbye=False)
        del call, backend
        await until(lambda: not any(each() for each in left))
    finally:
        gc.enable()
    await until(lambda: service.connection.socket.closed)
    assert not {each for each in asyncio.all_tasks() - before if "Link" in repr(each)}


async def test_a_refused_offer_makes_no_connection(
    service: RealtimeService, bridged: Transceiver, dial: Dial
) -> None:
    client = dial(bridged.control)
    with pytest.raises(AssertionError, match="invalid_sdp"):
        await client.call(
            bridged.address, offer=lambda sdp: sdp.replace("a=fingerprint:", "a=thumbprint:")
        )
    await asyncio.sleep(0.1)
    assert service.connections == []


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events may wait for a service."""
    monkeypatch.setattr(uplink, "MAX_EVENTS", 8)


@pytest.mark.usefixtures("short")
async def test_a_slow_service_is_told_of_and_the_call_goes_on(
    service: RealtimeService, bridged: Transceiver, dial: Dial, until: Until
) -> None:
    async def slow(connection: Connection) -> None:
        await connection.send("session.created", session={"type": "realtime"})

    service.script = slow
    service.reads.clear()
    client = await placed(bridged, dial, until)
    large = json.dumps({"type": "x", "y": "z" * 60_000})
    while "error" not in kinds(client):
        client.channel.send(large)
        await asyncio.sleep(0.005)
    error = next(event for event in map(json.loads, client.messages) if event["type"] == "error")
    assert error["error"]["code"] == "backend_slow"
    service.reads.set()
    await service.connection.say(beep(1.0))
    await until(lambda: client.hears(10))


class Channel:
    """A channel that keeps what is sent."""

    longest = 0

    def __init__(self, label: str) -> None:
        self.label = label
        self.is_open = True
        self.sent: list[str] = []

    def send(self, message: str | bytes) -> bool:
        self.sent.append(json.loads(message)["type"])
        return self.is_open

    def close(self) -> None:
        self.is_open = False


async def test_which_channels_are_those_of_events() -> None:
    backend = ServiceBackend("rtc_x", "test", SessionSettings({}), never, Faults())
    created = '{"type": "session.created", "event_id": "e", "session": {"id": "s"}}'
    backend.received(created)
    first, other, second = Channel("of any name"), Channel("chat"), Channel(EVENTS_LABEL)
    for channel in (first, other, second):
        backend.channel(channel)
    backend.received('{"type": "x", "event_id": "e"}')
    assert first.sent == second.sent == ["session.created", "x"]
    backend.message(other, "nonsense")
    assert other.sent == []
    backend.message(second, "nonsense")
    backend.error(first, "not UTF-8")
    assert first.sent[2:] == ["error", "error"]
    assert second.sent[2:] == ["error"]
    first.is_open = second.is_open = False
    again = Channel("another name")
    backend.channel(again)
    assert again.sent == ["session.created"]
    backend.digit(KeyPress("5", 0.1))
    backend.close()
    backend.received(created)
    assert len(second.sent) == 3


def said(*kinds: str) -> list[str]:
    return [json.dumps({"type": each, "event_id": "e", "session": {"id": "s"}}) for each in kinds]


@pytest.fixture
async def backend() -> AsyncIterator[ServiceBackend]:
    made = ServiceBackend("rtc_x", "test", SessionSettings({}), never, Faults())
    yield made
    made.close()


@pytest.mark.parametrize("label", [EVENTS_LABEL, "of any name"])
async def test_who_looks_on_first_takes_nothing_from_the_client(
    backend: ServiceBackend, label: str
) -> None:
    onlooker, second, client = Channel(EVENTS_LABEL), Channel(EVENTS_LABEL), Channel(label)
    for text in said("session.created", "session.updated"):
        backend.received(text)
    backend.look_on(onlooker)
    for text in said("response.created"):
        backend.received(text)
    backend.look_on(second)
    backend.channel(client)
    backend.message(client, "nonsense")
    everything = ["session.created", "session.updated", "response.created", "error"]
    assert client.sent == onlooker.sent == everything
    assert second.sent == ["session.created", "error"], "the first may have acted on the others"


async def test_who_comes_again_does_not_see_again_what_was_acted_on(
    backend: ServiceBackend,
) -> None:
    """Of a call that has no data channel at all."""
    first, again = Channel(EVENTS_LABEL), Channel(EVENTS_LABEL)
    backend.look_on(first)
    for text in said("session.created", "response.function_call_arguments.done"):
        backend.received(text)
    first.close()
    backend.look_on(again)
    assert len(first.sent) == 2
    assert again.sent == ["session.created"]


async def test_a_client_whose_channel_was_closed_is_served_although_one_looks_on(
    backend: ServiceBackend,
) -> None:
    first, onlooker, again = Channel("one"), Channel(EVENTS_LABEL), Channel("another")
    backend.channel(first)
    backend.look_on(onlooker)
    first.close()
    backend.channel(again)
    for text in said("x"):
        backend.received(text)
    assert again.sent == onlooker.sent == ["x"]


async def test_a_client_with_many_channels_keeps_nobody_out(backend: ServiceBackend) -> None:
    channels = [Channel(EVENTS_LABEL) for _ in range(20)]
    onlooker = Channel(EVENTS_LABEL)
    for each in channels:
        backend.channel(each)
    backend.look_on(onlooker)
    for text in said("x"):
        backend.received(text)
    assert [each.sent for each in channels] == [["x"]] * 16 + [[]] * 4
    assert onlooker.sent == ["x"]


@pytest.mark.parametrize("longest", [262_144, 0])
async def test_a_turn_of_20_s_is_retrieved_by_whoever_can_take_it(
    backend: ServiceBackend, longest: int
) -> None:
    client, sent = Channel(EVENTS_LABEL), []

    def keep(message: str | bytes) -> bool:
        sent.append(json.loads(message))
        return True

    client.longest, client.send = longest, keep  # type: ignore[method-assign]
    backend.channel(client)
    sound = {"type": "input_audio", "transcript": "so much", "audio": "A" * 1_280_000}
    item = {"id": "i", "type": "message", "role": "user", "content": [sound]}
    retrieved = {"type": "conversation.item.retrieved", "event_id": "e", "item": item}
    backend.received(json.dumps(retrieved))
    if longest:
        del sound["audio"]
    assert sent == [retrieved]


async def test_a_server_may_look_on_before_the_client_is_connected(
    service: RealtimeService,
    bridged: Transceiver,
    dial: Dial,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, onlooker = dial(bridged.control), Channel(EVENTS_LABEL)
    take = client.pc.setRemoteDescription

    async def after_the_server(answer: Any) -> None:
        (call,) = bridged.calls
        assert call.attach(onlooker)
        await until(lambda: onlooker.sent)
        await service.connection.send("x")
        await until(lambda: "x" in onlooker.sent)
        await take(answer)

    monkeypatch.setattr(client.pc, "setRemoteDescription", after_the_server)
    await client.call(bridged.address)
    await until(lambda: "x" in kinds(client))
    assert kinds(client) == onlooker.sent == ["session.created", "x"]


async def never() -> Any:
    await asyncio.Event().wait()
