"""A machine on which a page's commands are typed: a network and `/run/icelane` of its own."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 90.0  # seconds; of one command, as a start on a busy machine has taken 30

_MADE = """
mkdir -p /run/icelane && mount -t tmpfs none /run/icelane
ip link set lo up
ip link add name up0 type veth peer name up1
ip link set up0 up
ip link set up1 up
ip address add 192.0.2.1/24 dev up0
ip address add 203.0.113.10/32 dev up0
ip address add 10.0.0.5/32 dev up0
ip route add default via 192.0.2.254 dev up0
echo made
exec sleep infinity
"""


@dataclass
class Machine:
    """See above.

    Attributes:
        process: What keeps its namespaces.
        directory: Where commands are typed.
        services: Those that were started and go on.
    """

    process: "subprocess.Popen[str]"
    directory: Path
    services: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def type(self, script: str) -> list[str]:
        """Run a command; gives the lines that one sees.

        Raises:
            AssertionError: It ends with another code than 0.
        """
        ran = subprocess.run(
            self._command(script),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout}"
        return ran.stdout.splitlines()

    def start(self, script: str) -> list[str]:
        """Start a service; gives its first line."""
        process = subprocess.Popen(
            self._command(f"exec {script}"),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.services.append(process)
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            deadline = time.monotonic() + LIMIT
            assert selector.select(deadline - time.monotonic()), f"{script} says nothing"
        return [process.stdout.readline().rstrip("\n")]

    def stop(self) -> None:
        """End the services as a service manager does, the last one first.

        Raises:
            AssertionError: One ends with another code than 0.
        """
        while self.services:
            with self.services.pop() as service:
                service.send_signal(signal.SIGTERM)
                assert service.wait(LIMIT) == 0

    def _command(self, script: str) -> Sequence[str]:
        into = ["nsenter", f"--target={self.process.pid}", "--net", "--mount", "--"]
        return [*into, "bash", "-c", f"cd '{self.directory}' && {script}"]

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ours = {"PATH": path, "XDG_STATE_HOME": str(self.directory), "COLUMNS": "120"}
        return os.environ | ours


@contextmanager
def machine(directory: Path) -> Iterator[Machine]:
    """Make one; it goes with what runs on it."""
    unshared = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec", _MADE]
    with subprocess.Popen(unshared, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        made = Machine(process, directory)
        try:
            assert process.stdout.readline() == "made\n"
            yield made
            made.stop()
        finally:
            for each in made.services:
                with contextlib.suppress(ProcessLookupError):
                    each.kill()
                each.wait()
            process.kill()


def alike(shown: Sequence[str], seen: Sequence[str]) -> bool:
    """Whether one sees what is shown: but for numbers, secrets and space; `...` is any lines."""
    if not shown:
        return not seen
    first, *rest = shown
    if first == "...":
        return any(alike(rest, seen[start:]) for start in range(len(seen) + 1))
    return bool(seen) and _kind(first) == _kind(seen[0]) and alike(rest, seen[1:])


def _kind(line: str) -> str:
    line = re.sub(r"\b[A-Za-z0-9+/]{28}\b|\brtc_\S+", "S", line)
    line = re.sub(r"\d[\d.,:T+-]*", "0", line)
    return " ".join(line.split())
