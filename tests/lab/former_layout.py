"""The program of an earlier version, which kept its flows in hashes, in the place of today's.

former.bpf.json is that version's object. Its program knows nothing of the agent of today, which
loads its own when it starts.
"""

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel import bpfload
from relay.dataplane.kernel.attach import update_links
from relay.dataplane.kernel.bpfobject import BpfObject
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.maps import FLOW_MAPS, TAILS, Maps
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins

OBJECT = Path(__file__).with_name("former.bpf.json")
_TO_TRANSCEIVER, _TO_CLIENT = 1, 2  # its enum direction
_ROOM = 1024  # entries of each hash


def run_former_program(pins: Pins) -> None:
    """Let an instance run the earlier version's program and layout, with the flows that it has.

    No packet is lost meanwhile. No agent may run.
    """
    wanted = BpfObject.loads(OBJECT.read_text(encoding="utf-8"))
    with ExitStack() as opened:
        with closing(FlowTable(pins)) as table:
            records = list(table.records())
        with PinnedMap(pins.map("tx_ports")) as ways:
            ports = list(ways.show())
        maps = Maps(wanted, pins, dict.fromkeys(("flows4", "flows"), _ROOM), opened)
        maps.open()
        write_former_ports(pins, ports)
        write_former_flows(pins, records)
        for name, spec in wanted.programs.items():
            fd = bpfload.program_load(
                spec.linked(maps.fds), spec.type, spec.attach_type, name=spec.name
            )
            opened.callback(os.close, fd)
            if name != "steer":
                pins.replace(pins.program if name == "relay" else pins.pass_all, fd)
        update_links(pins, pins.program)
    for path in (*(pins.map(name) for name in (*FLOW_MAPS, TAILS)), pins.ticks, pins.tails):
        path.unlink(missing_ok=True)
    with PinnedMap(pins.map("build")) as build:
        build.update(build.key.number(0), bytes(build.value.size))


def write_former_ports(pins: Pins, ports: Iterable[dict[str, Any]]) -> None:
    """Write the ways out into the list that they were."""
    with PinnedMap(pins.map("tx_ports")) as table:
        for number, port in enumerate(ports):
            row = {"fib_ifindex": port["key"][""], **port["value"]}
            table.update(table.key.number(number), table.value.pack(row))


def write_former_flows(pins: Pins, records: Iterable[FlowRecord]) -> None:
    """Write flows into the hashes, two entries each."""
    with PinnedMap(pins.map("flows4")) as narrow, PinnedMap(pins.map("flows")) as wide:
        for record in records:
            flow, table = record.flow, narrow if record.flow.is_ipv4 else wide
            received = flow.client.packed, flow.vip.packed
            sent = flow.upstream.packed, flow.transceiver.packed
            for key, rewrite, direction, activity in (
                (received, sent, _TO_TRANSCEIVER, record.to_transceiver),
                (sent[::-1], received[::-1], _TO_CLIENT, record.to_client),
            ):
                value = (
                    _tuple(table, rewrite, "rewrite.")
                    | _state(activity)
                    | {
                        "state.direction": direction,
                        "state.route": flow.route,
                    }
                )
                table.update(table.key.pack(_tuple(table, key)), table.value.pack(value))


def _tuple(table: PinnedMap, ends: tuple[bytes, bytes], prefix: str = "") -> dict[str, bytes | int]:
    narrow = "src" in table.key.spans
    word, first = ("", 12) if narrow else (".word", 0)
    (source, source_port), (target, target_port) = ((end[first:16], end[16:]) for end in ends)
    return {
        f"{prefix}src{word}": source,
        f"{prefix}dst{word}": target,
        f"{prefix}src_port": source_port,
        f"{prefix}dst_port": target_port,
    }


def _state(activity: Activity) -> dict[str, bytes | int]:
    return {
        "state.packets": activity.packets,
        "state.bytes": activity.bytes,
        "state.last_seen_ns": round(activity.last_seen * 1e9).to_bytes(8, sys.byteorder),
    }
