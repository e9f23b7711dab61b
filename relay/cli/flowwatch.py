"""What `icelane flows watch` prints: a line for each event, as it happens."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from relay.admin.flowfilter import FlowFilter
from relay.admin.place import default_path
from relay.admin.question import answers, ask
from relay.cli.output import flush
from relay.errors import AdminError

_WIDTH = len("confirmed")


def print_events(
    instance: str, admin: Path | None, wanted: FlowFilter, *, count: int, as_json: bool
) -> None:
    """Print what happens to flows, so many events, or for ever.

    Raises:
        AdminError: No agent answers, or it ends.
    """
    path = admin or default_path(instance)
    ask(path, "used")  # one that hangs is told of at once
    for event in islice(_events(path, wanted), count or None):
        typer.echo(json.dumps(event) if as_json else in_words(event))
        flush()


def _events(path: Path, wanted: FlowFilter) -> Iterator[Mapping[str, Any]]:
    began = False
    try:
        for piece in answers(path, "watch", None, filter=dict(wanted.texts)):
            if piece["event"] == "watching":
                began = True
                continue
            yield {name: value for name, value in piece.items() if name != "more"}
    except AdminError:
        if began:
            raise AdminError(f"the agent at {path} has ended") from None
        raise


def in_words(event: Mapping[str, Any]) -> str:
    """An event as a line, in this host's time."""
    if event["event"] == "missed":
        return f"{event['count']:,} events were missed: they came faster than they were read"
    moment = datetime.fromtimestamp(event["time"]).astimezone()
    where = (
        f"{event['client']} ({event['transport']}) -> {event['vip']}, "
        f"{event['upstream']} -> {event['transceiver']}"
    )
    why = f": {event['reason']}, after {event['age_seconds']:.1f} s" if "reason" in event else ""
    time = moment.strftime("%H:%M:%S.%f")[:-3]
    return f"{time} {event['event']:{_WIDTH}} {event['id']} {where}{why}"
