"""How calls sound, over all calls of a transceiver; free of IO.

Counts of a call are added up as they grow, so that they are still there when it has ended. What has
a size, such as a round trip, is observed once in so many seconds of each call: a histogram is of
seconds of calls, and not of calls.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from relay.histogram import Histogram

#: Counts of a call's audio, by their names in `AudioPath.stats`, that are added up.
COUNTED = (
    *("received", "lost", "duplicates", "sent", "resent", "lost_by_client"),
    *("playout_concealed", "playout_recovered", "playout_late"),
)
LOOKS = 5  # looks at a call, about a second apart, from one observation to the next
_ROUND_TRIPS = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
_JITTERS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
_DELAYS = (0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


class Quality:
    """The sums and histograms of all calls.

    Attributes:
        counts: Sums by name, of `COUNTED`.
        round_trip: To clients and back, in seconds.
        jitter: Of what clients send, as it comes here.
        jitter_at_client: Of what is sent to clients, as they report it.
        playout_delay: How long sound waits here before it is heard.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
        self.round_trip = Histogram(_ROUND_TRIPS)
        self.jitter = Histogram(_JITTERS)
        self.jitter_at_client = Histogram(_JITTERS)
        self.playout_delay = Histogram(_DELAYS)

    def of_call(self) -> "QualityOfCall":
        """That of one more call."""
        return QualityOfCall(self)


class QualityOfCall:
    """What of a call is counted already.

    Args:
        quality: Where it is counted.
    """

    __slots__ = ("_counted", "_looks", "_quality")

    def __init__(self, quality: Quality) -> None:
        self._quality = quality
        self._counted: dict[str, int] = {}
        self._looks = 0

    @property
    def is_due(self) -> bool:
        """Whether this look at the call is one of those at which it is observed."""
        self._looks += 1
        return self._looks % LOOKS == 0

    def observe(self, audio: Mapping[str, Any]) -> None:
        """Count and observe a call that goes on, by the statistics of its audio."""
        self.count(audio)
        quality = self._quality
        for histogram, name in (
            (quality.round_trip, "round_trip"),
            (quality.jitter, "jitter"),
            (quality.jitter_at_client, "jitter_at_client"),
            (quality.playout_delay, "playout_delay"),
        ):
            if audio.get(name) is not None:
                histogram.observe(audio[name])

    def count(self, audio: Mapping[str, Any]) -> None:
        """Count what has been added since the last time; losses that turn out to be none stay."""
        for name in COUNTED:
            now = audio.get(name) or 0
            more = now - self._counted.get(name, 0)
            if more > 0:
                self._quality.counts[name] += more
                self._counted[name] = now
