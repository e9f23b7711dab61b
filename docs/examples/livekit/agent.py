"""A session of LiveKit's agents whose model is a Realtime server: a question by text, with a tool.

    pip install -r requirements.txt
    OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python agent.py "what is the weather in Paris?"

A voice agent would start the session in a room, which its sound comes from and goes to.
"""

import asyncio
import os
import sys

from livekit.agents import Agent, AgentSession, function_tool
from livekit.plugins import openai


class Guide(Agent):
    """An agent with a tool."""

    @function_tool
    async def get_weather(self, city: str) -> str:
        """The weather in a city."""
        print(f"get_weather: {city}", flush=True)
        return f"In {city} it is sunny, with 18 degrees."


async def main(question: str) -> None:
    """Ask it."""
    model = openai.realtime.RealtimeModel(
        model="agent",
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        modalities=["text"],
    )
    async with AgentSession(llm=model) as session:
        await session.start(Guide(instructions="Be brief."))
        result = await session.run(user_input=question)
    await model.aclose()
    for event in result.events:
        if event.type == "message":
            print("agent:", event.item.text_content)


asyncio.run(main(" ".join(sys.argv[1:]) or "what is the weather in Paris?"))
