"""A transceiver and signaling as processes of their own, without a relay between them."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.config.privatefiles import write_private
from relay.wire.keys import KeyRing
from tests.lab.errors import LabError
from tests.lab.usage import Usage
from tests.ports import free_port

START = 20.0  # seconds until a service serves
STOP = 10.0  # seconds until it has ended


@dataclass(frozen=True, slots=True)
class Service:
    """A process that serves.

    Attributes:
        name: What it is.
        pid: Its PID.
        log: Where its log is.
    """

    name: str
    pid: int
    log: Path

    def usage(self, tasks: int | None = None) -> Usage:
        """What it has of the system now."""
        return Usage.of(self.pid, tasks)

    def tracebacks(self) -> int:
        """How many tracebacks are in its log."""
        return self.log.read_text("utf-8", errors="replace").count("Traceback")


@dataclass(frozen=True, slots=True)
class Services:
    """Both of them.

    Attributes:
        transceiver: The transceiver.
        signaling: Signaling before it.
        control: The URL of the transceiver's control API.
        media: Where it serves media, IP:PORT.
        url: The URL of signaling.
    """

    transceiver: Service
    signaling: Service
    control: str
    media: str
    url: str


@asynccontextmanager
async def serving(capacity: int) -> AsyncIterator[Services]:
    """Run both while the context is entered; the transceiver has so many places."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icelane-leaks-")))
        keys, registry = directory / "keys.toml", directory / "registry.toml"
        write_private(keys, KeyRing.generate(os.urandom).dumps().encode())
        options = (f"--keys={keys}", "--slot=1", f"--capacity={capacity}")
        media, control = _free(), _free()
        transceiver, words = await stack.enter_async_context(
            _started(
                "transceiver", directory, f"--listen={media}", f"--control={control}", *options
            )
        )
        told = dict(word.split("=", 1) for word in words[1:])
        registry.write_text(
            f'[[relay]]\nvip = "{told["media"]}"\n[[transceiver]]\ncluster = 1\nslot = 1\n'
            f'generation = 1\naddress = "{told["media"]}"\ncontrol = "{told["control"]}"\n',
            "ascii",
        )
        signaling, words = await stack.enter_async_context(
            _started(
                "signaling",
                directory,
                f"--listen={_free()}",
                f"--registry={registry}",
            )
        )
        yield Services(transceiver, signaling, told["control"], told["media"], words[1])


def _free() -> str:
    """An address on loopback whose port nobody has now."""
    return f"127.0.0.1:{free_port()}"


@asynccontextmanager
async def _started(
    name: str, directory: Path, *options: str
) -> AsyncIterator[tuple[Service, list[str]]]:
    log = directory / f"{name}.log"
    command = (str(Path(sys.executable).with_name("icelane")), name, "run", *options)
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START):
            words = (await process.stdout.readline()).decode().split()
        if words[:1] != ["ready"]:
            raise LabError(f"{name} did not start: {log.read_text('utf-8').strip()}")
        yield Service(name, process.pid, log), words
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
