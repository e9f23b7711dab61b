"""A call placed in a lab: `icelane call` in the client's host."""

import json
from typing import Any

from tests.lab.config import SIGNALING_URL, icelane
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.process import BackgroundProcess
from tests.lab.topology import CLIENT

OVERTIME = 90.0  # seconds beyond its length until a call counts as hung; setup and hang-up take 2


class Call(BackgroundProcess):
    """A call in the background; entering places it, leaving ends it.

    Args:
        lab: The lab to place it in.
        seconds: How long it lasts.
    """

    def __init__(self, lab: Lab, seconds: float) -> None:
        command = [icelane(), "call", SIGNALING_URL, "--seconds", str(seconds), "--json"]
        super().__init__(lab.hosts[CLIENT].command(command))
        self._limit = seconds + OVERTIME

    @property
    def running(self) -> bool:
        """Whether the call has not ended."""
        return self.status is None

    def hang_up(self) -> None:
        """End the call early; it still reports."""
        self.interrupt()

    def report(self) -> dict[str, Any]:
        """Wait for the call's end and return its report, which has `ok` and maybe `error`.

        Raises:
            LabError: It does not end, or ended without a report.
        """
        if not self.wait(self._limit):
            raise LabError(f"The call has not ended after {self._limit:.0f} s.")
        try:
            report = json.loads(self.output())
        except ValueError:
            raise LabError(f"The call ended without a report: {self.last_error_line()}") from None
        if not isinstance(report, dict):
            raise LabError("The call's report is not a JSON object.")
        return report
