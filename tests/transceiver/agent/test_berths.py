"""Sessions of the agent that outlive their connections, over real WebSockets."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from relay.wire.endpoint import Endpoint
from tests.transceiver.agent.conftest import LOUD
from tests.transceiver.muxbench import Until
from tests.transceiver.realtime import strict
from transceiver.agent.parts import Parts
from transceiver.agent.service import AgentService
from transceiver.resume import GOES_ON_ELSEWHERE, KEEP, RESUME

LIMIT = 10.0  # seconds
ONE, TWO, THREE = ("1" * 43, "2" * 43, "3" * 43)


class Client:
    """A connection, without a library that would hide how it ends."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of a kind."""
        async with asyncio.timeout(LIMIT):
            while True:
                event: dict[str, Any] = json.loads(await self.socket.receive_str())
                strict.check(event)
                if event["type"] == kind:
                    return event

    async def session_id(self) -> str:
        session_id: str = (await self.until("session.created"))["session"]["id"]
        return session_id

    async def tell(self, kind: str, **content: Any) -> None:
        await self.socket.send_json({"type": kind, **content})

    async def write(self, name: str, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"id": name, "type": "message", "role": "user", "content": content}
        await self.tell("conversation.item.create", item=item)
        await self.until("conversation.item.done")

    async def recalls(self, name: str) -> bool:
        """Whether an item is in the conversation."""
        await self.tell("conversation.item.retrieve", item_id=name)
        event: dict[str, Any] = json.loads(await self.socket.receive_str())
        while event["type"] not in ("conversation.item.retrieved", "error"):
            event = json.loads(await self.socket.receive_str())
        return bool(event["type"] == "conversation.item.retrieved")

    def breaks(self) -> None:
        """As when its host loses power, but for the FIN, which comes at once."""
        transport = self.socket.get_extra_info("socket")
        assert transport is not None
        transport.shutdown(2)


class Visitors:
    """Connects to a service."""

    def __init__(self, http: aiohttp.ClientSession, service: AgentService) -> None:
        self._http = http
        self.service = service

    async def connect(self, resume: str | None = None, keep: str | None = None) -> Client:
        named = {RESUME: resume, KEEP: keep}
        headers = {header: name for header, name in named.items() if name is not None}
        return Client(await self._http.ws_connect(self.service.url, headers=headers))


@pytest.fixture
async def visitors(service: AgentService) -> AsyncIterator[Visitors]:
    async with aiohttp.ClientSession() as http:
        yield Visitors(http, service)


async def test_a_conversation_goes_on_after_its_connection_broke(
    visitors: Visitors, until: Until
) -> None:
    first = await visitors.connect(keep=ONE)
    session_id = await first.session_id()
    await first.tell("session.update", session={"type": "realtime", "instructions": "Be kind."})
    await first.write("item_mine", "hello")
    first.breaks()
    await until(lambda: visitors.service.sessions == 0)
    second = await visitors.connect(resume=ONE, keep=TWO)
    created = await second.until("session.created")
    assert created["session"]["id"] == session_id
    assert created["session"]["instructions"] == "Be kind."
    assert await second.recalls("item_mine")
    await second.tell("response.create", response={"output_modalities": ["text"]})
    done = await second.until("response.done")
    assert done["response"]["status"] == "completed"


async def test_a_name_is_good_for_once(visitors: Visitors, until: Until) -> None:
    first = await visitors.connect(keep=ONE)
    session_id = await first.session_id()
    first.breaks()
    await until(lambda: visitors.service.sessions == 0)
    assert await (await visitors.connect(resume=ONE, keep=TWO)).session_id() == session_id
    assert await (await visitors.connect(resume=ONE, keep=THREE)).session_id() != session_id
    assert await (await visitors.connect(resume=TWO)).session_id() == session_id


async def test_of_two_who_know_a_name_one_gets_the_session(
    visitors: Visitors, until: Until
) -> None:
    first = await visitors.connect(keep=ONE)
    session_id = await first.session_id()
    first.breaks()
    await until(lambda: visitors.service.sessions == 0)
    both = await asyncio.gather(visitors.connect(resume=ONE), visitors.connect(resume=ONE))
    assert [await each.session_id() for each in both].count(session_id) == 1


