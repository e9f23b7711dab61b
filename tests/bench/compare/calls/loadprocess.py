"""The load generator in a process of its own, and what it prints."""

import json
import sys
from dataclasses import dataclass

from relay.netns.host import Host
from tests.bench.compare.calls import load
from tests.bench.compare.calls.calltestbed import CallTestbed
from tests.lab.errors import LabError
from tests.lab.process import BackgroundProcess


@dataclass(frozen=True, slots=True)
class CallTimes:
    """A call whose first audio has come back; moments in seconds of the machine's clock.

    Attributes:
        started: When the client began to make its offer.
        offered: When the offer was complete, with the candidates that it needs.
        answered: When the answer had come.
        connected: When DTLS was complete.
        first_audio: When the first audio came back.
    """

    started: float
    offered: float
    answered: float
    connected: float
    first_audio: float


class LoadProcess(BackgroundProcess):
    """A load generator (`tests.bench.compare.calls.load`), from entering to leaving.

    Args:
        testbed: Where they call.
        host: The host that they call from; the testbed's client by default.
        callers: How many call at the same time.
        calls: How many each of them places at least, one after the other.
        window: Seconds in which new calls are started, also beyond that number.
        hold: Seconds that each call lasts.
    """

    def __init__(
        self,
        testbed: CallTestbed,
        host: Host | None = None,
        *,
        callers: int = 1,
        calls: int = 1,
        window: float = 0.0,
        hold: float = 0.0,
    ) -> None:
        options = {"--callers": callers, "--calls": calls, "--window": window, "--hold": hold}
        turn = ("--turn", *testbed.turn) if testbed.turn else ()
        super().__init__(
            (host or testbed.client).command(
                (
                    *(sys.executable, "-m", load.__name__, testbed.url, *turn),
                    *(str(word) for option in options.items() for word in option),
                )
            )
        )

    def finish(self, seconds: float) -> None:
        """Wait until all calls have ended.

        Raises:
            LabError: They have not in that many seconds, or the process failed.
        """
        if not self.wait(seconds):
            raise LabError(f"The calls have not ended after {seconds:.0f} s.")
        self._require_success()

    def results(self) -> tuple[list[CallTimes], list[str]]:
        """The calls that were placed so far, and why others failed.

        Raises:
            LabError: The process has failed.
        """
        self._require_success()
        whole, _, _ = self.output().rpartition("\n")  # a line may be half written
        return parse_output(whole)

    def _require_success(self) -> None:
        if self.status not in (None, 0):
            raise LabError(f"The load generator failed: {self.last_error_line()}")


def parse_output(text: str) -> tuple[list[CallTimes], list[str]]:
    """Read what a load generator prints: calls that were placed, and why others failed."""
    placed, failed = [], []
    for line in text.splitlines():
        call = json.loads(line)
        if "error" in call:
            failed.append(call["error"])
        else:
            placed.append(CallTimes(**call))
    return placed, failed
