"""Where a listing's flows come from: the agent, or the pinned maps where none answers."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from relay.admin.flowentry import FlowEntry
from relay.admin.flowfilter import FlowFilter
from relay.admin.place import default_path, is_somebody
from relay.admin.question import answers, ask
from relay.errors import AdminError, DataplaneError

PATIENCE = 2.0  # seconds for an agent to say that it is there
SECONDS = 30.0  # for each piece of its answer
BATCH = 256  # flows that are read from the maps in one go


class Batch(NamedTuple):
    """Some flows, as they were at a moment.

    Attributes:
        now: The moment, in seconds of the monotonic clock.
        entries: The flows.
    """

    now: float
    entries: list[FlowEntry]


class AgentFlows:
    """Those that an agent tells.

    Args:
        path: Its admin socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def batches(self, wanted: FlowFilter) -> Iterator[Batch]:
        """The flows that a filter has, as they are told.

        Raises:
            AdminError: It does not answer, or says nonsense.
        """
        for piece in answers(self.path, "flows", SECONDS, filter=dict(wanted.texts)):
            try:
                entries = [FlowEntry.from_wire(each) for each in piece.get("entries", ())]
            except (TypeError, ValueError):
                raise AdminError(f"the agent at {self.path} is of another version") from None
            if entries:
                yield Batch(piece["now"], entries)


class PinnedFlows:
    """Those in pinned maps.

    Args:
        instance: The relay.
        note: Why no agent was asked, if one might have been; else empty.
    """

    def __init__(self, instance: str, note: str = "") -> None:
        self.instance = instance
        self.note = note

    def batches(self, wanted: FlowFilter) -> Iterator[Batch]:
        """The flows that a filter has, as they are found.

        Raises:
            DataplaneError: It is not loaded, or this is not root.
        """
        from relay.dataplane.kernel.flowtable import FlowTable  # noqa: PLC0415  # 20 ms
        from relay.dataplane.kernel.pins import Pins  # noqa: PLC0415

        table = FlowTable(Pins(self.instance))
        try:
            records = map(FlowEntry.of_record, table.records())
            while some := list(islice(records, BATCH)):
                now = time.monotonic()
                if entries := [each for each in some if wanted.has(each, now)]:
                    yield Batch(now, entries)
        finally:
            table.close()


def find_flows(instance: str, admin: Path | None) -> AgentFlows | PinnedFlows:
    """Who tells the flows of a relay.

    Raises:
        DataplaneError: There is neither an agent nor a loaded program.
    """
    path = admin or default_path(instance)
    try:
        ask(path, "used", PATIENCE)
    except AdminError as error:
        no_agent = str(error)
    else:
        return AgentFlows(path)
    try:
        _require_loaded(instance)
    except DataplaneError as error:
        raise DataplaneError(f"{no_agent}; and no program: {error}") from None
    return PinnedFlows(instance, no_agent if is_somebody(path) else "")


def _require_loaded(instance: str) -> None:
    from relay.dataplane.kernel.pinnedmap import not_loaded  # noqa: PLC0415
    from relay.dataplane.kernel.pins import Pins  # noqa: PLC0415

    pins = Pins(instance)
    try:
        loaded = pins.loaded()
    except PermissionError:
        raise DataplaneError(f"reading {pins.directory} needs root.") from None
    if not loaded:
        raise not_loaded(instance)
