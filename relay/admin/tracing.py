"""What `icelane trace` tells of packets: as objects, as lines, and in sum; pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from relay.dataplane.kernel.tracerecords import TraceRecord
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint, canonical_host
from relay.wire.errors import EndpointError
from relay.wire.frame import Datagram, read_frame
from relay.wire.packetkind import kind_of

_KIND = len("STUN indication")
_VERDICT = len("forward")


def parse_client(text: str) -> Endpoint:
    """The client that is meant: an address, or one with its port; without one, that is 0.

    Raises:
        ConfigError: It is neither.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return Endpoint(canonical_host(bare), 0)
    except EndpointError:
        pass
    try:
        return Endpoint.parse(text)
    except EndpointError:
        raise ConfigError(
            f"CLIENT {text!r}: write an address, such as 203.0.113.2 or 2001:db8::2, or one with "
            "its port, such as 203.0.113.2:40000 or [2001:db8::2]:40000"
        ) from None


def in_full(client: Endpoint) -> str:
    """A client, for people: without its port, where that is 0."""
    return str(client) if client.port else client.host


def as_object(record: TraceRecord, epoch: float) -> dict[str, Any]:
    """A packet, for programs.

    Args:
        record: The packet.
        epoch: The Unix time at which the monotonic clock was 0.
    """
    found = read_frame(record.frame)
    return {
        "event": "packet",
        "time": round(record.time + epoch, 6),
        "direction": "out" if record.to_client else "in",
        "client": in_full(record.client),
        "source": in_full(found.source) if found else None,
        "target": in_full(found.target) if found else None,
        "kind": _kind(found),
        "bytes": found.size if found else record.frame_length,
        "verdict": record.verdict,
        "reason": record.reason,
    }


def _kind(found: Datagram | None) -> str:
    if found is None:
        return "other"
    return kind_of(found.payload) if found.is_whole else "fragment"


def in_words(packet: Mapping[str, Any]) -> str:
    """A packet as a line, in this host's time."""
    moment = datetime.fromtimestamp(packet["time"]).astimezone()
    out = packet["direction"] == "out"
    other = packet["source"] if out else packet["target"]
    return (
        f"{moment:%H:%M:%S.%f} {packet['direction']:3} {packet['client']} {'<-' if out else '->'} "
        f"{other or '?'}  {packet['kind']:{_KIND}} {packet['bytes']:5} B  "
        f"{packet['verdict']:{_VERDICT}} {packet['reason']}"
    )


class Missed(NamedTuple):
    """Packets that were not told.

    Attributes:
        limited: They were too many a second.
        full: They came faster than they were read.
    """

    limited: int = 0
    full: int = 0

    def since(self, before: "Missed") -> "Missed":
        """Those that were not told after `before`."""
        return Missed(self.limited - before.limited, self.full - before.full)

    def in_words(self, rate: float) -> str:
        """For people; empty when none was.

        Args:
            rate: How many a second are told at most.
        """
        reasons = [
            f"{self.limited:,} beyond {rate:,.0f} a second" if self.limited else "",
            f"{self.full:,} came faster than they were read" if self.full else "",
        ]
        told = ", ".join(filter(None, reasons))
        return f"{sum(self):,} packets are not shown: {told}" if told else ""


class Summary(NamedTuple):
    """What was seen of a client.

    Attributes:
        client: The client; port 0: whatever its port.
        seconds: For how long.
        counts: Packets by verdict and reason, shown or not.
        shown: How many of them were.
        missed: How many were not.
    """

    client: Endpoint
    seconds: float
    counts: Mapping[tuple[str, str], int]
    shown: int
    missed: Missed

    def as_object(self) -> dict[str, Any]:
        """It, for programs."""
        return {
            "event": "summary",
            "client": in_full(self.client),
            "seconds": round(self.seconds, 3),
            "packets": sum(self.counts.values()),
            "shown": self.shown,
            "limited": self.missed.limited,
            "full": self.missed.full,
            "reasons": [
                {"reason": reason, "verdict": verdict, "packets": number}
                for (verdict, reason), number in self._sorted()
            ],
        }

    def in_words(self, rate: float) -> Iterator[str]:
        """It, as lines.

        Args:
            rate: How many a second are told at most.
        """
        total = sum(self.counts.values())
        yield f"{total:,} packets of {in_full(self.client)} in {self.seconds:.1f} s"
        for (verdict, reason), number in self._sorted():
            yield f"{number:9,}  {verdict:{_VERDICT}} {reason}"
        if text := self.missed.in_words(rate):
            yield text

    def _sorted(self) -> list[tuple[tuple[str, str], int]]:
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
