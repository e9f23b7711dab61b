"""Callers on a stage: a process that places many calls (`signaling.crowd`), and what it tells."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from relay.comparison.system.stage import Stage
from relay.lab.errors import LabError
from relay.lab.host import Host
from relay.lab.plan import SIGNALING_URL

_STOP_SECONDS = 10.0  # to hang all calls up


@dataclass(frozen=True, slots=True)
class Placed:
    """A call whose first audio has come back; moments in seconds of the machine's clock.

    Attributes:
        begun: When the client began to make its offer.
        offered: When the offer was complete, with the candidates that it needs.
        answered: When the answer had come.
        connected: When DTLS was complete.
        heard: When the first audio came back.
    """

    begun: float
    offered: float
    answered: float
    connected: float
    heard: float


class Callers:
    """Callers that place call after call, from entering to leaving.

    Args:
        stage: Where they call.
        host: The host that they call from; the stage's client unless said.
        callers: How many call at the same time.
        calls: How many each of them places at least, one after the other.
        window: Seconds in which new calls are begun, also beyond that number.
        hold: Seconds that each call lasts.
    """

    def __init__(
        self,
        stage: Stage,
        host: Host | None = None,
        *,
        callers: int = 1,
        calls: int = 1,
        window: float = 0.0,
        hold: float = 0.0,
    ) -> None:
        options = {"--callers": callers, "--calls": calls, "--window": window, "--hold": hold}
        turn = ("--turn", *stage.turn) if stage.turn else ()
        self._command = (host or stage.client).command(
            (
                *(sys.executable, "-m", "signaling.crowd", SIGNALING_URL, *turn),
                *(str(word) for option in options.items() for word in option),
            )
        )

    def __enter__(self) -> Self:
        """Let them begin."""
        self._output, self._errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._errors
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all calls."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        self._errors.close()

    @property
    def pid(self) -> int:
        """The number of their process."""
        return self._process.pid

    def wait(self, seconds: float) -> None:
        """Wait until all calls have ended.

        Raises:
            LabError: They have not in that many seconds, or the process failed.
        """
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"The calls have not ended after {seconds:.0f} s.") from None
        if status != 0:
            raise LabError(f"The callers failed: {self._last_words()}")

    def told(self) -> tuple[list[Placed], list[str]]:
        """The calls that were placed so far, and why others failed.

        Raises:
            LabError: The process has ended before its time.
        """
        if self._process.poll() not in (None, 0):
            raise LabError(f"The callers failed: {self._last_words()}")
        self._output.seek(0)
        whole, _, _ = self._output.read().rpartition("\n")  # a line may be half written
        return read_told(whole)

    def _last_words(self) -> str:
        self._errors.seek(0)
        return (self._errors.read().strip() or "they printed nothing").splitlines()[-1]


def read_told(text: str) -> tuple[list[Placed], list[str]]:
    """Read what a crowd prints: calls that were placed, and why others failed."""
    placed, failed = [], []
    for line in text.splitlines():
        told = json.loads(line)
        if "error" in told:
            failed.append(told["error"])
        else:
            placed.append(Placed(**told))
    return placed, failed
