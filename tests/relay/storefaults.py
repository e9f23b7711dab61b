"""What can become of a store: faults of a real redis-server, each with its end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from tests.ports import free_port
from tests.relay.conftest import RedisServer

PATIENCE = 0.8  # seconds that clients wait, in place of 2
LATE = 2.0  # seconds: beyond that, as 5 are beyond 2
PASSWORD = "secret"


class Way(Enum):
    """What becomes of what is sent to a server, and of its answers."""

    OPEN = auto()
    SLOW = auto()
    BLACK_HOLE = auto()


class Line:
    """A line to a server, on which answers may be late, or nothing may pass.

    Attributes:
        way: What passes.
        url: Where it begins.
    """

    def __init__(self, directory: Path, server: RedisServer) -> None:
        self.way = Way.OPEN
        self._here, self._there = directory / "line.sock", server.url.removeprefix("unix://")
        self.url = f"unix://{self._here}"
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def carrying(self) -> AsyncIterator["Line"]:
        """Carry while the context is entered."""
        server = await asyncio.start_unix_server(self._accept, self._here)
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there, to = await asyncio.open_unix_connection(self._there)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, to, 0.0))
                both.create_task(self._carry(there, writer, LATE))
        except* OSError:
            pass
        finally:
            writer.close()
            to.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: float
    ) -> None:
        while data := await reader.read(65_536):
            if self.way is Way.BLACK_HOLE:
                continue
            if self.way is Way.SLOW:
                await asyncio.sleep(late)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # for the other direction, too


def each_is_told_once(lines: Iterable[str], over: str) -> None:
    """Assert that each kind of reason was told once in each outage, and that the last is over.

    On a busy machine a server may be slow for a moment beside what befalls it.
    """
    kinds: list[str] = []
    last = ""
    for last in lines:
        if last == over:
            kinds.clear()
            continue
        kinds.append(last.split(": ")[1])
        assert len(set(kinds)) == len(kinds), kinds
    assert last == over


@dataclass(frozen=True)
class Fault:
    """Something that becomes of a server.

    Attributes:
        name: In words.
        begin: Makes it so.
        end: Ends it.
        told: A part of what an operator is told meanwhile; None where there is nothing to do for
            him, as all that is missing is written again.
    """

    name: str
    begin: Callable[[RedisServer, Line], None]
    end: Callable[[RedisServer, Line], None]
    told: str | None


def _kill(server: RedisServer, _: Line) -> None:
    server.signal(signal.SIGKILL)
    server.stop()


def _start(server: RedisServer, _: Line) -> None:
    server.start()


def _sending(number: signal.Signals) -> Callable[[RedisServer, Line], None]:
    return lambda server, _: server.signal(number)


def _line(way: Way) -> Callable[[RedisServer, Line], None]:
    def change(_: RedisServer, line: Line) -> None:
        line.way = way

    return change


def _flush(server: RedisServer, _: Line) -> None:
    server.client().flushall()
    server.client().function_flush()


def _restart(server: RedisServer, line: Line) -> None:
    _kill(server, line)
    server.start()


def _nothing(_: RedisServer, __: Line) -> None:
    pass


def _locked(server: RedisServer, _: Line) -> None:
    client = server.client()
    client.config_set("requirepass", PASSWORD)
    client.client_kill_filter(_type="normal", skipme=True)


def _unlocked(server: RedisServer, _: Line) -> None:
    server.client_with(PASSWORD).config_set("requirepass", "")


def _setting(**settings: str) -> Callable[[RedisServer, Line], None]:
    def change(server: RedisServer, _: Line) -> None:
        for name, value in settings.items():
            server.client().config_set(name.replace("_", "-"), value)

    return change


def _crowd_out(server: RedisServer, _: Line) -> None:
    """Others write until all that was there is gone, as each new key costs an old one."""
    client = server.client()
    before = client.keys("icelane:*")
    assert before
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", used + 500_000)
    for number in range(1_000_000):
        if number % 100 == 0 and not client.exists(*before):
            return
        client.set(f"junk {number}", bytes(5_000))
    raise AssertionError("nothing was evicted")


def _room(server: RedisServer, _: Line) -> None:
    server.client().config_set("maxmemory", 0)


def _follow_nobody(server: RedisServer, _: Line) -> None:
    server.client().replicaof("127.0.0.1", str(free_port()))


def _lead(server: RedisServer, _: Line) -> None:
    server.client().replicaof("NO", "ONE")


def _cannot_save(server: RedisServer, _: Line) -> None:
    client = server.client()
    server.data.rmdir()
    client.config_set("save", "3600 1")
    client.bgsave()
    while client.info("persistence")["rdb_bgsave_in_progress"]:
        pass
    assert client.info("persistence")["rdb_last_bgsave_status"] == "err"


def _user(*rules: str) -> Callable[[RedisServer, Line], None]:
    return lambda server, _: server.client().execute_command("ACL", "SETUSER", "default", *rules)  # type: ignore[no-untyped-call]


FAULTS = (
    Fault("killed, and started empty", _kill, _start, "has ended the connection"),
    Fault("hung", _sending(signal.SIGSTOP), _sending(signal.SIGCONT), "does not answer"),
    Fault("black-holed", _line(Way.BLACK_HOLE), _line(Way.OPEN), "does not answer"),
    Fault("slow", _line(Way.SLOW), _line(Way.OPEN), "does not answer"),
    Fault("flushed, functions and all", _flush, _nothing, None),
    Fault("restarted empty", _restart, _nothing, None),
    Fault("wrong password", _locked, _unlocked, "refuses the user or password"),
    Fault("full", _setting(maxmemory="1"), _room, "is full"),
    Fault("full, evicting others", _crowd_out, _room, None),
    Fault("a replica", _follow_nobody, _lead, "is a replica"),
    Fault("cannot save", _cannot_save, _setting(save=""), "cannot save"),
    Fault(
        "lacks replicas",
        _setting(min_replicas_to_write="1"),
        _setting(min_replicas_to_write="0"),
        "lacks replicas",
    ),
    Fault("permits nothing", _user("-fcall"), _user("+fcall"), "does not permit"),
)
