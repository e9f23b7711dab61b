"""One flow, with all that is known of it: a row goes in, lines come out. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from relay.top import model
from relay.top.model import Row
from relay.top.units import duration, short
from relay.wire.route import decode


def detail_lines(row: Row | None, name: tuple[str, str, str], width: int) -> list[Text]:
    """A flow, line by line; or that it is not there any more.

    Args:
        row: What is known of it.
        name: Its client, VIP and transport.
        width: Of the screen.
    """
    if row is None:
        client, vip, _ = name
        return [Text(f"The flow of {client} to {vip} is not there (any more).")]
    lines = [Text.assemble((f"{label:12}", "bold"), value) for label, value in _facts(row)]
    lines.append(Text())
    for way, title in (
        ("to_transceiver", "client to transceiver"),
        ("to_client", "transceiver to client"),
    ):
        lines += _direction(title, row[way], width)
    return lines


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    route = decode(bytes.fromhex(row["route"]))
    yield "client", f"{row['client']} ({row['transport'].upper()})"
    if row["introduced"]:
        yield "", f"an edge; behind it {row['introduced']}"
    yield "VIP", row["vip"]
    yield "upstream", row["upstream"]
    yield "transceiver", row["transceiver"]
    yield "route", f"cluster/slot.generation {route.target}, key slot {route.key_slot}"
    yield "state", _state(row)
    yield "age", duration(row["age_seconds"]) if row["age_seconds"] is not None else "not known"
    yield "mirror", _mirror(row)


def _state(row: Row) -> str:
    lone = model.is_one_way(row)
    if row["ended"]:
        return f"{row['state']}; the transceiver has said goodbye"
    return f"{row['state']}, only the {lone} is heard" if lone else str(row["state"])


def _mirror(row: Row) -> str:
    if row["stored_seconds"] is None:
        return "not written by this agent"
    claimed = "claimed" if row["claimed"] else "not yet claimed"
    return f"written {duration(row['stored_seconds'])} ago, epoch {row['epoch']}, {claimed}"


def _direction(title: str, way: Mapping[str, Any], width: int) -> list[Text]:
    hop = way["next_hop"]
    userspace = way["packets"] - way["kernel_packets"]
    rates = f"{short(way['packet_rate'])} packets/s, {short(way['bit_rate'])}bit/s"
    idle = way["idle_seconds"]
    last = "nothing yet" if idle is None else f"the last {duration(idle)} ago"
    lines = [
        Text(title, "bold underline"),
        Text.assemble(("now         ", "bold"), f"{rates}; {last}"),
        Text.assemble(
            ("packets     ", "bold"),
            f"{way['packets']:,} (kernel {way['kernel_packets']:,}, userspace {userspace:,}), "
            f"{way['bytes']:,} bytes",
        ),
    ]
    if hop is None:
        where = "as the host's routes say" if userspace else "not known yet"
    else:
        where = f"{hop['gateway']} ({hop['destination_mac']}) at {hop['interface']}"
        where += f", MTU {hop['mtu']}"
        where += f", VLAN {hop['vlan']}" if hop["vlan"] else ""
    if 12 + len(where) > width and hop is not None:
        first, rest = where.split(" at ")
        return [
            *lines,
            Text.assemble(("next hop    ", "bold"), first),
            Text(f"            at {rest}"),
        ]
    return [*lines, Text.assemble(("next hop    ", "bold"), where)]
