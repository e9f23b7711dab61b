"""Relays, transceivers and calls of one region, and who has whom. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from relay.core.ports import QUARANTINE, UpstreamPool
from tests.bench.scale.ecmp import Spread

_KEY = bytes(range(16))
_HOSTS = tuple(f"192.0.2.{number + 1}" for number in range(250))


@dataclass(slots=True, eq=False)
class Call:
    """A call.

    Attributes:
        number: Of it.
        region: The client's region.
        address: A hash of the client's address, by which routers spread.
        ends: When, if nothing comes between.
        slot: The transceiver's, which has it.
        held: The relays on its way, each with the upstream address that it has there.
    """

    number: int
    region: str
    address: int
    ends: float
    slot: "Slot"
    held: dict["Relay", bytes] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Slot:
    """A transceiver.

    Attributes:
        region: Where it is.
        host: On which machine.
        calls: Its calls.
        open: Whether it takes new ones.
    """

    region: str
    host: int
    calls: set[Call] = field(default_factory=set)
    open: bool = True


class Relay:
    """A relay, with the product's own pool of upstream ports.

    Args:
        name: Of it.
        hosts: Its upstream addresses.
        ports: Of each.
        quarantine: Seconds for which a freed port rests.
    """

    def __init__(self, name: str, hosts: int, ports: range, quarantine: float = QUARANTINE) -> None:
        self.name = name
        self.calls: dict[Call, None] = {}  # in the order in which they came
        self.agent_free_at = 0.0
        self.requests: Counter[str] = Counter()  # to the mirror
        self._pool = UpstreamPool(_HOSTS[:hosts], ports, _KEY)
        self._quarantine = quarantine
        self._sent_to: dict[bytes, float] = {}  # until when someone may send there for others

    def take(self, call: Call, now: float) -> bool | None:
        """Give a call an upstream address.

        Returns:
            None when there is none; else whether somebody may still send there for a call before.
        """
        upstream = self._pool.take(call.number.to_bytes(8, "big"), now)
        if upstream is None:
            return None
        call.held[self] = upstream
        self.calls[call] = None
        self.requests["claim"] += 1
        return self._sent_to.pop(upstream, now) > now

    def leave(self, call: Call, now: float, sent_until: float, request: str = "release") -> None:
        """A call is here no more.

        Args:
            call: It.
            now: The time.
            sent_until: When its transceiver stops to send here.
            request: What the mirror is asked; nothing where another relay has claimed it.
        """
        upstream = call.held.pop(self)
        del self.calls[call]
        self._pool.release(upstream, now, self._quarantine)
        if sent_until > now:
            self._sent_to[upstream] = sent_until
        if request:
            self.requests[request] += 1

    def set_up(self, now: float, seconds: float) -> float:
        """The agent's work for a new client; returns for how long that one waits."""
        self.agent_free_at = max(self.agent_free_at, now) + seconds
        return self.agent_free_at - now

    def busy(self, now: float) -> float:
        """The share of upstream ports that are taken or rest."""
        return self._pool.busy(now)


class Site:
    """What a region has.

    Args:
        name: The region's.
        relays: How routers spread over its relays.
        slots: Its transceivers.
    """

    def __init__(self, name: str, relays: Spread[Relay], slots: list[Slot]) -> None:
        self.name = name
        self.relays = relays
        self.slots = slots
        self.alive = True
        self.used = 0  # places
        self._open = list(slots)

    def room(self, places: int) -> int:
        """How many calls its open slots could have."""
        return places * len(self._open)

    def close(self, slots: list[Slot]) -> None:
        """These take no new calls."""
        for slot in slots:
            slot.open = False
        self._open = [slot for slot in self.slots if slot.open]

    def choose(self, random: Random, places: int) -> Slot | None:
        """The emptier of two drawn slots, as signaling does; None where both are full.

        Where so many are full that two drawn ones often are, the emptiest of all is taken.
        """
        if not self._open:
            return None
        pair = random.choice(self._open), random.choice(self._open)
        slot = min(pair, key=lambda each: len(each.calls))
        if len(slot.calls) >= places:
            slot = min(self._open, key=lambda each: len(each.calls))
        return slot if len(slot.calls) < places else None

    def calls(self) -> Iterator[Call]:
        """All calls that a relay here has."""
        for relay in self.relays.members:
            yield from relay.calls
