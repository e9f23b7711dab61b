"""Whether this machine's wall clock is right, by what others say of theirs; free of IO and clock.

Nothing that runs depends on it: what is local is timed by monotonic clocks, and what machines tell
each other is put in order by epochs and routes. Only what expires is compared with a wall clock,
with `LEEWAY`. A clock that is further off makes others refuse what this machine signs, or this
machine what others sign, and nobody would know why: so it is said.
"""

from collections.abc import Iterator
from dataclasses import dataclass

LEEWAY = 300.0  # seconds that a machine's clock may be off, and everything works
WRONG = 2 * LEEWAY  # seconds that two may differ, each off in another direction
MEMORY = 60.0  # seconds for which it counts what somebody has said
MOST = 1024  # machines
_EVERY = 1.0  # seconds

_REMEDY = "let NTP set it (`timedatectl set-ntp true`, or chrony)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the others' clocks say of this machine's.

    Attributes:
        ahead: How many seconds it is ahead of the one in the middle of all; negative if behind.
        differing: How many others differ from it by more than `WRONG`, all in one direction.
        others: Of how many something is known.
    """

    ahead: float
    differing: int
    others: int

    @property
    def is_wrong(self) -> bool:
        """Whether more than half of all, this machine among them, say so."""
        return 2 * self.differing > self.others + 1

    def __str__(self) -> str:
        """What an operator is told of a clock that is wrong."""
        whose = f"{self.differing} of {self.others} others"
        return f"this machine's clock is {far(self.ahead)} of {whose}"


class ClockWatch:
    """Compares this machine's clock with others'."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, float]] = {}  # how far ahead, and when: oldest first
        self._told: set[str] = set()
        self._looked = float("-inf")

    def hear(self, who: str, ahead: float, now: float) -> None:
        """Take note of another machine's clock.

        Args:
            who: Names the machine. It is authenticated, or anybody could outvote all others.
            ahead: How many seconds this machine's clock is ahead of its clock.
            now: Seconds of a monotonic clock.
        """
        self._heard.pop(who, None)
        self._heard[who] = ahead, now
        while len(self._heard) > MOST or now - next(iter(self._heard.values()))[1] > MEMORY:
            del self._heard[next(iter(self._heard))]

    def verdict(self, now: float) -> Verdict:
        """What is known now, monotonic seconds."""
        ahead = [each for each, heard in self._heard.values() if now - heard <= MEMORY]
        middle = sorted([*ahead, 0.0], key=lambda each: (each, abs(each)))[len(ahead) // 2]
        fast, slow = (sum(sign * each > WRONG for each in ahead) for sign in (1, -1))
        return Verdict(middle, max(fast, slow), len(ahead))

    def news(self, now: float) -> Iterator[str]:
        """What is wrong since it was asked last, in words for an operator; once a second."""
        if now - self._looked < _EVERY:
            return
        self._looked = now
        verdict, wrong = self.verdict(now), set[str]()
        if verdict.is_wrong:
            wrong.add("")
            if "" not in self._told:
                yield f"{verdict}, and new calls go elsewhere while it is: {_REMEDY}"
        else:
            for who, (ahead, heard) in self._heard.items():
                if abs(ahead) > WRONG and now - heard <= MEMORY:
                    wrong.add(who)
                    if who not in self._told:
                        yield (
                            f"this machine's clock is {far(ahead)} of that of {who}: one of the "
                            "two is wrong, let NTP set both"
                        )
        self._told = wrong


def far(ahead: float) -> str:
    """How far ahead, or behind, in the largest unit that fits."""
    seconds, side = abs(ahead), "ahead" if ahead > 0 else "behind"
    for unit, size in (("days", 86_400), ("hours", 3_600)):
        if seconds >= 0.95 * size:
            return f"{seconds / size:.1f} {unit} {side}"
    return f"{seconds / 60:.0f} minutes {side}"
