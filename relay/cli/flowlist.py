"""The listing of `icelane flows`: looks once or twice, filters by rate, sorts, and prints."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

from relay.admin.flowcolumns import (
    COLUMNS,
    USUAL,
    WIDE,
    Order,
    Rates,
    Row,
    need_rates,
    parse_columns,
    row_as_json,
)
from relay.admin.flowfilter import FlowFilter
from relay.admin.flowsource import AgentFlows, PinnedFlows
from relay.cli.output import print_json_rows
from relay.cli.textrows import Heading, TextRows


@dataclass(frozen=True, slots=True)
class FlowView:
    """How a listing is shown.

    Attributes:
        columns: Its columns.
        order: By what it is sorted; None: as flows are found, and the first ones at once.
        limit: How many flows it has at most.
        interval: Seconds between two looks, where there are two.
        min_rate: The least packets a second of a flow that is shown.
        max_rate: The most.
    """

    columns: tuple[str, ...]
    order: Order | None
    limit: int | None
    interval: float
    min_rate: float | None
    max_rate: float | None

    @classmethod
    def parse(
        cls,
        wanted: FlowFilter,
        *,
        columns: str | None,
        sort: str | None,
        wide: bool,
        limit: int | None,
        interval: float,
        min_rate: float | None,
        max_rate: float | None,
    ) -> Self:
        """Read what an operator wrote. Without columns, what is asked about is seen, too.

        Raises:
            ConfigError: There is no such column.
        """
        order = Order.parse(sort) if sort else None
        if columns is not None:
            shown = parse_columns(columns)
        else:
            asked = {
                "one-way": wanted.one_way,
                "age": wanted.asks_for_age,
                "rate": (min_rate, max_rate) != (None, None),
            }
            more = [name for name, is_asked in asked.items() if is_asked]
            more += [order.column] if order is not None else []
            shown = tuple(dict.fromkeys((*(WIDE if wide else USUAL), *more)))
        return cls(shown, order, limit, interval, min_rate, max_rate)

    @property
    def measures(self) -> bool:
        """Whether it takes two looks."""
        sorted_by = (self.order.column,) if self.order is not None else ()
        limits_rate = (self.min_rate, self.max_rate) != (None, None)
        return limits_rate or need_rates((*self.columns, *sorted_by))

    def has(self, row: Row) -> bool:
        """Whether a flow's rate is wanted; one that was not there at the first look has none."""
        if self.min_rate is None and self.max_rate is None:
            return True
        if row.rates is None:
            return False
        rate = row.rates.both
        return (self.min_rate or 0.0) <= rate and (self.max_rate is None or rate <= self.max_rate)


def print_flows(
    source: AgentFlows | PinnedFlows, wanted: FlowFilter, view: FlowView, *, as_json: bool
) -> None:
    """Print the flows that are wanted, the first ones as soon as they are found."""
    batches = _limited(_ordered(_looked_at(source, wanted, view), view.order), view.limit)
    if as_json:
        print_json_rows(map(row_as_json, chain.from_iterable(batches)))
        return
    shown = [COLUMNS[name] for name in view.columns]
    headings = zip(view.columns, shown, strict=True)
    table = TextRows([Heading(name, column.right) for name, column in headings])
    for rows in batches:
        table.print([[column.text(row) for column in shown] for row in rows])
    table.print([])


def _looked_at(
    source: AgentFlows | PinnedFlows, wanted: FlowFilter, view: FlowView
) -> Iterator[Sequence[Row]]:
    """The flows, with their rates where somebody asks for them."""
    if not view.measures:
        yield from look(source, wanted)
        return
    before = {row.entry.addresses: row for row in chain.from_iterable(look(source, wanted))}
    time.sleep(view.interval)
    for rows in look(source, wanted):
        measured = [with_rates(row, before.get(row.entry.addresses)) for row in rows]
        yield [row for row in measured if view.has(row)]


def look(source: AgentFlows | PinnedFlows, wanted: FlowFilter) -> Iterator[Sequence[Row]]:
    """The flows as they are now, without rates."""
    for now, entries in source.batches(wanted):
        yield [Row(entry, now) for entry in entries]


def with_rates(row: Row, before: Row | None) -> Row:
    """A flow with the rates since an earlier look at it."""
    if before is None:
        return row
    rates = Rates.between(before.entry, row.entry, row.now - before.now)
    return row._replace(rates=rates)


def _ordered(batches: Iterable[Sequence[Row]], order: Order | None) -> Iterable[Sequence[Row]]:
    return batches if order is None else [order.sorted(chain.from_iterable(batches))]


def _limited(batches: Iterable[Sequence[Row]], limit: int | None) -> Iterator[Sequence[Row]]:
    """The first rows alone, and no look at the rest."""
    left = limit
    for rows in batches:
        yield rows[:left]
        if left is not None:
            left -= len(rows[:left])
            if not left:
                return
