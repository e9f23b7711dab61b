"""Takes the official Python package through all scenarios, over WebSocket, and prints what came.

The scenarios are those of `scenarios.mjs`. The sound is mono PCM16 at 24 kHz.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

LIMIT = 60.0  # seconds
FRAME = 4_800  # bytes of 100 ms
COMPLETED = "conversation.item.input_audio_transcription.completed"
SPOKEN = {"what time is it": "It is ", "what can you do": "You can "}
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
WEATHER = "It is sunny, with 18 degrees."

Event = dict[str, Any]


class Client:
    """The package, with what its users add: a player, a microphone and a tool."""

    def __init__(self, connection: AsyncRealtimeConnection, speech: bytes) -> None:
        self.events: list[Event] = []
        self.called: list[Any] = []
        self.interrupted = self.sound = 0
        self._connection = connection
        self._speech = speech
        self._output: Any = None
        self._playing, self._since = "", 0.0
        self._news = asyncio.Condition()

    async def read(self) -> None:
        """Take events until the connection ends."""
        async for event in self._connection:
            taken = event.to_dict(exclude_unset=True)
            self.events.append(taken)
            await self._take(taken)
            async with self._news:
                self._news.notify_all()

    async def until(self, first: int, found: Callable[[list[Event]], Any]) -> Any:
        """What is found in the events since then, once it is there."""
        async with asyncio.timeout(LIMIT), self._news:
            while not (result := found(self.events[first:])):
                await self._news.wait()
        return result

    async def write(self, text: str) -> None:
        content: Any = [{"type": "input_text", "text": text}]
        item: Any = {"type": "message", "role": "user", "content": content}
        await self._connection.conversation.item.create(item=item)
        await self._connection.response.create()

    async def speak(self) -> None:
        """Say the recorded speech in real time, over and over, until it is cancelled."""
        started, sent = time.monotonic(), 0
        while True:
            at = sent * FRAME % len(self._speech)
            sound = base64.b64encode(self._speech[at : at + FRAME]).decode()
            await self._connection.input_audio_buffer.append(audio=sound)
            sent += 1
            await asyncio.sleep(max(0.0, started + sent * 0.1 - time.monotonic()))

    async def _take(self, event: Event) -> None:
        match event:
            case {"type": "response.function_call_arguments.done"}:
                self.called.append(json.loads(event["arguments"]))
                self._output = {"type": "function_call_output", "call_id": event["call_id"]}
            case {"type": "response.done"} if self._output is not None:
                output, self._output = self._output | {"output": WEATHER}, None
                await self._connection.conversation.item.create(item=output)
                await self._connection.response.create()
            case {"type": "response.output_audio.delta"}:
                self.sound += len(event.pop("delta"))
                if self._playing != event["item_id"]:
                    self._playing, self._since = event["item_id"], time.monotonic()
            case {"type": "input_audio_buffer.speech_started"} if self._playing:
                self.interrupted += 1
                item_id, self._playing = self._playing, ""
                heard = round(1000 * (time.monotonic() - self._since))
                await self._connection.conversation.item.truncate(
                    item_id=item_id, content_index=0, audio_end_ms=min(heard, 500)
                )


def _answer(beginning: str) -> Callable[[list[Event]], str | None]:
    def found(events: list[Event]) -> str | None:
        for event in events:
            if event["type"] == "response.done":
                for item in event["response"]["output"]:
                    for part in item.get("content", ()):
                        text: str = part.get("transcript") or part.get("text") or ""
                        if text.startswith(beginning) and text:
                            return text
        return None

    return found


def _first(kind: str) -> Callable[[list[Event]], Event | None]:
    return lambda events: next((each for each in events if each["type"] == kind), None)


def _known(events: list[Event]) -> str | None:
    heard = [each["transcript"] for each in events if each["type"] == COMPLETED]
    return next((each for each in heard if each in SPOKEN), None)


async def scenarios(client: Client) -> dict[str, Any]:
    """Go through all; what came of each."""
    first = len(client.events)
    await client.write("what is seven times six?")
    seen: dict[str, Any] = {"text": {"answer": await client.until(first, _answer("That is 42"))}}
    first = len(client.events)
    await client.write("what is the weather in Paris?")
    answer = await client.until(first, _answer("It is sunny"))
    seen["function_call"] = {"answer": answer, "called": list(client.called)}
    first = len(client.events)
    async with _running(client.speak()):
        heard = await client.until(first, _known)
        answer = await client.until(first, _answer(SPOKEN[heard]))
        seen["spoken"] = {"heard": heard, "answer": answer}
        first = len(client.events)
        truncated = await client.until(first, _first("conversation.item.truncated"))
        following = await client.until(len(client.events), _answer(""))
        seen["barge_in"] = {
            "item_id": truncated["item_id"],
            "audio_end_ms": truncated["audio_end_ms"],
            "cleared": False,
            "next": following,
            "interrupted": client.interrupted,
        }
    return seen


@contextlib.asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def run(url: str, key: str, speech: bytes) -> dict[str, Any]:
    """Take the package through all scenarios; what came of it."""
    async with (
        AsyncOpenAI(api_key=key, base_url=url) as api,
        api.realtime.connect(model="agent") as connection,
    ):
        client = Client(connection, speech)
        transcription: Any = {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}
        async with _running(client.read()):
            await connection.session.update(
                session={"type": "realtime", "tools": [TOOL], "audio": transcription}
            )
            seen = await scenarios(client)
    errors = [json.dumps(each["error"]) for each in client.events if each["type"] == "error"]
    return {"scenarios": seen, "errors": errors, "events": client.events, "sound": client.sound}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="the base URL of the API")
    parser.add_argument("key")
    parser.add_argument("sound", type=Path, help="what is spoken")
    asked = parser.parse_args()
    json.dump(asyncio.run(run(asked.url, asked.key, asked.sound.read_bytes())), sys.stdout)


if __name__ == "__main__":
    main()
