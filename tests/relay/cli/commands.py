"""Running `icelane`, in this process and as a process of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from relay.cli.main import app

ICELANE = Path(sys.executable).with_name("icelane")
LIMIT = 30.0  # seconds until a process has done what it must


def icelane(*arguments: str | Path, columns: int = 200) -> Result:
    """Run a command in this process, on a terminal of so many columns."""
    runner = CliRunner(env={"COLUMNS": str(columns)})
    return runner.invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, code: int = 2) -> str:
    """The one line in which a command said why it ends."""
    assert result.exit_code == code
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("icelane: ")
    return line


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a process, which is killed if it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        ICELANE, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LIMIT):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(*arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors of the command as a process."""
    async with started(*arguments) as process:
        output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()


async def line(process: asyncio.subprocess.Process) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


def unboxed(errors: str) -> str:
    """A usage error without the frame that is drawn around it."""
    return " ".join(errors.replace("│", "").split())
