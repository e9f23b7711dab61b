"""A pipecat pipeline whose model is a Realtime server: a question by text, answered in sound.

    pip install -r requirements.txt
    OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python agent.py "what is the weather in Paris?"

A voice agent has a transport before and after the service; here the sound is only counted.
"""

import asyncio
import os
import sys

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    ErrorFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

WEATHER = FunctionSchema(
    name="get_weather",
    description="The weather in a city",
    properties={"city": {"type": "string"}},
    required=["city"],
)


async def weather(parameters) -> None:
    """The tool."""
    city = parameters.arguments["city"]
    print(f"get_weather: {city}", flush=True)
    await parameters.result_callback(f"In {city} it is sunny, with 18 degrees.")


class Listener(FrameProcessor):
    """Where the sound would go to the user: tells when an answer is complete."""

    def __init__(self, worker_of) -> None:
        super().__init__()
        self.words, self.samples, self.worker_of = [], 0, worker_of

    async def process_frame(self, frame, direction) -> None:
        """Take what comes."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSTextFrame):
            self.words.append(frame.text)
        elif isinstance(frame, TTSAudioRawFrame):
            self.samples += len(frame.audio) // 2
        elif isinstance(frame, ErrorFrame):
            print(frame.error, file=sys.stderr)
            await self.worker_of().cancel()
        elif isinstance(frame, LLMFullResponseEndFrame) and self.words:
            print("agent:", "".join(self.words).strip())
            print(f"sound: {self.samples / 24_000:.1f} s")
            await self.worker_of().cancel()
        await self.push_frame(frame, direction)


async def main(question: str) -> None:
    """Ask it."""
    base = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    service = OpenAIRealtimeLLMService(
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        base_url=f"{base.replace('http', 'ws', 1)}/realtime",
        settings=OpenAIRealtimeLLMService.Settings(model="agent"),
    )
    service.register_function("get_weather", weather)
    context = LLMContext(
        [{"role": "user", "content": question}], ToolsSchema(standard_tools=[WEATHER])
    )
    user, assistant = LLMContextAggregatorPair(context)
    listener = Listener(lambda: worker)
    worker = PipelineWorker(Pipeline([user, service, listener, assistant]))
    await worker.queue_frame(LLMContextFrame(context))
    runner = WorkerRunner()
    await runner.add_workers(worker)
    await runner.run()


asyncio.run(main(" ".join(sys.argv[1:]) or "what is the weather in Paris?"))
