"""Tables of flows for people: a snapshot goes in, something that rich can draw comes out. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

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
