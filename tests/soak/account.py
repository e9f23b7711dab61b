"""What was lost, and which of that may be. Pure."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Outage:
    """While packets may be lost.

    Attributes:
        since: Seconds of the monotonic clock.
        until: As well.
        cause: What is to blame.
    """

    since: float
    until: float
    cause: str


@dataclass(slots=True)
class Way:
    """One direction of a flow; packets are numbered from 0.

    Attributes:
        sent_at: When each was sent, in seconds of the monotonic clock.
        arrived: How often each has arrived, at most 255 times.
        strange: When there was an arrival that is not what was sent, or is of another flow, and
            what it was.
    """

    sent_at: "array[float]" = field(default_factory=lambda: array("d"))
    arrived: bytearray = field(default_factory=bytearray)
    strange: list[tuple[float, str]] = field(default_factory=list)

    def send(self, now: float) -> int:
        """Number one more packet."""
        self.sent_at.append(now)
        self.arrived.append(0)
        return len(self.arrived) - 1

    def receive(self, number: int, now: float) -> None:
        """Count an arrival."""
        if number >= len(self.arrived):
            self.refuse("a packet that was not sent", now)
        elif self.arrived[number] < 255:
            self.arrived[number] += 1

    def refuse(self, what: str, now: float) -> None:
        """Count what is no packet of this way."""
        self.strange.append((now, what))

    def arrived_since(self, number: int) -> bool:
        """Whether one of the packets from this number on has arrived."""
        return any(self.arrived[number:])


@dataclass(frozen=True, slots=True)
class Fault:
    """A packet that did not arrive, though nothing excuses it, or one that arrived and should not.

    Attributes:
        at: When it was sent, or arrived: seconds of the monotonic clock.
        flow: The flow's number.
        way: In which direction.
        what: What was wrong.
    """

    at: float
    flow: int
    way: str
    what: str = "lost"


@dataclass(slots=True)
class Account:
    """What became of all packets.

    Attributes:
        sent: How many were sent.
        excused: Lost during outages.
        lost: Lost otherwise, in the order of sending.
        duplicated: Arrivals beyond the first of each packet.
        strange: Arrivals that are not what was sent, or are of another flow, in their order.
    """

    sent: int = 0
    excused: int = 0
    lost: list[Fault] = field(default_factory=list)
    duplicated: int = 0
    strange: list[Fault] = field(default_factory=list)


def settle(ways: Sequence[tuple[int, str, Way]], outages: Sequence[Outage]) -> Account:
    """Count what was lost of all flows.

    Args:
        ways: Flow, name of the direction, and what it counted.
        outages: While which packets may be lost.
    """
    account = Account()
    for flow, name, way in ways:
        account.sent += len(way.arrived)
        account.strange += [Fault(at, flow, name, what) for at, what in way.strange]
        account.duplicated += sum(count - 1 for count in way.arrived if count > 1)
        number = way.arrived.find(0)
        while number >= 0:
            sent_at = way.sent_at[number]
            if any(each.since <= sent_at <= each.until for each in outages):
                account.excused += 1
            else:
                account.lost.append(Fault(sent_at, flow, name))
            number = way.arrived.find(0, number + 1)
    for faults in (account.lost, account.strange):
        faults.sort(key=lambda each: each.at)
    return account
