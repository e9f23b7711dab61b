"""A conversation goes on when a process dies: each is one of its own, and is killed by SIGKILL.

There is no relay: signaling advertises the transceiver itself.
"""

import asyncio
import json
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from relay.config.privatefiles import write_private
from relay.wire.keys import KeyRing
from tests.lab.config import icelane
from tests.ports import free_port

START = 60.0  # seconds; a limit
LIMIT = 30.0
RESUME = "Icelane-Resume"
CALLS = "/v1/realtime/calls"


class Service:
    """A command of `icelane` that serves until it is killed."""

    def __init__(self, *command: object) -> None:
        self._command = [icelane(), *map(str, command)]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=subprocess.PIPE, stderr=sys.stderr
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START):
            assert (await self._process.stdout.readline()).startswith(b"ready"), self._command

    async def kill(self) -> None:
        """As by the kernel: nothing is said to anybody."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.communicate()
            self._process = None


@dataclass
class Place:
    """All that a call needs, and the processes that it is made of."""

    url: str
    agent: Service
    transceiver: Service
    signaling: Service


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    kinds = (socket.SOCK_DGRAM, *[socket.SOCK_STREAM] * 3)
    media, control, agent, page = (f"127.0.0.1:{free_port()}" for kind in kinds)
    keys, registry = tmp_path / "keys.toml", tmp_path / "registry.toml"
    write_private(keys, KeyRing.generate(secrets.token_bytes).dumps().encode())
    keys.chmod(0o600)
    registry.write_text(
        f'[[relay]]\nvip = "{media}"\n\n[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\n'
        f'address = "{media}"\ncontrol = "http://{control}"\n',
        "utf-8",
    )
    listening = ("--listen", media, "--control", control, "--keys", keys)
    made = Place(
        f"http://{page}",
        Service("agent", "run", "--listen", agent),
        Service("transceiver", "run", *listening, "--backend", f"ws://{agent}/v1/realtime"),
        Service("signaling", "run", "--listen", page, "--registry", registry),
    )
    async with AsyncExitStack() as stack:
        for each in (made.agent, made.transceiver, made.signaling):
            stack.push_async_callback(each.kill)
            await each.start()
        yield made


@dataclass
class Call:
    """A call of a real client.

    Attributes:
        token: With which another one goes on.
        location: Its path.
    """

    token: str
    location: str
    pc: RTCPeerConnection
    channel: Any
    events: list[dict[str, Any]] = field(default_factory=list)
    unread: int = 0

    @classmethod
    async def place(cls, place: Place, token: str | None = None) -> "Call":
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        pc.addTransceiver("audio")
        channel = pc.createDataChannel("oai-events")
        call = cls("", "", pc, channel)
        channel.on("message", lambda text: call.events.append(json.loads(text)))
        await pc.setLocalDescription(await pc.createOffer())
        headers = {"Content-Type": "application/sdp"} | ({RESUME: token} if token else {})
        async with (
            aiohttp.ClientSession() as http,
            asyncio.timeout(LIMIT),
        ):
            status = 0
            while status != 201:  # signaling may not know yet that a transceiver is back
                async with http.post(
                    place.url + CALLS, data=pc.localDescription.sdp, headers=headers
                ) as response:
                    status, answer = response.status, await response.text()
                    assert status in (201, 503), answer
                    call.token = response.headers.get(RESUME, "")
                    call.location = response.headers.get("Location", "")
                await asyncio.sleep(0.05)
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return call

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that is wanted."""
        async with asyncio.timeout(LIMIT):
            while True:
                for event in self.events[self.unread :]:
                    self.unread += 1
                    if wanted(event):
                        return event
                await asyncio.sleep(0.01)

    async def of(self, *kinds: str) -> dict[str, Any]:
        return await self.until(lambda event: event["type"] in kinds)

    async def session_id(self) -> str:
        session_id: str = (await self.of("session.created"))["session"]["id"]
        return session_id

    def tell(self, kind: str, **content: Any) -> None:
        self.channel.send(json.dumps({"type": kind, **content}))

    async def ask(self, name: str, text: str) -> str:
        """Write something, under a name; the answer."""
        content = [{"type": "input_text", "text": text}]
        item = {"id": name, "type": "message", "role": "user", "content": content}
        self.tell("conversation.item.create", item=item)
        await self.of("conversation.item.done")
        self.tell("response.create", response={"output_modalities": ["text"]})
        done = await self.of("response.done")
        answer: str = done["response"]["output"][0]["content"][0]["text"]
        return answer

    async def recall(self, name: str) -> dict[str, Any]:
        """What the back end has under a name."""
        self.tell("conversation.item.retrieve", item_id=name)
        return await self.of("conversation.item.retrieved", "error")


