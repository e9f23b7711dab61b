"""Beside a call that somebody else has made: shows what is said in it, and has something said.

    pip install 'openai[realtime]'
    python sideband.py rtc_1-1-1-... "what is seven times six?"

An application's server does this to run tools, or to watch, while its user's browser has the call.
"""

import asyncio
import os
import sys

from openai import AsyncOpenAI

HEARD = "conversation.item.input_audio_transcription.completed"


async def beside(call_id: str, text: str) -> None:
    """Join the call."""
    base = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    client = AsyncOpenAI(
        base_url=base,
        websocket_base_url=base.replace("http", "ws", 1),  # or else it is wss://
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
    )
    async with client.realtime.connect(call_id=call_id) as connection:
        content = [{"type": "input_text", "text": text}]
        async for event in connection:
            if event.type == "session.created":
                await connection.conversation.item.create(
                    item={"type": "message", "role": "user", "content": content}
                )
                await connection.response.create()
            elif event.type == HEARD:
                print("user:", event.transcript, flush=True)
            elif event.type == "response.output_audio_transcript.done":
                print("agent:", event.transcript, flush=True)
            elif event.type == "error":
                sys.exit(event.error.message)
    print("the call has ended")


asyncio.run(beside(sys.argv[1], " ".join(sys.argv[2:])))
