"""The ids of a call's trace, which every service makes of the route alike, and W3C's headers.

A relay sees a call's ufrag and nothing else that names the call, and an answer has no room for
more. So the ids are a hash of the route in the ufrag: whoever has the ufrag has them, without a
word to anybody. Who has the ids does not have the ufrag, of which 96 bits are nonce and tag.

The headers are those of Trace Context (https://www.w3.org/TR/trace-context/).
"""

import hashlib
import re
from typing import NamedTuple, Self

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
#: The member of `tracestate` by which signaling says that the trace will be that of the ufrag.
RENAMED = "icelane=ufrag"

TRACE_ID_SIZE, SPAN_ID_SIZE = 16, 8  # bytes
_LABEL = b"icelane trace\0"
# Later versions may have more behind a further dash; ff is none (section 3.2.2.1).
_WRITTEN = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-[0-9a-f]{2}(?P<more>-.*)?",
    re.ASCII,
)
_SAMPLED = "01"
_MAX_HEADER = 512  # characters, which is what has to be passed on of a tracestate


class TraceContext(NamedTuple):
    """A span, as others name it.

    Attributes:
        trace_id: 16 bytes, not all zero.
        span_id: 8 bytes, not all zero.
    """

    trace_id: bytes
    span_id: bytes

    @classmethod
    def of_route(cls, route: bytes) -> Self:
        """The first span of the set-up of a call, and so its trace.

        Args:
            route: The route in the call's ufrag, 21 bytes.
        """
        digest = hashlib.sha256(_LABEL + route).digest()
        return cls(digest[:TRACE_ID_SIZE], digest[TRACE_ID_SIZE : TRACE_ID_SIZE + SPAN_ID_SIZE])

    @classmethod
    def parse(cls, header: str | None) -> Self | None:
        """Read a `traceparent`; None where there is none, or no valid one (section 3.2)."""
        if header is None or len(header) > _MAX_HEADER:
            return None
        found = _WRITTEN.fullmatch(header)
        if found is None or (found["version"] == "00" and found["more"]):
            return None
        context = cls(bytes.fromhex(found["trace"]), bytes.fromhex(found["span"]))
        return context if any(context.trace_id) and any(context.span_id) else None

    @property
    def header(self) -> str:
        """It as a `traceparent`, of a span that is recorded."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-{_SAMPLED}"


def is_renamed(tracestate: str | None) -> bool:
    """Whether who sent a `tracestate` gives its spans the ids of the ufrag, too."""
    members = (tracestate or "")[:_MAX_HEADER].split(",")
    return any(member.strip(" \t") == RENAMED for member in members)


def is_sampled(trace_id: bytes, ratio: float) -> bool:
    """Whether a trace is one of those that are recorded; the same wherever the ratio is.

    Args:
        trace_id: The trace.
        ratio: The share of traces, from 0 to 1, as OpenTelemetry's TraceIdRatioBased sampler has
            it.
    """
    return int.from_bytes(trace_id[8:]) < round(ratio * 2**64)
