"""How routers spread clients over relays with one address, and whom a change moves. Pure.

Both are those of Linux: hash-threshold (RFC 2992), and resilient groups, whose buckets move by
force at once (`unbalanced_timer`), because buckets with calls are never idle.
"""

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

SPACE = 1 << 32  # hashes
BUCKETS = 4_096

Member = TypeVar("Member", bound=Hashable)


class Spread(Protocol[Member]):
    """Members that share clients."""

    members: list[Member]

    def of(self, number: int) -> Member:
        """Who has the clients of a hash; there must be somebody."""

    def add(self, member: Member) -> None:
        """Somebody comes."""

    def remove(self, member: Member) -> None:
        """Somebody leaves."""


class HashThreshold(Generic[Member]):
    """Each member has an equal range of hashes; a change moves the borders between all.

    Args:
        members: Who there is at first.
    """

    def __init__(self, members: list[Member]) -> None:
        self.members = list(members)

    def of(self, number: int) -> Member:
        """Who has the clients of a hash."""
        return self.members[number * len(self.members) // SPACE]

    def add(self, member: Member) -> None:
        """Somebody comes, behind all others."""
        self.members.append(member)

    def remove(self, member: Member) -> None:
        """Somebody leaves."""
        self.members.remove(member)


class Resilient(Generic[Member]):
    """Buckets of hashes; a change moves no more of them than it must.

    Args:
        members: Who there is at first.
        buckets: How many there are.
    """

    def __init__(self, members: list[Member], buckets: int = BUCKETS) -> None:
        self.members = list(members)
        self._owners = [self.members[number % len(members)] for number in range(buckets)]

    def of(self, number: int) -> Member:
        """Who has the clients of a hash."""
        return self._owners[number * len(self._owners) // SPACE]

    def add(self, member: Member) -> None:
        """Somebody comes, and gets his share from those who have the most."""
        self.members.append(member)
        held = self._held()
        for _ in range(len(self._owners) // len(self.members)):
            fullest = max(held.values(), key=len)
            bucket = fullest.pop()
            self._owners[bucket] = member

    def remove(self, member: Member) -> None:
        """Somebody leaves, and those who have the least get his buckets."""
        held = self._held()
        self.members.remove(member)
        for bucket in held.pop(member):
            least = min(held, key=lambda each: len(held[each]))
            held[least].append(bucket)
            self._owners[bucket] = least

    def _held(self) -> dict[Member, list[int]]:
        held: dict[Member, list[int]] = {each: [] for each in self.members}
        for bucket, owner in enumerate(self._owners):
            held[owner].append(bucket)
        return held
