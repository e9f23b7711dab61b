"""What is known of a fleet from what was heard of it. Free of IO: the time is an argument.

Who is silent for `TTL` is silent: no new client is told of such a relay. Routes go on leading to a
silent transceiver, for what is wrong may be its way to Redis alone; another owner of its slot, or
`HOLD`, ends that. While Redis is away nobody can be heard, so nobody is silent. Nor is anybody
while nobody at all of a cluster is heard: then it is Redis that takes no writes.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from relay.config.registry import Registry, Relay, Transceiver
from relay.config.targets import Targets
from relay.registry.entry import Entry, EntryError, Heartbeat, RelayEntry, TransceiverEntry

TTL = 15.0  # seconds without a heartbeat after which somebody is silent
_PRIVATE = Targets()
HOLD = 3600.0  # seconds for which what was heard is believed where nothing else is heard
# Seconds in which somebody of a cluster is heard, unless Redis takes no writes. With the longest
# time between two heartbeats (5 s) it is less than `TTL`, so that none of them is silent before.
QUIET = 8.0


@dataclass(slots=True)
class Known:
    """An entry and when it was heard of.

    Attributes:
        heartbeat: The last one.
        heard: When, by a clock that stands while Redis is away, or nobody of the cluster is heard.
        last: The same by the monotonic clock.
    """

    heartbeat: Heartbeat
    heard: float
    last: float


class FleetTable:
    """The entries of one cluster or several.

    Args:
        targets: Where transceivers may be; an entry elsewhere is refused. Nor is the health of
            relays asked for elsewhere.
    """

    def __init__(self, targets: Targets = _PRIVATE) -> None:
        self._targets = targets
        self._known: dict[tuple[int, str], Known] = {}
        self._away_since: float | None = None
        self._latest: dict[int, float] = {}  # when anybody of a cluster was heard, by that clock

    def take(self, heartbeat: Heartbeat, now: float, age: float = 0.0) -> bool:
        """Take a heartbeat that was written `age` seconds ago.

        Returns:
            Whether `registry` gives another one from now on: most heartbeats only say that somebody
            is still there.

        Raises:
            EntryError: It names an address where no transceiver may be.
        """
        entry = heartbeat.entry
        for address in entry.hosts:
            if (refusal := self._targets.refusal(address)) is not None:
                raise EntryError(f"{entry.field} of cluster {entry.cluster}: {refusal}")
        key, heard = (entry.cluster, entry.field), now - age
        known = self._known.get(key)
        if known is None and (heartbeat.gone or age >= TTL):
            return False
        if known is not None and not self._supersedes(heartbeat, known, now):
            return False
        self.back(now)  # or nobody could be heard
        self._hear(entry.cluster, heard)
        self._known[key] = Known(heartbeat, heard, heard)
        return (
            known is None
            or heartbeat.gone != known.heartbeat.gone
            or _shown(entry) != _shown(known.heartbeat.entry)
        )

    def away(self, now: float) -> None:
        """Redis cannot be heard from now on."""
        if self._away_since is None:
            self._away_since = now

    def back(self, now: float) -> None:
        """Redis can be heard again: whoever was not silent before has his time once more."""
        if self._away_since is None:
            return
        for cluster in self._latest:
            self._stood(cluster, now - self._away_since)
        self._away_since = None

    def quiet(self, now: float) -> bool:
        """Whether nobody of some cluster is heard, though he should be."""
        expected = {
            cluster for (cluster, _), known in self._known.items() if not known.heartbeat.gone
        }
        return any(now - self._latest[cluster] >= QUIET for cluster in expected)

    def expire(self, now: float) -> bool:
        """Forget those of whom nothing was heard for `HOLD`; says whether there were any.

        One who has ended is remembered for `TTL`: an older entry of him is no news.
        """
        leaving = [
            key
            for key, known in self._known.items()
            if now - known.last >= (TTL if known.heartbeat.gone else HOLD)
        ]
        for key in leaving:
            del self._known[key]
        return bool(leaving)

    def silent(self, now: float) -> frozenset[tuple[int, str]]:
        """Who is silent, by cluster and field."""
        return frozenset(key for key, known in self._known.items() if self._is_silent(known, now))

    def entries(self, now: float) -> Iterator[tuple[Entry, bool, float]]:
        """Each entry, whether it is silent, and how many seconds ago it was heard."""
        for _, known in sorted(self._known.items()):
            if not known.heartbeat.gone:
                yield known.heartbeat.entry, self._is_silent(known, now), now - known.last

    def registry(self, now: float) -> Registry:
        """All of it as a registry."""
        transceivers: list[Transceiver] = []
        relays: dict[str, list[Relay]] = {}
        for entry, silent, _ in self.entries(now):
            match entry:
                case TransceiverEntry():
                    transceivers.append(entry.transceiver)
                case RelayEntry():
                    closed = silent or entry.closed
                    taken = entry.flows / entry.room if entry.room else 1.0
                    # One that serves several clusters announces itself in each.
                    clusters = _clusters(relays.get(entry.name, [])) | {entry.cluster}
                    health = self._health(entry)
                    relays[entry.name] = [
                        replace(each, taken=taken, closed=closed, clusters=clusters, health=health)
                        for each in entry.vips
                    ]
        return Registry(tuple(transceivers), tuple(itertools.chain(*relays.values())))

    def _health(self, entry: RelayEntry) -> str | None:
        """Where others ask for its health: in allowed networks only, whoever says what."""
        if entry.health is None or self._targets.refusal(entry.health) is not None:
            return None
        return f"http://{entry.health}"

    def _supersedes(self, heartbeat: Heartbeat, known: Known, now: float) -> bool:
        if heartbeat.beat > known.heartbeat.beat:
            return True
        # Whoever starts again on a machine whose clock is behind counts from less.
        return heartbeat.beat < known.heartbeat.beat and self._judged(now) - known.heard >= TTL

    def _is_silent(self, known: Known, now: float) -> bool:
        latest = self._latest[known.heartbeat.entry.cluster]
        return min(self._judged(now), latest + QUIET) - known.heard >= TTL

    def _judged(self, now: float) -> float:
        return now if self._away_since is None else self._away_since

    def _hear(self, cluster: int, heard: float) -> None:
        """Somebody of a cluster is heard; had nobody been, all others have their time again."""
        latest = self._latest.get(cluster, heard)
        if heard - latest > QUIET:
            self._stood(cluster, heard - latest - QUIET)
        self._latest[cluster] = max(heard, latest)

    def _stood(self, cluster: int, seconds: float) -> None:
        self._latest[cluster] += seconds
        for (of, _), known in self._known.items():
            if of == cluster:
                known.heard += seconds


def _shown(entry: Entry) -> object:
    """What of an entry a registry shows: of a transceiver all but its load."""
    return entry.transceiver if isinstance(entry, TransceiverEntry) else entry


def _clusters(relays: Sequence[Relay]) -> frozenset[int]:
    return relays[0].clusters if relays else frozenset()
