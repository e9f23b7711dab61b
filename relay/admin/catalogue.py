"""The metrics of a relay, and which of its counters are what; free of IO."""

from collections.abc import Iterator, Mapping

from relay.metrics import Kind, Metric

KERNEL, USERSPACE = "xdp", "userspace"
TO_TRANSCEIVER, TO_CLIENT = "to_transceiver", "to_client"

#: What the XDP program drops, and what is lost after it; bpf/relay.h has the first ones.
KERNEL_DROPS = (
    *("group_mac", "zero_length", "zero_checksum", "zero_port", "ttl_expired", "wrong_side"),
    *("stun_malformed", "stun_not_request", "stun_no_route", "stun_unknown_key", "stun_forged"),
    *("not_webrtc", "stun_ufrag_limited", "stun_prefix_limited", "stun_routed_limited"),
    *("stun_remote_limited", "stun_answer_limited"),
    *("unknown_client_limited", "unknown_transceiver_limited"),
    *("fragment_limited", "extension_headers_limited", "redirect_failed", "transmit_dropped"),
)
#: Datagrams that the agent did not pass on.
AGENT_DROPS = (
    *("unknown_source", "control_from_client", "pending_not_stun", "unsupported_source"),
    *("malformed_stun", "bad_route", "zero_port", "stun_ufrag_limited", "stun_prefix_limited"),
    *("stun_routed_limited", "route_expired", "no_transceiver", "no_upstream_port", "route_full"),
    *("pending_per_route_full", "pending_per_prefix_full", "pending_full", "refused_full"),
    *("stun_remote_limited", "not_introduced", "introduction_forged", "introduction_old"),
    *("introduction_of_another", "goodbye_of_another"),
    *("unknown_upstream", "group_mac", "zero_length", "ttl_expired", "wrong_side", "own_source"),
    *("goodbye_forged", "question_limited", "answer_forged", "answer_to_nothing"),
    *("icmp_malformed", "icmp_unknown_flow", "icmp_limited", "icmp_untranslatable"),
)
#: And what the kernel did not send or take, by its error.
SEND_FAILED = "send_failed_"
#: The agent's counters of what it has forwarded.
FORWARDED = {
    TO_TRANSCEIVER: ("forwarded_to_transceivers", "bytes_to_transceivers"),
    TO_CLIENT: ("forwarded_to_clients", "bytes_to_clients"),
}
KERNEL_FORWARDED = {
    TO_TRANSCEIVER: "forwarded_to_transceiver",
    TO_CLIENT: "forwarded_to_client",
}
#: Those of what came to it, by who sent it.
RECEIVED_FROM = {"clients": "received_from_clients", "transceivers": "received_from_transceivers"}
_COUNTED_ELSEWHERE = {
    *RECEIVED_FROM.values(),
    *(name for names in FORWARDED.values() for name in names),
}


def is_drop(name: str) -> bool:
    """Whether one of the agent's counters is of datagrams that it did not pass on."""
    return name in AGENT_DROPS or name.startswith(SEND_FAILED)


def events(counters: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Those of the agent's counters that are neither of datagrams nor of bytes, but of events."""
    for name, count in counters.items():
        if name not in _COUNTED_ELSEWHERE and not is_drop(name):
            yield name, count


PACKETS = Metric(
    "icelane_relay_packets_total",
    Kind.COUNTER,
    "Packets that were forwarded, by what did so and where to.",
    ("dataplane", "direction"),
)
BYTES = Metric(
    "icelane_relay_bytes_total",
    Kind.COUNTER,
    "Bytes of UDP payload that were forwarded; the kernel's since the agent was started.",
    ("dataplane", "direction"),
)
DROPPED = Metric(
    "icelane_relay_dropped_packets_total",
    Kind.COUNTER,
    "Packets for the relay that were not passed on, by who dropped them and why.",
    ("dataplane", "reason"),
)
RECEIVED = Metric(
    "icelane_relay_agent_received_packets_total",
    Kind.COUNTER,
    "Datagrams that reached the agent: all in userspace, and what the kernel passes up.",
    ("source",),
)
VERDICTS = Metric(
    "icelane_relay_kernel_packets_total",
    Kind.COUNTER,
    "Packets of the XDP program by verdict; see verdicts.md.",
    ("reason",),
)
EVENTS = Metric(
    "icelane_relay_events_total",
    Kind.COUNTER,
    "What happened to flows, to the mirror and to connections, as the agent counts it.",
    ("event",),
)
FLOWS = Metric("icelane_relay_flows", Kind.GAUGE, "Flows by state.", ("state",))
SETUP = Metric(
    "icelane_relay_setup_seconds",
    Kind.HISTOGRAM,
    "From a flow's first check to the transceiver's answer that confirmed it.",
)
USED = Metric(
    "icelane_relay_used",
    Kind.GAUGE,
    "Flows, pending flows, upstream ports (one that rests is), and flows in the kernel in use.",
    ("of",),
)
LIMIT = Metric("icelane_relay_limit", Kind.GAUGE, "How many of each there are, or may be.", ("of",))
CHANGES = Metric(
    "icelane_relay_network_changes_total",
    Kind.COUNTER,
    "Changes to the host's network after which all flows asked the FIB again, by kind.",
    ("kind",),
)
MIRROR_LAG = Metric(
    "icelane_relay_mirror_lag_seconds",
    Kind.GAUGE,
    "How far Redis is behind this relay's flows; absent without Redis.",
)
MIRROR_QUEUE = Metric(
    "icelane_relay_mirror_queue_length",
    Kind.GAUGE,
    "Requests that wait to be written to Redis, of 20,000; absent without Redis.",
)
DATAPLANE = Metric(
    "icelane_relay_dataplane", Kind.GAUGE, "1 for the dataplane that forwards now.", ("name",)
)
READY = Metric("icelane_relay_ready", Kind.GAUGE, "1 where new clients may come, as /readyz says.")
CLOCK = Metric(
    "icelane_relay_clock_ahead_seconds",
    Kind.GAUGE,
    "How far this machine's clock is ahead of most others' in the registry.",
)
WORKING = Metric(
    "icelane_relay_task_working",
    Kind.GAUGE,
    "1 for a background task that works, 0 for one that fails, or whose file or Redis does.",
    ("task",),
)
FAILURES = Metric(
    "icelane_relay_task_failures_total",
    Kind.COUNTER,
    "Exceptions that nobody expected, by task or other place: each is a bug.",
    ("task",),
)
LOOP_TURNS = Metric(
    "icelane_relay_loop_turn_seconds",
    Kind.HISTOGRAM,
    "Turns of the agent's event loop: for so long it served nothing else.",
)

METRICS = (
    *(PACKETS, BYTES, DROPPED, RECEIVED, VERDICTS, EVENTS, FLOWS, SETUP, USED, LIMIT, CHANGES),
    *(MIRROR_LAG, MIRROR_QUEUE, DATAPLANE, READY, CLOCK, WORKING, FAILURES, LOOP_TURNS),
)
