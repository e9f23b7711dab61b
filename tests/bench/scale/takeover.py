"""How long clients hear nothing when their packets come to a relay that has not had them. Pure.

Each client sends a packet every 20 ms. Whose record the relay has noted passes to the agent at
once; who is unknown passes a gate, a token bucket. The agent serves one client after another. Until
it has, all packets of an unknown client take tokens. A client's own ICE check passes by another
gate, with a ufrag.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

PACKET_EVERY = 0.02  # seconds; Opus


@dataclass(frozen=True, slots=True)
class Desk:
    """How a relay takes clients over.

    Attributes:
        rate: Packets of unknown clients that pass to the agent in a second; 0 without a mirror.
        burst: How many at once.
        service: The agent's seconds for a client.
        noted: How many records of others it keeps in mind (`DormantFlows`); 0 without a mirror.
        lookups: How many clients it asks Redis for in the first seconds (`Asked`).
        check_every: Seconds between two checks of a client.
    """

    rate: float
    burst: float
    service: float
    noted: int
    lookups: int
    check_every: float


def gaps(clients: int, others: int, desk: Desk, random: Random) -> list[float]:
    """Seconds until each of so many clients is forwarded again, from when its packets come here.

    Args:
        clients: Who come, all at once.
        others: How many flows other relays have had: the records that there are to keep in mind.
        desk: The relay.
        random: The source of randomness.
    """
    return _TakeOver(clients, others, desk, random).run()


class _TakeOver:
    def __init__(self, clients: int, others: int, desk: Desk, random: Random) -> None:
        self._desk = desk
        phases = [(random.random() * PACKET_EVERY, client) for client in range(clients)]
        noted = min(1.0, desk.noted / others) if others else 1.0
        known = [each for each in phases if random.random() < noted]
        ring = sorted(set(phases).difference(known))  # of those who are unknown and still wait
        self._phases = [phase for phase, _ in ring]
        self._ring = [client for _, client in ring]
        self._phase_of = {client: phase for phase, client in ring}
        checks = [(random.random() * desk.check_every, client) for client in range(clients)]
        self._sure = deque(sorted(checks + known))  # what comes to the agent in any case
        self._served: dict[int, float] = {}  # when
        self._leaving: deque[int] = deque()  # in the order in which they are served
        self._free_at = 0.0
        self._asked: set[int] = set()

    def run(self) -> list[float]:
        now, used, desk = 0.0, 0, self._desk
        while self._ring and desk.rate:
            token = max(now, (used + 1 - desk.burst) / desk.rate)
            client, moment = self._next_packet(token)
            if self._happens_before(moment):
                continue
            used += 1
            now = moment + 1e-9  # the next packet is another one's
            self._passes(client, moment)
        while self._sure:
            moment, client = self._sure.popleft()
            self._serve(client, moment)
        return [self._served[client] for client in range(len(self._served))]

    def _next_packet(self, moment: float) -> tuple[int, float]:
        turns, phase = divmod(moment, PACKET_EVERY)
        at = bisect_left(self._phases, phase)
        if at == len(self._phases):
            at, turns = 0, turns + 1
        return self._ring[at], turns * PACKET_EVERY + self._phases[at]

    def _happens_before(self, moment: float) -> bool:
        """Whether somebody is served or comes for sure before a moment; it then has happened."""
        leaves = self._served[self._leaving[0]] if self._leaving else float("inf")
        comes = self._sure[0][0] if self._sure else float("inf")
        if min(leaves, comes) > moment:
            return False
        if leaves <= comes:
            self._leave(self._leaving.popleft())
        else:
            when, client = self._sure.popleft()
            self._serve(client, when)
        return True

    def _passes(self, client: int, moment: float) -> None:
        if client not in self._asked and len(self._asked) >= self._desk.lookups:
            return
        self._asked.add(client)
        self._serve(client, moment)

    def _serve(self, client: int, moment: float) -> None:
        if client in self._served:
            return
        self._free_at = max(self._free_at, moment) + self._desk.service
        self._served[client] = self._free_at
        if client in self._phase_of:
            self._leaving.append(client)

    def _leave(self, client: int) -> None:
        phase = self._phase_of[client]
        first = bisect_left(self._phases, phase)
        at = self._ring.index(client, first, bisect_right(self._phases, phase))
        del self._phases[at], self._ring[at]


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that this share of them do not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
