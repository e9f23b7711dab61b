"""A bounded pool of processes for heavy work that holds the interpreter's lock.

A worker is `python -m transceiver.agent.speech.workers MODULE:ATTRIBUTE`, where the attribute is
called once without arguments and gives a job: ``job(header, body) -> answer``. Header and answer
are JSON, the body is bytes. Requests and answers are frames on its standard input and output. It
ends when its standard input does, so that none outlives the service, however that ends.
"""

import asyncio
import contextlib
import importlib
import json
import os
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any, BinaryIO

from transceiver.agent.speech.errors import AgentError, PoolBusyError

Job = Callable[[Any, bytes], Any]
_LENGTHS = struct.Struct("!II")  # of header and body
MAX_WAITING = 16  # jobs for each worker
_START_SECONDS = 30.0
_JOB_SECONDS = 20.0


class Workers:
    """The pool.

    Args:
        job: Where the job is made, `module:attribute`.
        count: How many processes.
    """

    def __init__(self, job: str, count: int) -> None:
        self._job = job
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._workers = [_Worker(job) for _ in range(count)]
        self._waiting = 0

    async def open(self) -> None:
        """Start all, and wait until each can work.

        Raises:
            AgentError: One did not start.
        """
        for worker in self._workers:
            self._idle.put_nowait(worker)
        try:
            await asyncio.gather(*(worker.start() for worker in self._workers))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*(worker.end() for worker in self._workers))

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def run(self, header: Any, body: bytes) -> Any:
        """Have a job done.

        Raises:
            PoolBusyError: As many wait as may wait.
            AgentError: The worker ended, or took too long; the next job gets a new one.
        """
        if self._waiting >= MAX_WAITING * len(self._workers):
            raise PoolBusyError("The agent is asked for more than it can do now; ask again later")
        self._waiting += 1
        try:
            worker = await self._idle.get()
            try:
                return await worker.run(header, body)
            finally:
                self._idle.put_nowait(worker)
        finally:
            self._waiting -= 1


class _Worker:
    """One process, started again when it is needed after it ended."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def start(self) -> None:
        await self.end()
        # Its own session: Ctrl-C is for the service, which ends it.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", __spec__.name, self._job),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        await self._answer(_START_SECONDS)

    async def run(self, header: Any, body: bytes) -> Any:
        if self.pid is None:
            await self.start()
        assert self._process is not None  # noqa: S101  # it was just started
        assert self._process.stdin is not None  # noqa: S101  # a pipe
        text = json.dumps(header).encode()
        self._process.stdin.write(_LENGTHS.pack(len(text), len(body)) + text + body)
        return await self._answer(_JOB_SECONDS)

    async def end(self) -> None:
        if self.pid is not None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        if self._process is not None:
            await self._process.wait()
            self._process = None

    async def _answer(self, seconds: float) -> Any:
        """The next frame; whoever does not wait for it to its end leaves no worker behind."""
        assert self._process is not None  # noqa: S101  # it is asked while it runs only
        assert self._process.stdout is not None  # noqa: S101  # a pipe
        try:
            async with asyncio.timeout(seconds):
                size, _ = _LENGTHS.unpack(await self._process.stdout.readexactly(_LENGTHS.size))
                answer = json.loads(await self._process.stdout.readexactly(size))
        except (TimeoutError, EOFError, OSError) as error:
            await self.end()
            why = "took too long" if isinstance(error, TimeoutError) else "ended"
            raise AgentError(f"A process of the agent ({self._job}) {why}") from error
        except asyncio.CancelledError:
            await self.end()  # its answer would be taken for the next one's
            raise
        if "error" in answer:
            raise AgentError(answer["error"])
        return answer["value"]


def serve(job: str, source: BinaryIO, sink: BinaryIO) -> None:
    """Make the job and do it for each request, until the source ends."""

    def tell(answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        sink.write(_LENGTHS.pack(len(text), 0) + text)
        sink.flush()

    module, _, attribute = job.partition(":")
    try:
        work: Job = getattr(importlib.import_module(module), attribute)()
    except (AgentError, ImportError, AttributeError) as error:
        tell({"error": str(error)})
        return
    tell({"value": None})
    while len(lengths := source.read(_LENGTHS.size)) == _LENGTHS.size:
        size, more = _LENGTHS.unpack(lengths)
        header, body = json.loads(source.read(size)), source.read(more)
        try:
            answer = {"value": work(header, body)}
        except Exception as error:  # noqa: BLE001  # it is of this job
            answer = {"error": f"{type(error).__name__}: {error}"}
        tell(answer)


if __name__ == "__main__":
    # What libraries print goes where errors go: standard output has frames.
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.stdin.buffer, frames)
