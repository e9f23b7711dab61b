"""What relays have announced of source addresses, bounded; free of IO and clock.

Nothing is compared with this host's time, which may differ from the relays': an announcement is of
one upstream address, and whether it is news is a matter of the order among those of that address,
and of the client's epoch. A copy of an old one therefore does nothing.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from transceiver.path import Announced

# An upstream port is not given to another client within 120 s, so the word holds that long.
LIFETIME = 120.0  # seconds after the last check from that source
MOST = 8192


class Known(NamedTuple):
    """What is known of a source.

    Attributes:
        announced: What its relay said of it.
        vip: The address of the relay that the client sends to.
        route: That of the client's flow there, 21 raw bytes.
        used: When it was announced, or a check came from there, monotonic seconds.
    """

    announced: Announced
    vip: Endpoint
    route: bytes
    used: float


class Announcements:
    """The latest announcement of each source, and the sources of each client."""

    def __init__(self) -> None:
        self._by_source: OrderedDict[Endpoint, Known] = OrderedDict()  # the least used first
        self._of_client: defaultdict[Endpoint, list[Endpoint]] = defaultdict(list)

    def __len__(self) -> int:
        """Of how many sources something is known."""
        return len(self._by_source)

    def note(self, said: Announcement, now: float) -> Announced | None:
        """Take an announcement that was verified; None if it is no news.

        Args:
            said: The announcement.
            now: Seconds of a monotonic clock.
        """
        announced = Announced(said.client, said.time, said.transport, said.epoch)
        known = self._by_source.get(said.upstream)
        if known is not None and not _is_news(announced, known.announced):
            return None
        self._drop(said.upstream)
        self._by_source[said.upstream] = Known(announced, said.vip, said.route, now)
        self._of_client[said.client].append(said.upstream)
        while self._by_source:
            oldest = next(iter(self._by_source))
            if len(self) <= MOST and now - self._by_source[oldest].used < LIFETIME:
                break
            self._drop(oldest)
        return announced

    def get(self, source: Endpoint) -> Known | None:
        """What was announced of a source last, perhaps long ago."""
        return self._by_source.get(source)

    def checked(self, source: Endpoint, now: float) -> Announced | None:
        """What holds of a source from which a check has come now."""
        known = self._by_source.get(source)
        if known is None or now - known.used >= LIFETIME:
            return None
        self._by_source[source] = known._replace(used=now)
        self._by_source.move_to_end(source)
        return known.announced

    def of_client(self, client: Endpoint) -> Iterator[tuple[Endpoint, Known]]:
        """The sources behind which a client was announced, and what is known of each."""
        for source in self._of_client.get(client, ()):
            yield source, self._by_source[source]

    def _drop(self, source: Endpoint) -> None:
        known = self._by_source.pop(source, None)
        if known is None:
            return
        client = known.announced.client
        self._of_client[client].remove(source)
        if not self._of_client[client]:
            del self._of_client[client]


def _is_news(said: Announced, known: Announced) -> bool:
    """Whether an announcement came after what is known of its source.

    A relay that was started again on a machine whose clock was set back says an earlier time; what
    it says of a client that it has taken over meanwhile is news all the same.
    """
    return said.time > known.time or (said.is_of(known) and said.epoch > known.epoch)
