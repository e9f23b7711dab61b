"""A question by text to a Realtime server, with the official package.

pip install 'openai[realtime]'
OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python text.py "what time is it?"
"""

import asyncio
import os
import sys

from openai import AsyncOpenAI


async def ask(question: str) -> None:
    """Ask it, and print the answer as it comes."""
    base = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    # By itself the package makes wss:// of whatever the base URL is.
    client = AsyncOpenAI(
        base_url=base,
        websocket_base_url=base.replace("http", "ws", 1),
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
    )
    async with client.realtime.connect(model="agent") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        content = [{"type": "input_text", "text": question}]
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "response.done":
                print()
                break
            elif event.type == "error":
                sys.exit(event.error.message)


asyncio.run(ask(" ".join(sys.argv[1:]) or "what time is it?"))
