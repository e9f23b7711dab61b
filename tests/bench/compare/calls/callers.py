"""Callers in a testbed: a process that places many calls, and what it tells."""

import json
import sys
from dataclasses import dataclass

from relay.netns.host import Host
from tests.bench.compare.calls.stage import Stage
from tests.lab.background import Background
from tests.lab.errors import LabError
from tests.lab.plan import SIGNALING_URL


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


class Callers(Background):
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
        super().__init__(
            (host or stage.client).command(
                (
                    *(
                        sys.executable,
                        "-m",
                        "tests.bench.compare.calls.load",
                        SIGNALING_URL,
                        *turn,
                    ),
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

    def told(self) -> tuple[list[Placed], list[str]]:
        """The calls that were placed so far, and why others failed.

        Raises:
            LabError: The process has failed.
        """
        self._require_success()
        whole, _, _ = self.output().rpartition("\n")  # a line may be half written
        return read_told(whole)

    def _require_success(self) -> None:
        if self.status not in (None, 0):
            raise LabError(f"The callers failed: {self.last_words()}")


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
