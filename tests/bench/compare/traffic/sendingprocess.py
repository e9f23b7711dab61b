"""The sending process, as its parent sees it."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Self

from relay.netns.host import Host
from tests.bench.compare.traffic import sender
from tests.lab.errors import LabError

_MOST_BYTES = 4096  # of an answer


class SendingProcess:
    """A process that sends, from entering to leaving.

    Args:
        host: Where.
        core: The processor that it runs on.
        fds: The descriptors that its main function takes, in that order.
    """

    def __init__(self, host: Host, core: int, fds: Sequence[int]) -> None:
        program = [sys.executable, "-m", sender.__name__, *map(str, fds)]
        self._process = subprocess.Popen(
            host.command(["taskset", "-c", str(core), *program]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
        )
        assert self._process.stdin is not None  # for the type checker
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        """Use it; it runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # what it has not read
            self._to.close()
        self._from.close()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def start(self, what: sender.Frames | sender.Bursts) -> None:
        """Let it send.

        Raises:
            LabError: It has ended.
        """
        try:
            self._to.write(json.dumps(asdict(what)).encode() + b"\n")
            self._to.flush()
        except BrokenPipeError:
            raise LabError("The sending process has ended.") from None

    def has_answered(self, seconds: float) -> bool:
        """Whether it has answered or ended; waits for it for that long."""
        return bool(select.select([self._from], [], [], seconds)[0])

    def wait(self, deadline: float) -> None:
        """Wait until it has sent.

        Args:
            deadline: When to give up, by the monotonic clock.

        Raises:
            LabError: It could not send, has ended, or does not answer.
        """
        if not self.has_answered(max(0.0, deadline - time.monotonic())):
            raise LabError("The sending process does not answer.")
        answer = os.read(self._from.fileno(), _MOST_BYTES)
        if not answer:
            raise LabError("The sending process has ended.")
        error = json.loads(answer).get("error")
        if error is not None:
            raise LabError(error)
