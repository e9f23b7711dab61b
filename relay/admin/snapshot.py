"""What a relay does right now, as its agent tells it, or its pinned maps where no agent runs."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.admin.listing import list_record
from relay.admin.place import default_path
from relay.admin.transport import ask
from relay.dataplane.xdp import XdpDataplane
from relay.errors import AdminError, DataplaneError


def take_snapshot(instance: str, admin: Path | None) -> Mapping[str, Any]:
    """A snapshot with the keys agent (whether one runs), dataplane, flows and two sets of counters.

    Raises:
        DataplaneError: There is neither an agent nor a loaded program of this instance.
    """
    path = admin or default_path(instance)
    try:
        return {"agent": True} | ask(path, "status")
    except AdminError as error:
        no_agent = error
    try:
        dataplane = XdpDataplane(instance)
    except DataplaneError as error:
        raise DataplaneError(f"{no_agent}; and no program: {error}") from None
    now = time.monotonic()
    try:
        return {
            "agent": False,
            "instance": instance,
            "dataplane": dataplane.name,
            "counters": {},
            "dataplane_counters": dataplane.counters(),
            "flows": [list_record(each, now) for each in dataplane.flows()],
        }
    finally:
        dataplane.close()
