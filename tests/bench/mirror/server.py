"""A redis-server that keeps nothing, which tells what it has used."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from tests.bench.errors import BenchError

_STARTED = 10.0  # seconds for it to answer


class Server:
    """A running server.

    Args:
        socket: Where it listens.

    Attributes:
        url: Of a client of it.
        client: One.
    """

    def __init__(self, socket: Path) -> None:
        self.url = f"unix://{socket}"
        self.client = redis.Redis.from_url(self.url)

    def busy(self) -> float:
        """Seconds of processor time that it has used, of its one thread that serves."""
        told = self.client.info("cpu")
        return float(told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"])

    def memory(self) -> int:
        """Bytes of what it keeps."""
        return int(self.client.info("memory")["used_memory"])

    def calls(self, command: str) -> int:
        """How often a command was served."""
        told = self.client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
        return int(told["calls"])

    @contextmanager
    def listened(self, channel: str, listeners: int) -> Iterator[None]:
        """So many processes listen to a channel and throw away what they hear."""
        path = self.url.removeprefix("unix://")
        with ExitStack() as stack:
            for _ in range(listeners):
                child = subprocess.Popen(
                    ["redis-cli", "-s", path, "SUBSCRIBE", channel],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
                stack.callback(_end, child)
            self._until(lambda: self._listening(channel) == listeners)
            yield

    def _listening(self, channel: str) -> int:
        return int(self.client.pubsub_numsub(channel)[0][1])

    def started(self) -> None:
        """Wait until it answers.

        Raises:
            BenchError: It does not.
        """
        self._until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STARTED
        while not holds():
            if time.monotonic() > deadline:
                raise BenchError("redis-server does not answer: see whether it starts by hand")
            time.sleep(0.01)


@contextmanager
def serving() -> Iterator[Server]:
    """A server of one's own.

    Raises:
        BenchError: There is none, or it does not start.
    """
    with tempfile.TemporaryDirectory() as name:
        socket = Path(name, "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", name]
        try:
            child = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            raise BenchError("redis-server is missing: run `make setup`") from None
        try:
            server = Server(socket)
            server.started()
            yield server
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    child.wait()
