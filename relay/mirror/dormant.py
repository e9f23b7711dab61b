"""Flows of other relays with the same VIPs, in case that their clients come here; pure.

They sleep as the records that Redis has, neither read nor verified: most are never needed.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Protocol

from relay.core.flowtuple import Source

LIFE = 3600.0  # seconds after which nobody tells of a flow any more


class Expecting(Protocol):
    """Who is told whose clients may come; see `relay.dataplane.interface.Dataplane`."""

    def expect(self, source: Source) -> None:
        """A client has a flow here that sleeps."""

    def expect_no_more(self, source: Source) -> None:
        """It has none any more."""


class DormantFlows:
    """The records of neighbours' flows.

    Args:
        most: How many there may be; the oldest go first, and are counted.
        counters: Where that is.
        expecting: Is told of each that comes or goes.
    """

    def __init__(self, most: int, counters: Counter[str], expecting: Expecting) -> None:
        self._most = most
        self._expecting = expecting
        self._counters = counters
        self._records: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()  # oldest first

    def __len__(self) -> int:
        """How many there are."""
        return len(self._records)

    def __iter__(self) -> Iterator[Source]:
        """Their clients."""
        return map(Source.of, self._records)

    def put(self, source: Source, record: bytes, now: float) -> None:
        """Note the record of a client, as it stands in Redis."""
        if source not in self._records:
            self._expecting.expect(source)
        self._records[source] = (now + LIFE, record)
        self._records.move_to_end(source)
        while len(self._records) > self._most:
            self._drop_oldest()
            self._counters["dormant_dropped"] += 1
        while self._records and next(iter(self._records.values()))[0] <= now:
            self._drop_oldest()

    def pop(self, source: Source, now: float) -> bytes | None:
        """The record of a client, which sleeps no longer."""
        until, record = self._records.pop(source, (0.0, b""))
        if record:
            self._expecting.expect_no_more(source)
        return record if until > now else None

    def _drop_oldest(self) -> None:
        source, _ = self._records.popitem(last=False)
        self._expecting.expect_no_more(Source.of(source))
