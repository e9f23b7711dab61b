"""What `icelane flows show` tells of one flow, and which flow is meant."""

import time
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from relay.admin.flowcolumns import Row, row_as_json
from relay.admin.flowentry import FlowEntry, packed
from relay.admin.flowfilter import FlowFilter
from relay.admin.flowsource import AgentFlows, PinnedFlows
from relay.admin.question import ask
from relay.cli.flowlist import look, with_rates
from relay.cli.output import print_rows
from relay.errors import AdminError, DataplaneError
from relay.wire.route import decode

if TYPE_CHECKING:
    from relay.dataplane.kernel.hopview import NextHop

SECONDS = 1.0  # over which rates are measured
_NAMED = 5  # flows of the same name that are listed
_WAYS = ("to_transceiver", "to_client")


def the_one(source: AgentFlows | PinnedFlows, name: str) -> FlowEntry:
    """The flow that is called so.

    Raises:
        ConfigError: The name is none.
        AdminError: No flow is called so, or several are.
    """
    return _find(source, name).entry


def _find(source: AgentFlows | PinnedFlows, name: str) -> Row:
    found = list(chain.from_iterable(look(source, FlowFilter.parse(named=name))))
    if not found:
        raise AdminError(f"there is no flow {name!r}: `icelane flows` lists those that there are")
    if len(found) > 1:
        listed = ", ".join(
            f"{row.entry.id} ({row.entry.addresses.client}, {row.entry.stage})"
            for row in found[:_NAMED]
        )
        more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        raise AdminError(
            f"{len(found):,} flows are called {name!r}; name one by its id: {listed}{more}"
        )
    return found[0]


def described(source: AgentFlows | PinnedFlows, instance: str, name: str) -> dict[str, Any]:
    """All that is known of a flow, for programs.

    Raises:
        ConfigError: The name is none.
        AdminError: No flow is called so, or several are; or it has ended meanwhile.
    """
    from relay.cli.ufrag import route_fields  # it loads what signs

    before = _find(source, name)
    time.sleep(SECONDS)
    after = with_rates(_find(source, before.entry.id), before)
    addresses = after.entry.addresses
    route = decode(addresses.route)
    told = row_as_json(after) | {
        "route": {"ufrag": route.ufrag} | route_fields(route, time.time()),
        "next_hops": _next_hops(instance, after.entry),
    }
    if isinstance(source, AgentFlows):
        agent = ask(source.path, "flow", flow=packed(addresses))
        told["agent"] = {name: value for name, value in agent.items() if name != "known"}
    else:
        told["agent"] = None
    return told


def _next_hops(instance: str, entry: FlowEntry) -> dict[str, Any]:
    """Where the program sends both directions; None where it does not, or nobody may look."""
    from relay.dataplane.kernel.flowtable import FlowTable
    from relay.dataplane.kernel.hopview import HopView
    from relay.dataplane.kernel.pins import Pins

    none: dict[str, Any] = dict.fromkeys(_WAYS)
    pins = Pins(instance)
    try:
        table = FlowTable(pins)
    except (DataplaneError, OSError):
        return none
    try:
        bindings = table.bindings(entry.addresses)
        if bindings is None:
            return none
        with closing(HopView(pins)) as view:
            hops: list[NextHop | None] = list(map(view.show, bindings))
    finally:
        table.close()
    return {
        way: asdict(hop) | {"text": str(hop)} if hop is not None else None
        for way, hop in zip(_WAYS, hops, strict=True)
    }


def print_flow(told: dict[str, Any]) -> None:
    """Print it for people."""
    age = "" if told["age_seconds"] is None else f", known for {told['age_seconds']:,.1f} s"
    idle = (
        "never had a packet" if told["idle_seconds"] is None else f"idle {told['idle_seconds']} s"
    )
    one_way = f", only the {told['one_way']} is heard" if told["one_way"] else ""
    route = told["route"]
    lines = {
        "flow": told["id"],
        "state": f"{told['state']}{age}, {idle}{one_way}",
        "client": f"{told['client']} ({told['transport']}) at {told['vip']}",
        "upstream": f"{told['upstream']} to {told['transceiver']}",
        "route": f"{route['ufrag']} to {told['target']}, signed by key slot {route['key_slot']}, "
        f"{'opened' if route['expired'] else 'opens'} new flows until {route['expires']}",
    } | {f"next hop {way[3:]}": _hop(told["next_hops"][way]) for way in _WAYS}
    for name, text in (lines | _agents(told["agent"])).items():
        print(f"{name:<20} {text}")
    print()
    print_rows([_direction(way, told[way]) for way in _WAYS])


def _hop(hop: dict[str, Any] | None) -> str:
    return hop["text"] if hop is not None else "none yet in the kernel"


def _agents(agent: dict[str, Any] | None) -> dict[str, str]:
    """What the agent alone knows."""
    if agent is None:
        return {"owner, mirror": "no agent tells them"}
    lines = {"owner": f"{agent.get('owner', 'unknown')}, epoch {agent.get('epoch') or 'unknown'}"}
    if agent.get("introduced"):
        lines["client, by its edge"] = agent["introduced"]
    if agent.get("ends_in_seconds") is not None:
        lines["ends"] = f"in {agent['ends_in_seconds']:.1f} s: its transceiver said goodbye"
    lines["mirror"] = _mirror(agent)
    return lines


def _mirror(agent: dict[str, Any]) -> str:
    if not agent.get("has_mirror"):
        return "none"
    if "trouble" in agent:
        return str(agent["trouble"])
    record = agent.get("record")
    if record is None:
        return "Redis has no record of this client"
    written = datetime.fromtimestamp(record["time"], UTC).isoformat(timespec="seconds")
    other = (
        ""
        if record["is_this_flow"]
        else (f", of another flow: {record['upstream']} to {record['transceiver']}")
    )
    return f"{record['key']}, epoch {record['epoch']} of {record['owner']}, {written}{other}"


def _direction(way: str, counted: dict[str, Any]) -> dict[str, str]:
    return {
        "direction": way.replace("_", " "),
        "packets": f"{counted['packets']:,}",
        "bytes": f"{counted['bytes']:,}",
        "by kernel": f"{counted['kernel_packets']:,}",
        "by agent": f"{counted['userspace_packets']:,}",
        "packets/s": f"{counted.get('packet_rate', 0):,.1f}",
        "bits/s": f"{counted.get('bit_rate', 0):,}",
    }
