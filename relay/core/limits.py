"""Bounds and times of the session table, and of clients' connections."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and times of the session table.

    Attributes:
        flows: The most confirmed flows.
        pending: The most pending flows.
        pending_per_route: The most pending flows of one ufrag: a client checks from a few
            addresses, a sniffer who replays it from many.
        pending_per_prefix: The most pending flows of clients in one /24 of IPv4 or /48 of IPv6.
        pending_remote: The most pending flows towards clusters elsewhere, whose tags nobody has
            verified; they take nobody else's places.
        pending_life: How long a pending flow lives after its last request, in seconds; Chromium
            checks at most 2.5 s apart.
        pending_longest: How long a pending flow lives at all, in seconds: as long as clients
            try at most before they give up.
        replacements: How many pending flows of one ufrag a second give way to others, while all
            of its places are taken. With more, a place is taken again before an answer has come;
            with fewer, the client seldom gets one: at this number each of eight lasts for 20 ms.
        flows_per_route: The most flows of one ufrag, confirmed ones among them: a client that
            moves between networks leaves some behind.
        address_kept: For how long a client must have been silent before another session may have
            its address, in seconds: three times what clients let pass between two checks of
            consent (RFC 7675, section 5.1).
        goodbye_grace: How long a flow goes on after its transceiver has said goodbye, in
            seconds: for what is still under way, such as the client's own goodbye.
        idle: How long a confirmed flow lives after the transceiver's last packet, in seconds;
            at least 120 (RFC 4787 REQ-5).
        store_every: How often a live flow is written to the mirror again, in seconds.
        claim_every: How often it is tried to write a flow that the mirror does not have as this
            relay's, in seconds: it may have been away.
        stores: The most flows written again in one sweep: more at once would overflow the mirror's
            queue, and keep datagrams waiting.
    """

    flows: int = 65_536
    pending: int = 4_096
    pending_per_route: int = 8
    pending_per_prefix: int = 512
    pending_remote: int = 1_024
    pending_life: float = 10.0
    pending_longest: float = 30.0
    replacements: float = 400.0
    flows_per_route: int = 32
    address_kept: float = 15.0
    goodbye_grace: float = 1.0
    idle: float = 300.0
    store_every: float = 100.0
    claim_every: float = 10.0
    stores: int = 5_000


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds and times of clients' TCP connections.

    Attributes:
        connections: The most connections. Forwarding for more than a thousand callers in userspace
            is beyond what one process can do.
        per_prefix: The most from one /24 of IPv4 or one /48 of IPv6; a company's network has all of
            its people behind one address.
        first_frame: How long a new connection may take to send its first frame, in seconds, and
            to complete any later one that it has begun; a client sends each at once.
        idle: How long a connection lives after its client's last frame, in seconds. A client checks
            consent at least every 30 s (RFC 7675), and a caller without checks sends media.
        longest: The longest datagram to take from a client, in bytes; WebRTC's fit into an
            Ethernet frame.
        unsent: How much may wait to be sent to a client, in bytes, beside what the kernel holds:
            a second of voice. What comes beyond is late anyway, and is dropped.
    """

    connections: int = 1024
    per_prefix: int = 256
    first_frame: float = 5.0
    idle: float = 60.0
    longest: int = 2048
    unsent: int = 16_384
