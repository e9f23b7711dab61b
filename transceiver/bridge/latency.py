"""How long clients wait for a back end that is a service; free of IO."""

from relay.histogram import Histogram

_LIMITS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Latencies:
    """Of all sessions with one service, in seconds.

    Attributes:
        response: From when it says that a response begins to its first sound.
        turn: From when it says that the client has stopped speaking to when its answer begins to
            be played.
        lost: How often a connection to it ended that was still wanted, or could not be made.
    """

    def __init__(self) -> None:
        self.response = Histogram(_LIMITS)
        self.turn = Histogram(_LIMITS)
        self.lost = 0


class TurnClock:
    """Measures the turns of one session. All times are seconds of one monotonic clock.

    Args:
        latencies: Where they are counted.
    """

    __slots__ = ("_began", "_latencies", "_stopped")

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        self._stopped: float | None = None
        self._began: float | None = None

    def began_to_speak(self) -> None:
        """The client speaks: what was not answered before is no turn any more."""
        self._stopped = None

    def stopped_speaking(self, now: float) -> None:
        """The client is heard to have stopped."""
        self._stopped = now

    def response_began(self, now: float) -> None:
        """The service begins a response."""
        self._began = now

    def sound_came(self, now: float) -> None:
        """Sound of a response came; the first is what counts."""
        if self._began is not None:
            self._latencies.response.observe(now - self._began)
            self._began = None

    def played(self, now: float) -> None:
        """A response begins to be played."""
        if self._stopped is not None:
            self._latencies.turn.observe(now - self._stopped)
            self._stopped = None
