"""Sessions whose connection is gone, kept for a while for whoever knows their name; pure.

Names are secrets. They are held by their hashes, so that the time of a look-up says nothing of how
much of a name was right, and each is good for once.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Generic, TypeVar

from transceiver.resume import SECONDS

MOST = 64
#: Bytes of sound, text and images that all of them may hold.
MAX_SIZE = 64 << 20

Session = TypeVar("Session")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Session]):
    name: bytes
    session: Session
    size: int
    until: float


class KeptSessions(Generic[Session]):
    """Sessions by name. The oldest ones make room.

    Args:
        seconds: How long one is kept.
        most: How many.
        max_size: Bytes that all of them may hold.
    """

    def __init__(
        self, *, seconds: float = SECONDS, most: int = MOST, max_size: int = MAX_SIZE
    ) -> None:
        self.seconds = seconds
        self._most = most
        self._max_size = max_size
        self._kept: dict[bytes, _Kept[Session]] = {}  # by hash, the oldest first

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, name: str, session: Session, size: int, now: float) -> list[Session]:
        """Keep a session.

        Args:
            name: Who knows it may go on with it.
            session: The session.
            size: The bytes that it holds.
            now: The time, in seconds.

        Returns:
            Those that are not kept any more, perhaps this one.
        """
        key = hashed(name)
        gone = self.expire(now)
        if (before := self._kept.pop(key, None)) is not None:
            gone.append(before.session)
        self._kept[key] = _Kept(key, session, size, now + self.seconds)
        total = sum(each.size for each in self._kept.values())
        while len(self._kept) > self._most or total > self._max_size:
            oldest = self._kept.pop(next(iter(self._kept)))
            total -= oldest.size
            gone.append(oldest.session)
        return gone

    def knows(self, name: str, now: float) -> bool:
        """Whether there is a session of a name."""
        found = self._kept.get(hashed(name))
        return found is not None and now < found.until

    def take(self, name: str, now: float) -> Session | None:
        """The session of a name, which is not kept any more; None where there is none."""
        key = hashed(name)
        found = self._kept.get(key)
        if found is None or now >= found.until or not hmac.compare_digest(found.name, key):
            return None
        return self._kept.pop(key).session

    def expire(self, now: float) -> list[Session]:
        """Those that have been kept long enough; they are not any more."""
        late = [key for key, each in self._kept.items() if now >= each.until]
        return [self._kept.pop(key).session for key in late]

    def clear(self) -> list[Session]:
        """All of them; none is kept any more."""
        every = [each.session for each in self._kept.values()]
        self._kept.clear()
        return every


def hashed(name: str) -> bytes:
    """What stands for a name where it is held."""
    return hashlib.sha256(name.encode("ascii", "replace")).digest()
