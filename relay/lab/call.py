"""A call placed in a lab: `icelane call` in the client's host."""

import json
import signal
import subprocess
import tempfile
from types import TracebackType
from typing import Any, Self

from relay.lab.errors import LabError
from relay.lab.lab import Lab
from relay.lab.plan import SIGNALING_URL, icelane
from relay.lab.topology import CLIENT

OVERTIME = 30.0  # seconds beyond its length after which a call hangs: set-up and hang-up take 2


class Call:
    """A call that runs in the background; entering places it, leaving ends it.

    Args:
        lab: Where to place it.
        seconds: How long it lasts.
    """

    def __init__(self, lab: Lab, seconds: float) -> None:
        self._command = lab.hosts[CLIENT].command(
            [icelane(), "call", SIGNALING_URL, "--seconds", str(seconds), "--json"]
        )
        self._limit = seconds + OVERTIME

    def __enter__(self) -> Self:
        """Place the call."""
        # In files, so that a talkative client never waits for somebody to read.
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
        """End the call, should it still run."""
        self._process.kill()
        self._process.wait()
        self._output.close()
        self._errors.close()

    @property
    def running(self) -> bool:
        """Whether the call goes on."""
        return self._process.poll() is None

    def hang_up(self) -> None:
        """End the call before its time; it still reports."""
        self._process.send_signal(signal.SIGINT)

    def report(self) -> dict[str, Any]:
        """Wait for the call's end and return its report, which has `ok` and maybe `error`.

        Raises:
            LabError: It does not end, or ended without a report.
        """
        try:
            self._process.wait(self._limit)
        except subprocess.TimeoutExpired:
            raise LabError(f"The call does not end after {self._limit:.0f} s.") from None
        self._output.seek(0)
        try:
            report = json.load(self._output)
        except ValueError:
            self._errors.seek(0)
            last = (self._errors.read().strip() or "it printed nothing").splitlines()[-1]
            raise LabError(f"The call ended without a report: {last}") from None
        if not isinstance(report, dict):
            raise LabError("The call's report is not an object.")
        return report
