"""When packets of the client came, by their transport-wide numbers, to tell it in feedback."""

from transceiver.media.transportcc import Feedback

_INTERVAL = 0.25  # seconds: the longest that libwebrtc uses, because each feedback is a packet
_KEPT = 100  # numbers, of which late ones can still be told
_JUMP = 1_000  # numbers: beyond, the client has started anew


class Arrivals:
    """Collects arrivals, and tells them now and then.

    Args:
        now: When it begins.
    """

    def __init__(self, now: float) -> None:
        self._times: dict[int, float] = {}  # by extended number
        self._highest = -1
        self._next = 0  # the first number of which nothing has been told
        self._news = False
        self._told = now
        self._number = 0

    def add(self, number: int, now: float) -> None:
        """A packet came, with this number of 16 bits."""
        step = ((number - self._highest + 0x8000) & 0xFFFF) - 0x8000
        if self._highest < 0 or not -_KEPT < step < _JUMP:
            self._times.clear()
            self._highest = self._next = number
        elif step > 0:
            self._highest += step
        else:
            number = self._highest + step
            self._next = max(0, min(self._next, number))
            self._times.setdefault(number, now)
            self._news = True
            return
        self._times[self._highest] = now
        self._news = True

    def due(self, now: float) -> bool:
        """Whether there is something to tell, and the last time is long enough ago."""
        return self._news and now - self._told >= _INTERVAL

    def feedback(self, ssrc: int, media: int, now: float) -> Feedback:
        """What came since the feedback before; ask only when it is due.

        Args:
            ssrc: Ours.
            media: A stream of the client's.
            now: From here the next interval counts.
        """
        told = range(self._next, self._highest + 1)
        arrivals = tuple(self._times.get(number) for number in told)
        feedback = Feedback(ssrc, media, told.start & 0xFFFF, self._number, arrivals)
        self._number = self._number + 1 & 0xFF
        self._told = now
        self._news = False
        self._next = self._highest + 1
        for number in [each for each in self._times if each <= self._highest - _KEPT]:
            del self._times[number]
        return feedback