async def test_a_session_is_taken_over_from_a_connection_that_seems_alive(
    visitors: Visitors,
) -> None:
    first = await visitors.connect(keep=ONE)
    session_id = await first.session_id()
    await first.write("item_mine", "help")
    await first.tell("response.create")
    await first.until("response.output_audio.delta")
    second = await visitors.connect(resume=ONE, keep=TWO)
    assert await second.session_id() == session_id
    assert await second.recalls("item_mine")
    async with asyncio.timeout(LIMIT):
        while (message := await first.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert message.data == GOES_ON_ELSEWHERE
    await second.tell("response.create", response={"output_modalities": ["text"]})
    assert (await second.until("response.done"))["response"]["status"] == "completed"


async def test_a_client_that_says_goodbye_does_not_come_back(
    visitors: Visitors, until: Until
) -> None:
    first = await visitors.connect(keep=ONE)
    session_id = await first.session_id()
    await first.socket.close()
    await until(lambda: visitors.service.sessions == 0)
    assert await (await visitors.connect(resume=ONE)).session_id() != session_id


async def test_one_that_goes_away_may(visitors: Visitors, until: Until) -> None:
    first = await visitors.connect(keep=ONE)
    session_id = await first.session_id()
    await first.socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)
    await until(lambda: visitors.service.sessions == 0)
    assert await (await visitors.connect(resume=ONE)).session_id() == session_id


@pytest.mark.parametrize("name", [None, "guessable", "1" * 42])
async def test_without_a_name_nothing_is_kept(
    visitors: Visitors, until: Until, name: str | None
) -> None:
    first = await visitors.connect(keep=name)
    session_id = await first.session_id()
    first.breaks()
    await until(lambda: visitors.service.sessions == 0)
    assert await (await visitors.connect(resume=name)).session_id() != session_id


async def test_a_session_is_not_kept_for_ever(parts: Parts, until: Until) -> None:
    anywhere = Endpoint("127.0.0.1", 0)
    async with (
        aiohttp.ClientSession() as http,
        AgentService(anywhere, parts, kept_for=0.05) as service,
    ):
        visitors = Visitors(http, service)
        first = await visitors.connect(keep=ONE)
        session_id = await first.session_id()
        first.breaks()
        await until(lambda: service.sessions == 0 and not len(service.kept))
        assert await (await visitors.connect(resume=ONE)).session_id() != session_id


async def test_what_was_half_said_is_no_turn(visitors: Visitors, until: Until) -> None:
    first = await visitors.connect(keep=ONE)
    await first.session_id()
    for _ in range(5):
        audio = base64.b64encode(LOUD * 100).decode()
        await first.tell("input_audio_buffer.append", audio=audio)
    await first.until("input_audio_buffer.speech_started")
    first.breaks()
    await until(lambda: visitors.service.sessions == 0)
    second = await visitors.connect(resume=ONE)
    await second.session_id()
    await second.tell("input_audio_buffer.commit")
    error = await second.until("error")
    assert error["error"]["code"] == "input_audio_buffer_commit_empty"


async def test_a_timer_ends_where_nobody_is_and_is_told_of(
    visitors: Visitors, until: Until
) -> None:
    first = await visitors.connect(keep=ONE)
    await first.session_id()
    await first.tell("session.update", session={"type": "realtime", "output_modalities": ["text"]})
    await first.write("item_1", "set a timer for one second")
    await first.tell("response.create")
    await first.until("response.done")
    first.breaks()
    await until(lambda: visitors.service.sessions == 0)
    await asyncio.sleep(1.1)  # the second that was asked for
    second = await visitors.connect(resume=ONE)
    done = await second.until("response.done")
    assert "timer" in done["response"]["output"][0]["content"][0]["text"].lower()


async def test_who_goes_on_needs_no_other_place(visitors: Visitors, until: Until) -> None:
    every = [await visitors.connect(keep=name) for name in (ONE, TWO, THREE)]
    session_id = await every[0].session_id()
    every[0].breaks()
    await until(lambda: visitors.service.sessions == 2)
    stranger = await visitors.connect()
    await stranger.session_id()
    assert (await (await visitors.connect()).until("error"))["error"]["code"] == "capacity_exceeded"
    assert await (await visitors.connect(resume=ONE, keep=ONE)).session_id() == session_id


async def test_a_request_that_is_made_twice_gets_the_same_session(visitors: Visitors) -> None:
    first = await visitors.connect(keep=ONE)
    session_id = await first.session_id()
    await (await visitors.connect(resume=ONE, keep=TWO)).session_id()
    # As by signaling, which heard nothing of the first try.
    assert await (await visitors.connect(resume=ONE, keep=TWO)).session_id() == session_id
    assert await (await visitors.connect(resume=ONE, keep=THREE)).session_id() != session_id
