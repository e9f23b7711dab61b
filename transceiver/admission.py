"""Who takes a place in a transceiver, and for how long. Free of IO.

A call takes its place when it is offered, and may keep it. But a place costs its client no more
than a request over HTTP, so until a call is connected its place is only lent, as TCP lends one to
a connection that is half open (the SYN caches of BSD, and the adaptive time-outs of pf):

* A call whose client has sent no check after `FIRST_CHECK` ends, and so does one that is not
  connected after `CONNECT`. Clients send their first check within a round trip of the answer, and
  those that cannot (UDP is blocked) give up or have come over TCP by then.
* Where there is no room, the place that has been lent for too long goes to the next offer: after
  two seconds without a check, after ten without a handshake. Such places count as free.
* The calls of one client that are not connected take at most a quarter of the places, or eight.
  His next offer gets the place of one of them that is late, or is refused; connected calls, such
  as those of many clients behind one NAT, do not count.

So a client that only fails never holds more than a quarter, and nothing after two seconds in
which others want it. Evicting a random call, or refusing newcomers of all clients, would let him
hurt others; a smaller cap would hurt clients who share an address.

Nobody gets a place while the transceiver stops, or has more to do than its processor bears.
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum, auto

from transceiver.backlog import Backlog
from transceiver.errors import FullError, ShareTakenError

#: Seconds from the offer to the first authenticated check.
FIRST_CHECK = 10.0
#: Seconds from the offer to the end of the DTLS handshake.
CONNECT = 30.0
#: The share of all places that the calls of one client may take before they are connected.
SHARE = 1 / 4
LEAST = 8  # calls that a client may have there in any case


class Stage(Enum):
    """How far a call is."""

    OFFERED = auto()
    CHECKED = auto()
    CONNECTED = auto()
    ENDED = auto()


# Seconds for which nobody else gets its place.
_GRACE = {Stage.OFFERED: 2.0, Stage.CHECKED: 10.0}


class Place:
    """The place of a call, from its offer to its end.

    Args:
        admission: Whose place it is.
        client: Whose call it is; calls without one have nothing in common.
        since: When it was offered, in seconds of a monotonic clock.
        principal: Whose quota it counts in; None where nobody has one.

    Attributes:
        stage: How far the call is.
    """

    __slots__ = ("_admission", "_end", "client", "principal", "since", "stage")

    def __init__(
        self, admission: "Admission", client: str | None, since: float, principal: str | None
    ) -> None:
        self._admission = admission
        self.client = client
        self.principal = principal
        self.since = since
        self.stage = Stage.OFFERED
        self._end: list[Callable[[str], None]] = []

    def belongs_to(self, end: Callable[[str], None]) -> None:
        """Tell how the call is ended; it is called with the reason."""
        self._end.append(end)

    def withdraw(self) -> None:
        """Give the place back for another call, which ends this one."""
        ends = list(self._end)
        self.release()
        for end in ends:
            end("its place went to another call, as it was not connected")

    def release(self) -> None:
        """Give the place back; again is fine."""
        self.stage = Stage.ENDED
        self._end.clear()
        self._admission.forget(self)

    def lateness(self, now: float) -> float:
        """For how long the place is lent, in units of what is granted: from 1 on it is late."""
        grace = _GRACE.get(self.stage)
        return 0.0 if grace is None else (now - self.since) / grace

    def overdue(self, now: float) -> str | None:
        """Why the call must end now; None while it need not."""
        age = now - self.since
        if self.stage is Stage.OFFERED and age >= FIRST_CHECK:
            return f"no check came within {FIRST_CHECK:.0f} s"
        if self.stage is Stage.CHECKED and age >= CONNECT:
            return f"not connected within {CONNECT:.0f} s"
        return None


class Admission:
    """The places of a transceiver.

    Args:
        capacity: How many there are.
        backlog: How late what comes is read.

    Attributes:
        draining: It takes no more calls.
    """

    def __init__(self, capacity: int, backlog: Backlog) -> None:
        self.capacity = capacity
        self._backlog = backlog
        self.draining = False
        self._places: set[Place] = set()

    def behind(self, now: float) -> bool:
        """Whether it has more to do than its processor bears."""
        return self._backlog.behind(now)

    def closed(self, now: float) -> str | None:
        """Why nobody is taken now, however many places there are; None if somebody is."""
        if self.draining:
            return "the transceiver is stopping"
        if self.behind(now):
            return "the transceiver is behind: it has more to do than its processor bears"
        return None

    def taken(self, now: float) -> int:
        """How many places nobody else would get now."""
        return sum(place.lateness(now) < 1 for place in self._places)

    def taken_by(self, now: float) -> dict[str, int]:
        """How many of these each principal has."""
        taken = (place.principal for place in self._places if place.lateness(now) < 1)
        return dict(Counter(principal for principal in taken if principal is not None))

    def take(self, client: str | None, now: float, principal: str | None = None) -> Place:
        """Take a place for a call that is offered now.

        Args:
            client: Whose call it is.
            now: Seconds of a monotonic clock.
            principal: Whose quota it counts in.

        Raises:
            FullError: There is none.
            ShareTakenError: There is none for this client.
        """
        why = self.closed(now)
        if why is not None:
            raise FullError(why)
        unconnected = [each for each in self._places if each.stage in _GRACE]
        own = [each for each in unconnected if client is not None and each.client == client]
        if len(own) >= max(LEAST, int(self.capacity * SHARE)):
            if not _make_room(own, now):
                raise ShareTakenError(
                    f"{len(own)} calls of this client wait to be connected: let them, or hang up"
                )
        elif len(self._places) >= self.capacity and not _make_room(unconnected, now):
            raise FullError(f"all {self.capacity} sessions are taken")
        place = Place(self, client, now, principal)
        self._places.add(place)
        return place

    def forget(self, place: Place) -> None:
        """Count a place as free."""
        self._places.discard(place)


def _make_room(lent: list[Place], now: float) -> bool:
    """End the call that is the latest, if one is late."""
    latest = max(lent, key=lambda place: place.lateness(now), default=None)
    if latest is None or latest.lateness(now) < 1:
        return False
    latest.withdraw()
    return True
