"""Where a new session goes: pure choices over what is known of the transceivers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Self

from relay.wire.route import Target


@dataclass(frozen=True, slots=True)
class Load:
    """What a reachable transceiver last said of itself.

    Attributes:
        sessions: Sessions that it carries, with those placed since it was asked.
        capacity: Sessions that it is willing to carry.
        draining: It finishes its sessions and takes no new ones.
    """

    sessions: int
    capacity: int
    draining: bool = False

    @property
    def has_room(self) -> bool:
        """It may be given another session."""
        return not self.draining and self.sessions < self.capacity

    @property
    def utilisation(self) -> float:
        """The share of its capacity in use; only of use where there is room."""
        return self.sessions / self.capacity

    def with_one_more(self) -> Self:
        """The load after a session was placed there, until the transceiver itself is asked."""
        return replace(self, sessions=self.sessions + 1)


def place(
    loads: Mapping[Target, Load], random: Random, *, tried: Collection[Target] = ()
) -> Target | None:
    """Choose a transceiver: the less utilised of two random ones that have room.

    Two random choices keep the loads nearly even, and unlike the least loaded of all they
    do not send everybody to the same transceiver between two polls (Mitzenmacher 2001).

    Args:
        loads: The reachable transceivers; one that is missing here is never chosen.
        random: Where randomness comes from.
        tried: Those that this session has already been refused by.

    Returns:
        The choice, or None when nobody has room.
    """
    candidates = [target for target, load in loads.items() if load.has_room and target not in tried]
    if not candidates:
        return None
    pair = random.sample(candidates, min(2, len(candidates)))
    return min(pair, key=lambda target: loads[target].utilisation)
