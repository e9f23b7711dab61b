"""How long the steps of calls' set-ups take, from the offer on; free of IO."""

from collections.abc import Mapping
from typing import Any

from relay.histogram import Histogram

#: In the order in which a call with sound and a channel takes them.
STEPS = ("answer", "first_check", "dtls", "first_audio", "first_channel")
LIMITS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)


class Steps:
    """The histograms of all steps of a transceiver's calls.

    Attributes:
        histograms: By step.
    """

    def __init__(self) -> None:
        self.histograms = {step: Histogram(LIMITS) for step in STEPS}

    def of_call(self, began: float) -> "StepsOfCall":
        """The steps of a call whose offer came at a time of a monotonic clock, in seconds."""
        return StepsOfCall(self.histograms, began)

    def as_dict(self) -> dict[str, Any]:
        """The histograms by step."""
        return {step: each.as_dict() for step, each in self.histograms.items()}


class StepsOfCall:
    """When a call took each step.

    Args:
        histograms: Where each is counted, too.
        began: When its offer came.
    """

    __slots__ = ("_began", "_histograms", "_taken")

    def __init__(self, histograms: Mapping[str, Histogram], began: float) -> None:
        self._histograms = histograms
        self._began = began
        self._taken: dict[str, float] = {}

    def take(self, step: str, now: float) -> None:
        """Note a step; only the first time counts."""
        if step not in self._taken:
            self._taken[step] = now - self._began
            self._histograms[step].observe(now - self._began)

    def __contains__(self, step: str) -> bool:
        return step in self._taken

    @property
    def taken(self) -> Mapping[str, float]:
        """Seconds from the offer to each step that was taken."""
        return self._taken

    def as_dict(self) -> dict[str, float]:
        """Seconds from the offer to each step that was taken, in the order of time."""
        return {step: round(seconds, 4) for step, seconds in self._taken.items()}
