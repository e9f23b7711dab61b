"""Tables of flows for people: a snapshot goes in, something that rich can draw comes out. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

ROWS = 40  # of the live view, busiest first

_Key = tuple[str, str]
_WHO = ("client", "transport", "vip", "upstream", "transceiver", "state")


def flow_table(flows: Sequence[Mapping[str, Any]]) -> Table:
    """The list of flows, with totals."""
    table = _table("packets in", "packets out", "by kernel", "idle s")
    for flow in flows:
        inward, outward = flow["to_transceiver"], flow["to_client"]
        idle = flow["idle_seconds"]
        table.add_row(
            *_who(flow),
            f"{inward['packets']:,}",
            f"{outward['packets']:,}",
            kernel_share(inward, outward),
            "-" if idle is None else f"{idle:.1f}",
        )
    return table


def kernel_share(*directions: Mapping[str, int]) -> str:
    """The share of packets that the kernel forwarded, such as ``99.8 %``."""
    total = sum(direction["packets"] for direction in directions)
    kernel = sum(direction["kernel_packets"] for direction in directions)
    return f"{100 * kernel / total:.1f} %" if total else "-"


class LiveFlows:
    """The live view: it remembers the last snapshot, to show rates."""

    def __init__(self) -> None:
        self._last: dict[_Key, tuple[int, int]] = {}
        self._last_at: float | None = None

    def render(self, snapshot: Mapping[str, Any], now: float) -> RenderableType:
        """The view of a snapshot taken at `now`, in seconds of a monotonic clock."""
        flows = snapshot["flows"]
        counts = {_key(flow): _packets(flow) for flow in flows}
        elapsed = None if self._last_at is None else now - self._last_at
        rates = {
            key: tuple(
                (new - old) / elapsed
                for new, old in zip(packets, self._last.get(key, packets), strict=True)
            )
            if elapsed
            else (0.0, 0.0)
            for key, packets in counts.items()
        }
        self._last, self._last_at = counts, now
        busiest = sorted(flows, key=lambda flow: -sum(rates[_key(flow)]))
        table = _table("in/s", "out/s", "packets", "by kernel", "idle s")
        for flow in busiest[:ROWS]:
            idle = flow["idle_seconds"]
            table.add_row(
                *_who(flow),
                *(f"{rate:,.0f}" for rate in rates[_key(flow)]),
                f"{sum(counts[_key(flow)]):,}",
                kernel_share(flow["to_transceiver"], flow["to_client"]),
                "-" if idle is None else f"{idle:.1f}",
            )
        return Group(_headline(snapshot, rates.values()), table, *_rest(len(flows)))


def _headline(snapshot: Mapping[str, Any], rates: Any) -> Text:
    total = sum(sum(pair) for pair in rates)
    agent = f"agent {snapshot['pid']}" if snapshot.get("agent") else "no agent"
    flows = snapshot["flows"]
    confirmed = sum(flow["state"] == "confirmed" for flow in flows)
    return Text.assemble(
        ("icelane ", "bold"),
        f"{snapshot['instance']}  {snapshot['dataplane']} dataplane, {agent}  ",
        (f"{confirmed} confirmed", "green"),
        f", {len(flows) - confirmed} pending  ",
        (f"{total:,.0f} packets/s", "bold"),
    )


def _rest(count: int) -> list[Text]:
    return [Text(f"and {count - ROWS:,} more", "dim")] if count > ROWS else []


def _table(*numbers: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in _WHO:
        table.add_column(name, overflow="fold")  # a narrow screen cuts no port off
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _who(flow: Mapping[str, Any]) -> list[Text]:
    # Texts, because rich would take the brackets of [fd00::1]:3478 for markup.
    return [Text(flow[name]) for name in _WHO]


def _key(flow: Mapping[str, Any]) -> _Key:
    return flow["client"], flow["upstream"]


def _packets(flow: Mapping[str, Any]) -> tuple[int, int]:
    return flow["to_transceiver"]["packets"], flow["to_client"]["packets"]
