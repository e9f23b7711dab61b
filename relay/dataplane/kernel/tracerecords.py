"""What the program of a trace writes of a packet (struct trace_record of bpf/relay.h); pure."""

import sys
from typing import NamedTuple

from relay.dataplane.kernel.btf import Layout
from relay.wire.endpoint import Endpoint

UNKNOWN = "unknown"  # the program was just being replaced
VERDICTS = "pass", "drop", "forward"  # enum verdict
_TO_CLIENT = 2  # enum direction
_CLIENT = "client.word", "client_port"
_PREFIX = "record."  # of struct trace_held, whose type the kernel keeps: it keeps none of a queue's


class TraceRecord(NamedTuple):
    """A packet of a client, and what became of it.

    Attributes:
        time: Seconds of CLOCK_MONOTONIC.
        client: The client; its port is 0 where the packet does not tell.
        to_client: Whether it came from the client's transceiver.
        verdict: ``pass``, ``drop``, ``forward``, or ``unknown``.
        reason: What it was counted as, see docs/verdicts.md; or ``unknown``.
        frame_length: Its bytes on the wire, with the Ethernet header.
        frame: The first of them, as they came in.
    """

    time: float
    client: Endpoint
    to_client: bool
    verdict: str
    reason: str
    frame_length: int
    frame: bytes


class RecordReader:
    """Reads records.

    Args:
        held: The layout of struct trace_held.
        counters: That of struct counters, whose fields are the reasons.
    """

    def __init__(self, held: Layout, counters: Layout) -> None:
        self._spans = {
            leaf.path.removeprefix(_PREFIX): leaf.span
            for leaf in held.leaves
            if leaf.path.startswith(_PREFIX)
        }
        self._reasons = reasons(counters)
        self.size = max(span.stop for span in self._spans.values())

    def read(self, raw: bytes) -> TraceRecord:
        """A record of the bytes that the program has written."""
        reason, frame = self._number(raw, "reason"), raw[self._spans["frame"]]
        known = reason < len(self._reasons)
        return TraceRecord(
            time=self._number(raw, "time_ns") / 1e9,
            client=Endpoint.unpack(b"".join(raw[self._spans[name]] for name in _CLIENT)),
            to_client=self._number(raw, "direction") == _TO_CLIENT,
            verdict=VERDICTS[self._number(raw, "verdict")] if known else UNKNOWN,
            reason=self._reasons[reason] if known else UNKNOWN,
            frame_length=self._number(raw, "frame_length"),
            frame=frame[: self._number(raw, "kept")],
        )

    def _number(self, raw: bytes, name: str) -> int:
        return int.from_bytes(raw[self._spans[name]], sys.byteorder)


def reasons(counters: Layout) -> list[str]:
    """The names of the reasons, by their numbers."""
    return [leaf.path for leaf in counters.leaves]
