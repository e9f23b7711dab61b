"""Bounds and times of the session table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and times of the session table.

    Attributes:
        flows: The most confirmed flows.
        pending: The most pending flows.
        pending_per_route: The most pending flows of one ufrag: a client checks from a few
            addresses, a sniffer who replays it from many.
        pending_life: How long a pending flow lives after its last request, in seconds; Chromium
            checks at most 2.5 s apart.
        idle: How long a confirmed flow lives after the transceiver's last packet, in seconds;
            at least 120 (RFC 4787 REQ-5).
        store_every: How often a live flow is written to the mirror again, in seconds.
        stores: The most flows written again in one sweep: more at once would overflow the mirror's
            queue, and keep datagrams waiting.
    """

    flows: int = 65_536
    pending: int = 4_096
    pending_per_route: int = 8
    pending_life: float = 10.0
    idle: float = 300.0
    store_every: float = 100.0
    stores: int = 5_000
