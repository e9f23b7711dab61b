"""A call placed in a lab: `icelane call` in the client's host."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from relay.netns.host import Host
from tests.lab.config import icelane
from tests.lab.errors import LabError
from tests.lab.probe import Probed
from tests.lab.process import BackgroundProcess
from tests.lab.topology import CLIENT

OVERTIME = 90.0  # seconds beyond its length until a call counts as hung; setup and hang-up take 2


class CallPlace(Protocol):
    """Where calls can be placed: a lab with one relay, or a site with several."""

    @property
    def hosts(self) -> Mapping[str, Host]:
        """Its hosts by name, the clients' among them."""

    @property
    def signaling_url(self) -> str:
        """Where calls are placed."""

    @property
    def relays(self) -> Sequence[Probed]:
        """What may forward them."""


class Call(BackgroundProcess):
    """A call in the background; entering places it, leaving ends it.

    Args:
        lab: Where to place it.
        seconds: How long it lasts.
    """

    def __init__(self, lab: CallPlace, seconds: float) -> None:
        command = [icelane(), "call", lab.signaling_url, "--seconds", str(seconds), "--json"]
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
