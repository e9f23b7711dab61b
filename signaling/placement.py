"""Placement of new sessions: the power of two random choices, free of IO."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Self

from relay.wire.route import Target


@dataclass(frozen=True, slots=True)
class Load:
    """What a reachable transceiver last reported of itself.

    Attributes:
        sessions: Sessions that it has, with those placed since its report.
        capacity: The most sessions that it takes.
        draining: It finishes its sessions and takes no new ones.
    """

    sessions: int
    capacity: int
    draining: bool = False

    @property
    def has_room(self) -> bool:
        """Whether it takes another session."""
        return not self.draining and self.sessions < self.capacity

    @property
    def utilisation(self) -> float:
        """The share of its capacity in use; only defined where there is capacity."""
        return self.sessions / self.capacity

    def with_new_session(self) -> Self:
        """The load after a session was placed there, until the transceiver reports again."""
        return replace(self, sessions=self.sessions + 1)


def choose_transceiver(
    loads: Mapping[Target, Load], random: Random, *, tried: Collection[Target] = ()
) -> Target | None:
    """Choose a transceiver: the less utilised of two random ones that have room.

    Two random choices keep the loads nearly even, and unlike the least loaded of all they
    do not send all new sessions to the same transceiver between two polls (Mitzenmacher 2001).

    Args:
        loads: The reachable transceivers; one that is missing here is never chosen.
        random: The source of randomness.
        tried: Those that have already refused this session.

    Returns:
        The transceiver, or None when none has room.
    """
    candidates = [target for target, load in loads.items() if load.has_room and target not in tried]
    if not candidates:
        return None
    pair = random.sample(candidates, min(2, len(candidates)))
    return min(pair, key=lambda target: loads[target].utilisation)
