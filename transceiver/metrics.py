"""The metrics of a transceiver, and where each comes from."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping

from relay.metrics import Kind, Measured, Metric, alone
from transceiver.bridge.latency import Latencies
from transceiver.calls import Calls
from transceiver.endings import ENDINGS
from transceiver.media.delay import RATE
from transceiver.mux import Mux

_STATES = ("new", "connected")

SESSIONS = Metric(
    "icelane_transceiver_sessions", Kind.GAUGE, "Calls that there are, by state.", ("state",)
)
TAKEN = Metric(
    "icelane_transceiver_places_taken",
    Kind.GAUGE,
    "Places of calls and other sessions that nobody else would get now.",
)
CAPACITY = Metric("icelane_transceiver_capacity", Kind.GAUGE, "The most sessions at a time.")
DRAINING = Metric(
    "icelane_transceiver_draining", Kind.GAUGE, "1 while no new calls are taken, as it is to end."
)
BEHIND = Metric(
    "icelane_transceiver_behind",
    Kind.GAUGE,
    "1 while no new calls are taken, as it has more to do than its processor bears.",
)
BEGUN = Metric("icelane_transceiver_calls_total", Kind.COUNTER, "Calls that were answered.")
ENDED = Metric(
    "icelane_transceiver_calls_ended_total", Kind.COUNTER, "Calls that ended, by why.", ("reason",)
)
ERRORS = Metric(
    "icelane_transceiver_control_errors_total",
    Kind.COUNTER,
    "Requests of signaling that were refused, by code: of offers what is wrong with them.",
    ("code",),
)
SETUP = Metric(
    "icelane_transceiver_setup_seconds",
    Kind.HISTOGRAM,
    "From a call's offer to each step of its set-up.",
    ("step",),
)
PACKETS = Metric(
    "icelane_transceiver_rtp_packets_total",
    Kind.COUNTER,
    "RTP packets that came from clients, and that were sent to them.",
    ("direction",),
)
LOST = Metric(
    "icelane_transceiver_rtp_lost_packets_total",
    Kind.COUNTER,
    "RTP packets of clients that never came, and of ours that they say they miss.",
    ("direction",),
)
RESENT = Metric(
    "icelane_transceiver_rtp_resent_packets_total",
    Kind.COUNTER,
    "RTP packets that were sent again, as clients asked for them.",
)
LATE = Metric(
    "icelane_transceiver_rtp_late_packets_total",
    Kind.COUNTER,
    "RTP packets of clients that came after their turn to be heard.",
)
CONCEALED = Metric(
    "icelane_transceiver_concealed_seconds_total",
    Kind.COUNTER,
    "Sound of clients that was missing and made up; divide its rate by the connected sessions.",
)
RECOVERED = Metric(
    "icelane_transceiver_recovered_seconds_total",
    Kind.COUNTER,
    "Sound of clients that was lost and came back by forward error correction.",
)
ROUND_TRIP = Metric(
    "icelane_transceiver_round_trip_seconds",
    Kind.HISTOGRAM,
    "To clients and back, by their reports; of each call once in about 5 seconds.",
)
JITTER = Metric(
    "icelane_transceiver_jitter_seconds",
    Kind.HISTOGRAM,
    "Interarrival jitter (RFC 3550), here and at clients; of each call once in about 5 seconds.",
    ("direction",),
)
PLAYOUT = Metric(
    "icelane_transceiver_playout_delay_seconds",
    Kind.HISTOGRAM,
    "How long clients' sound waits before it is heard; of each call once in about 5 seconds.",
)
RESPONSE = Metric(
    "icelane_transceiver_backend_response_seconds",
    Kind.HISTOGRAM,
    "From when a back end says that a response begins to its first sound.",
    ("backend",),
)
TURN = Metric(
    "icelane_transceiver_conversation_turn_seconds",
    Kind.HISTOGRAM,
    "From when a back end says that the client stopped speaking to when its answer is played.",
    ("backend",),
)
BACKEND_LOST = Metric(
    "icelane_transceiver_backend_losses_total",
    Kind.COUNTER,
    "Connections to a back end that ended while a call needed them, or could not be made.",
    ("backend",),
)
LATENESS = Metric(
    "icelane_transceiver_frame_lateness_seconds",
    Kind.HISTOGRAM,
    "From when a frame was due to when it was sent: over 20 ms the process has too many calls.",
)
WAITS = Metric(
    "icelane_transceiver_receive_wait_seconds",
    Kind.HISTOGRAM,
    "From when datagrams came to this machine to when they were read, the oldest of each batch.",
)
SKIPPED = Metric(
    "icelane_transceiver_frames_skipped_total",
    Kind.COUNTER,
    "Frames that were left out, as the process stood still.",
)
REFUSED = Metric(
    "icelane_transceiver_refused_datagrams_total",
    Kind.COUNTER,
    "Datagrams at the media socket that were refused, by why.",
    ("reason",),
)
EVENTS = Metric(
    "icelane_transceiver_events_total",
    Kind.COUNTER,
    "Whatever else the media socket counts.",
    ("event",),
)
FAULTS = Metric(
    "icelane_transceiver_faults_total",
    Kind.COUNTER,
    "Exceptions that nobody expected: each is a bug, and the log has where.",
)
WORKING = Metric(
    "icelane_transceiver_task_working",
    Kind.GAUGE,
    "1 for a background task that works, 0 for one that fails, or whose file or Redis does.",
    ("task",),
)
SPANS = Metric(
    "icelane_transceiver_spans_total",
    Kind.COUNTER,
    "Spans of set-ups by what became of them: sent, failed or dropped; absent without tracing.",
    ("result",),
)
TASKS = Metric("icelane_transceiver_tasks", Kind.GAUGE, "Tasks of the event loop.")

METRICS = (
    *(SESSIONS, TAKEN, CAPACITY, DRAINING, BEHIND, BEGUN, ENDED, ERRORS, SETUP, PACKETS, LOST),
    *(RESENT, LATE, CONCEALED, RECOVERED, ROUND_TRIP, JITTER, PLAYOUT, RESPONSE, TURN),
    *(BACKEND_LOST, LATENESS, WAITS, SKIPPED, REFUSED, EVENTS, FAULTS, WORKING),
    *(SPANS, TASKS),
)


def measure(
    calls: Calls,
    mux: Mux,
    latencies: Mapping[str, Latencies],
    errors: Counter[str],
    spans: Mapping[str, int],
) -> Iterator[Measured]:
    """What is measured, at one scrape, on the event loop.

    Args:
        calls: The calls.
        mux: The media socket.
        latencies: Those of back ends, by name.
        errors: Requests that were refused, by code.
        spans: What became of spans.
    """
    load, states = calls.load(), Counter(call.state for call in calls)
    yield SESSIONS, {state: states[state] for state in _STATES}
    yield TAKEN, alone(load["sessions"])
    yield CAPACITY, alone(load["capacity"])
    yield DRAINING, alone(float(load["draining"]))
    yield BEHIND, alone(float(load["behind"]))
    yield BEGUN, alone(calls.begun)
    yield ENDED, {reason: calls.ended[reason] for reason in ENDINGS}
    yield ERRORS, errors
    yield SETUP, calls.steps.histograms
    yield from _quality(calls)
    yield RESPONSE, {name: each.response for name, each in latencies.items()}
    yield TURN, {name: each.turn for name, each in latencies.items()}
    yield BACKEND_LOST, {name: each.lost for name, each in latencies.items()}
    yield LATENESS, alone(calls.clock.lateness)
    yield WAITS, alone(mux.backlog.waits)
    yield SKIPPED, alone(calls.clock.skipped)
    refused = mux.counters.refused()
    yield REFUSED, refused
    every = mux.counters.as_dict().items()
    yield EVENTS, {name: count for name, count in every if name not in refused}
    yield FAULTS, alone(sum(calls.faults.counters.values()))
    failing = calls.supervisor.failing
    yield WORKING, {name: float(name not in failing) for name in calls.supervisor.states()}
    yield SPANS, spans
    yield TASKS, alone(len(asyncio.all_tasks()))


def _quality(calls: Calls) -> Iterator[Measured]:
    quality, counts = calls.quality, calls.quality.counts
    yield PACKETS, {"from_clients": counts["received"], "to_clients": counts["sent"]}
    yield LOST, {"from_clients": counts["lost"], "to_clients": counts["lost_by_client"]}
    yield RESENT, alone(counts["resent"])
    yield LATE, alone(counts["playout_late"])
    yield CONCEALED, alone(counts["playout_concealed"] / RATE)
    yield RECOVERED, alone(counts["playout_recovered"] / RATE)
    yield ROUND_TRIP, alone(quality.round_trip)
    yield JITTER, {"from_clients": quality.jitter, "to_clients": quality.jitter_at_client}
    yield PLAYOUT, alone(quality.playout_delay)
