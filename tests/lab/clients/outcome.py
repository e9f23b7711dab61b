"""What came of a scenario. Pure."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Scenario(StrEnum):
    """What a client is put through, in this order; each value is a heading of the table."""

    TWO_ADDRESSES = "two addresses"
    CALL = "call"
    CHANNEL = "data channel"
    KILL = "agent killed"
    LOSS = "5 % loss"
    RESTART = "ICE restart"
    REBINDING = "address change"
    HANG_UP = "hang-up"


class Verdict(StrEnum):
    """How it went."""

    PASSED = "passed"
    FAILED = "failed"
    CANNOT = "cannot"  # the client has no way to do it, or it was not there


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one scenario with one client.

    Attributes:
        client: The kind of client.
        dataplane: The relay's.
        scenario: The scenario.
        verdict: How it went.
        note: Why it did not pass, or what else there is to say.
        setup_ms: For a call: from its offer to the first packet of sound.
        gap_ms: The longest time without a packet of sound while it went on.
    """

    client: str
    dataplane: str
    scenario: Scenario
    verdict: Verdict
    note: str = ""
    setup_ms: float | None = None
    gap_ms: float | None = None

    def dump(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return asdict(self)

    @property
    def cell(self) -> str:
        """It in a few characters, for a table."""
        if self.verdict is Verdict.CANNOT:
            return "-"
        if self.verdict is Verdict.FAILED:
            return "failed"
        number = self.setup_ms if self.setup_ms is not None else self.gap_ms
        return "yes" if number is None else f"{number:,.0f} ms"
