"""Placement of new sessions: the power of two random choices, free of IO."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self, TypeGuard

from relay.wire.route import Target


@dataclass(frozen=True, slots=True)
class Load:
    """What a reachable transceiver last reported of itself, as each of its answers does.

    Attributes:
        sessions: Sessions that it has, with those placed since its report.
        capacity: The most sessions that it takes.
        draining: It finishes its sessions and takes no new ones.
        behind: It has more to do than its processor bears, and takes no new ones for now.
        principals: How many of the sessions each principal has; None where a report does not say,
            as it is too long for a header.
    """

    sessions: int
    capacity: int
    draining: bool = False
    principals: Mapping[str, int] | None = None
    behind: bool = False

    @classmethod
    def read(cls, report: Mapping[str, Any]) -> Self | None:
        """Read a report, which is a JSON object; None when it is none.

        One that does not say whether it drains counts as draining.
        """
        sessions, capacity = report.get("sessions"), report.get("capacity")
        if not _is_count(sessions) or not _is_count(capacity):
            return None
        principals = report.get("principals")
        if not isinstance(principals, dict) or not all(map(_is_count, principals.values())):
            principals = None
        draining, behind = report.get("draining") is not False, report.get("behind") is True
        return cls(sessions, capacity, draining=draining, principals=principals, behind=behind)

    @property
    def has_room(self) -> bool:
        """Whether it takes another session."""
        return not self.closed and self.sessions < self.capacity

    @property
    def closed(self) -> bool:
        """Whether it takes no session, however many places it has."""
        return self.draining or self.behind

    @property
    def utilisation(self) -> float:
        """The share of its capacity in use; only defined where there is capacity."""
        return self.sessions / self.capacity

    def with_new_session(self) -> Self:
        """The load after a session was placed there, until the transceiver reports again."""
        return replace(self, sessions=self.sessions + 1)

    def with_session_of(self, principal: str) -> Self:
        """The load after a transceiver has taken a session of a principal, until it says so."""
        principals = self.principals or {}
        return replace(self, principals={**principals, principal: 1 + principals.get(principal, 0)})

    def following(self, before: Self) -> Self:
        """The same, with what this report does not say as it was before."""
        return self if self.principals is not None else replace(self, principals=before.principals)


_NOWHERE: Mapping[Target, str | None] = {}


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


@dataclass(frozen=True, slots=True)
class Near:
    """Where a call wants to be.

    Attributes:
        regions: The regions in which it wants to be, the nearest first; after them any other.
        clusters: Those that its ingress routes to; none for all.
        spill: The share of a region's places from which on calls go to the next one.
    """

    regions: Sequence[str] = ()
    clusters: Collection[int] = frozenset()
    spill: float = 1.0


ANYWHERE = Near()


def choose_transceiver(
    loads: Mapping[Target, Load],
    random: Random,
    *,
    tried: Collection[Target] = (),
    near: Near = ANYWHERE,
    regions: Mapping[Target, str | None] = _NOWHERE,
) -> Target | None:
    """Choose a transceiver: the less utilised of two random ones that have room.

    They are of the nearest region that has room below `Near.spill`, or else below its capacity.

    Two random choices keep the loads nearly even, and unlike the least loaded of all they
    do not send all new sessions to the same transceiver between two polls (Mitzenmacher 2001).

    Args:
        loads: The reachable transceivers; one that is missing here is never chosen.
        random: The source of randomness.
        tried: Those that have already refused this session.
        near: Where the session wants to be.
        regions: Where the transceivers are.

    Returns:
        The transceiver, or None when none has room.
    """
    groups: dict[str | None, list[Target]] = {name: [] for name in near.regions}
    for target in loads:
        if not near.clusters or target.cluster in near.clusters:
            region = regions.get(target)
            groups.setdefault(region if region in near.regions else None, []).append(target)
    free = {
        region: [target for target in group if loads[target].has_room and target not in tried]
        for region, group in groups.items()
    }
    with_room = [region for region, targets in free.items() if targets]
    if not with_room:
        return None
    below = [each for each in with_room if _taken(loads, groups[each]) < near.spill]
    candidates = free[(below or with_room)[0]]
    pair = random.sample(candidates, min(2, len(candidates)))
    return min(pair, key=lambda target: loads[target].utilisation)


def _taken(loads: Mapping[Target, Load], targets: Iterable[Target]) -> float:
    """The share of the places of some transceivers, those closed aside, that are taken."""
    counted = [loads[target] for target in targets if not loads[target].closed]
    places = sum(load.capacity for load in counted)
    return sum(load.sessions for load in counted) / places if places else 1.0
