"""Calls as people read them: what transceivers, and the relay's flows, know of each. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from relay.wire.route import Target
from signaling.callid import join_call_id

Record = Mapping[str, Any]


class Place(NamedTuple):
    """A transceiver that can be asked.

    Attributes:
        target: Its cluster, slot and generation.
        control: The URL of its control API.
    """

    target: Target
    control: str


def joined(
    sessions: Iterable[tuple[Place, Record]], flows: Sequence[Record]
) -> list[dict[str, Any]]:
    """A record for each call, the youngest first.

    Args:
        sessions: What transceivers tell, each with its transceiver.
        flows: The relay's, as `icelane flows --json` has them.
    """
    by_client = {(flow["client"], flow["target"]): flow for flow in flows}
    calls = [_call(place, session, by_client) for place, session in sessions]
    return sorted(calls, key=lambda call: call["age_seconds"])


def _call(place: Place, session: Record, flows: Mapping[tuple[str, str], Record]) -> dict[str, Any]:
    flow = flows.get((session["client"], str(place.target)))
    return {
        "id": join_call_id(place.target, session["id"]),
        **{name: value for name, value in session.items() if name != "id"},
        "transceiver": str(place.target),
        "flow": None if flow is None else dict(flow),
    }


def row(call: Record) -> dict[str, str]:
    """A call in a line of a table."""
    audio, rtp = call["audio"], call["rtp"]
    round_trip, share = audio.get("round_trip"), audio.get("concealed_share")
    return {
        "id": call["id"],
        "state": call["state"],
        "age": f"{call['age_seconds']:,.0f} s",
        "principal": call["principal"] or "-",
        "model": call["model"] or "-",
        "client": _client(call),
        "transceiver": call["transceiver"],
        "flow": _flow(call["flow"]),
        "lost": f"{rtp['lost']}",
        "concealed": "-" if share is None else f"{share:.1%}",
        "round trip": "-" if round_trip is None else f"{1000 * round_trip:.0f} ms",
    }


def _client(call: Record) -> str:
    address = call["client"] or call["path"] or "-"
    return f"{address} ({call['region']})" if call["region"] else str(address)


def _flow(flow: Record | None) -> str:
    if flow is None:
        return "-"
    packets = flow["to_transceiver"]["packets"] + flow["to_client"]["packets"]
    return f"{flow['state']}, {packets:,} packets"


def lines(call: Record) -> list[tuple[str, str]]:
    """All that is known of a call: names and values, those of records in records with dots."""
    return [(name, "-" if value is None else str(value)) for name, value in _flat("", call)]


def _flat(prefix: str, record: Record) -> Iterable[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value