async def test_a_killed_transceiver_ends_no_conversation(place: Place) -> None:
    first = await Call.place(place)
    session_id = await first.session_id()
    assert "time" in await first.ask("item_one", "what can you do")
    await place.transceiver.kill()
    await place.transceiver.start()
    second = await Call.place(place, first.token)
    assert await second.session_id() == session_id
    recalled = await second.recall("item_one")
    assert recalled["item"]["content"] == [{"type": "input_text", "text": "what can you do"}]
    assert await second.ask("item_two", "what time is it")
    # Once shown, a token is used up; the second call's is another one.
    stranger = await Call.place(place, first.token)
    assert await stranger.session_id() != session_id
    assert second.token not in ("", first.token)
    for each in (first, second, stranger):
        await each.pc.close()


async def test_a_client_that_lost_its_way_goes_on_while_the_old_call_seems_alive(
    place: Place,
) -> None:
    first = await Call.place(place)
    session_id = await first.session_id()
    await first.ask("item_one", "hello")
    second = await Call.place(place, first.token)
    assert await second.session_id() == session_id
    assert (await second.recall("item_one"))["type"] == "conversation.item.retrieved"
    fault = (await first.of("error"))["error"]
    assert fault["code"] == "goes_on_elsewhere"
    for each in (first, second):
        await each.pc.close()


@pytest.mark.parametrize(("query", "goes_on"), [("?keep=true", True), ("", False)])
async def test_who_hangs_up_says_whether_it_goes_on(
    place: Place, query: str, goes_on: bool
) -> None:
    first = await Call.place(place)
    session_id = await first.session_id()
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{place.url}{first.location}/hangup{query}") as response,
    ):
        assert response.status == 200
    second = await Call.place(place, first.token)
    assert (await second.session_id() == session_id) is goes_on
    for each in (first, second):
        await each.pc.close()


async def test_a_session_without_webrtc_goes_on_too(place: Place) -> None:
    url = f"{place.url}/v1/realtime?model=icelane-agent"

    async def connected(http: aiohttp.ClientSession, token: str | None) -> tuple[str, str, Any]:
        """Its token, the session's id and the WebSocket."""
        headers = {RESUME: token} if token else {}
        async with asyncio.timeout(LIMIT):
            while True:
                socket = await http.ws_connect(url, headers=headers)
                event = await socket.receive_json()
                if event["type"] == "session.created":
                    # aiohttp hides the answer to the handshake, which browsers do as well.
                    return answers.pop(), event["session"]["id"], socket
                await socket.close()
                await asyncio.sleep(0.2)  # who is refused too often is not listened to

    answers: list[str] = []

    async def note(_: Any, __: Any, told: aiohttp.TraceRequestEndParams) -> None:
        answers.append(told.response.headers.get(RESUME, ""))

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(note)
    async with aiohttp.ClientSession(trace_configs=[trace]) as http:
        token, session_id, socket = await connected(http, None)
        await place.transceiver.kill()
        async with asyncio.timeout(LIMIT):
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        await place.transceiver.start()
        token, again, socket = await connected(http, token)
        assert again == session_id
        await socket.close()  # a goodbye
        _, anew, socket = await connected(http, token)
        assert anew != session_id
        await socket.close()


async def test_a_killed_back_end_is_told_again_what_was_said(place: Place) -> None:
    call = await Call.place(place)
    session_id = await call.session_id()
    answer = await call.ask("item_one", "what can you do")
    await place.agent.kill()
    assert (await call.of("error"))["error"]["code"] == "backend_lost"
    await place.agent.start()
    assert await call.session_id() != session_id
    recalled = await call.recall("item_one")
    assert recalled["item"]["content"] == [{"type": "input_text", "text": "what can you do"}]
    said = [
        each["item"]["id"]
        for each in call.events
        if each["type"] == "conversation.item.added" and each["item"]["role"] == "assistant"
    ]
    assert len(said) == 1, "the client is not told of what it knows"
    recalled = await call.recall(said[0])
    assert recalled["item"]["content"] == [{"type": "output_text", "text": answer}]
    assert await call.ask("item_two", "what time is it")
    await call.pc.close()
