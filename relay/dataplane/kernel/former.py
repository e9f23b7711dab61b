"""The flows of an instance that an earlier version loaded: they move into this version's table.

That version had a hash for IPv4 and one for all other flows, with an entry for each direction: the
tuple that packets arrive with, and the one they leave with.
"""

import sys
from collections.abc import Iterator
from contextlib import closing

from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import Activity, FlowRecord
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError
from relay.wire.endpoint import V4_MAPPED

_HASHES = "flows4", "flows"
_OTHERS = "vips", "upstreams"  # what else only that version had
_TO_TRANSCEIVER = 1  # its enum direction
_NANOSECOND = 1e-9


class FormerFlows:
    """The flows that an earlier version's program forwards.

    Args:
        pins: The instance.
    """

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._refused: dict[FlowTuple, str] = {}

    def are_there(self) -> bool:
        """Whether an earlier version loaded the instance."""
        return all(self._pins.map(name).exists() for name in _HASHES)

    def convert(self) -> None:
        """Install them in this version's table, with what they have counted; again is fine."""
        if not self.are_there():
            return
        with closing(FlowTable(self._pins)) as table:
            for record in self._records():
                try:
                    table.take_over(record)
                except DataplaneError as error:
                    self._refused[record.flow] = str(error)

    def finish(self) -> list[str]:
        """Install those that came meanwhile, and let go of the old maps.

        Called when the new program runs.

        Returns:
            What the administrator should know.
        """
        if not self.are_there():
            return []
        self.convert()
        for name in (*_HASHES, *_OTHERS):
            self._pins.map(name).unlink(missing_ok=True)
        if not self._refused:
            return []
        reason = next(iter(self._refused.values()))
        count = len(self._refused)
        return [f"{count} flows of the earlier version were not taken over. {reason}"]

    def _records(self) -> Iterator[FlowRecord]:
        for name in _HASHES:
            with self._pins.opened(name) as opened:
                yield from _Hash(opened).records()


class _Hash:
    """One of the hashes.

    Args:
        opened: The map.

    Raises:
        DataplaneError: It has none of the known fields.
    """

    def __init__(self, opened: PinnedMap) -> None:
        self._map = opened
        key, value = opened.key.spans, opened.value.spans
        word = "" if "src" in key else ".word"
        try:
            self._key = [key[f"src{word}"], key["src_port"], key[f"dst{word}"], key["dst_port"]]
            self._rewrite = [
                value[f"rewrite.{name}"]
                for name in (f"src{word}", "src_port", f"dst{word}", "dst_port")
            ]
            self._counts = [value[f"state.{name}"] for name in ("packets", "bytes", "last_seen_ns")]
            self._direction, self._route = value["state.direction"], value["state.route"]
        except KeyError as missing:
            raise DataplaneError(
                f"The running program's map {opened.info.name} has no field {missing}: it is of an "
                "unknown version. Its flows go with it: at a quiet time, unload the instance with "
                "`icelane relay unload`, and load again."
            ) from None

    def records(self) -> Iterator[FlowRecord]:
        """Its flows, each once."""
        for key, value in self._map.items():
            if value[self._direction][0] != _TO_TRANSCEIVER:
                continue
            client, vip = _ends(key, self._key)
            upstream, transceiver = _ends(value, self._rewrite)
            flow = FlowTuple.of(client, vip, upstream, transceiver, value[self._route])
            back = self._map.lookup(self._packed(transceiver, upstream)) or bytes(len(value))
            yield FlowRecord(flow, self._activity(value), self._activity(back))

    def _packed(self, source: bytes, target: bytes) -> bytes:
        packed = bytearray(self._map.key.size)
        src, src_port, dst, dst_port = self._key
        size = src.stop - src.start
        packed[src], packed[src_port] = source[16 - size : 16], source[16:]
        packed[dst], packed[dst_port] = target[16 - size : 16], target[16:]
        return bytes(packed)

    def _activity(self, value: bytes) -> Activity:
        packets, size, seen = (int.from_bytes(value[span], sys.byteorder) for span in self._counts)
        return Activity(packets, size, seen * _NANOSECOND)


def _ends(data: bytes, spans: list[slice]) -> tuple[bytes, bytes]:
    """Both ends of a tuple, each as `Endpoint.packed`."""
    source, source_port, target, target_port = (data[span] for span in spans)
    return (V4_MAPPED + source)[-16:] + source_port, (V4_MAPPED + target)[-16:] + target_port
