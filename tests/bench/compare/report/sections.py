"""The report's sections: titles, units, and how the figures of a benchmark are laid out. Pure."""

from dataclasses import dataclass
from enum import Enum


class Better(Enum):
    """Which figures are the good ones."""

    HIGHER = "higher is better"
    LOWER = "lower is better"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that a benchmark gives.

    Attributes:
        name: Its name in results.
        title: Its name for people, with the unit.
        better: Which way is good.
        digits: Digits after the decimal point.
        bounded_by: The metric that is not 0 where the figure is what the traffic's sender could
            send, so that the system's own may be higher.
        compared: Whether ratios to other systems' say something.
    """

    name: str
    title: str
    better: Better
    digits: int = 0
    bounded_by: str | None = None
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report.

    Attributes:
        benchmark: The benchmark's name.
        title: The section's title.
        text: What was measured, and how.
        metrics: The figures, in order. Others in the results are not shown.
        columns: What a table has columns for: `METRIC`, or names of parameters. What else there
            is makes tables of its own.
        reference: The system that the others are compared with, if it was measured.
        plotted: The metric of the plot and of the ratios; the first one unless said.
    """

    benchmark: str
    title: str
    text: str
    metrics: tuple[Metric, ...]
    columns: tuple[str, ...]
    reference: str | None = None
    plotted: str | None = None

    @property
    def main(self) -> str:
        """The metric of the plot and of the ratios."""
        return self.plotted or self.metrics[0].name

    def metric(self, name: str) -> Metric | None:
        """A metric by its name."""
        return next((each for each in self.metrics if each.name == name), None)


METRIC = "metric"

_LIMIT, _GO = "constant NAT", "Go relay"

SECTIONS = (
    Section(
        benchmark="rate",
        title="Packets a second without loss",
        text="""\
The highest rate from client to transceiver at which at most 0.1 % of packets are lost, by binary
search; the best of six trials where the sender cannot send more than passes. Packets are made and
counted inside the kernel. They are made on one core, on which the kernel also receives them and an
XDP program or the kernel's own forwarding runs; a userspace relay has the other core to itself, or
both when it has two workers. "≥" stands where the sender could not send more. The limit of the
relay's job is "constant NAT", which reads a packet's headers and writes all that the relay writes,
but finds neither flow nor next hop: they are constants in the program. "Bare redirect" writes MAC
addresses only, and "FIB ceiling" those that the kernel's routing table gives for each packet.""",
        metrics=(Metric("kpps", "thousand packets a second", Better.HIGHER, bounded_by="limited"),),
        columns=("flows",),
        reference=_LIMIT,
    ),
    Section(
        benchmark="overload",
        title="Delivered under overload",
        text="""\
What arrives when twice as much is sent as passes without loss. "Load" is how much that was, since
the sender cannot send more than it can.""",
        metrics=(
            Metric("load", "load, times the loss-free rate", Better.HIGHER, 2, compared=False),
            Metric("delivered_percent", "delivered (%)", Better.HIGHER, 1, compared=False),
            Metric("kpps", "thousand packets a second", Better.HIGHER),
        ),
        columns=(METRIC,),
        plotted="delivered_percent",
    ),
    Section(
        benchmark="cpu",
        title="Processor time a packet",
        text="""\
What a packet costs on all processors together: programs, system calls, interrupts. 50,000 packets
a second come in bursts; what the same traffic costs over a direct cable, without any relay, is
subtracted. Idle time is measured by what lowest-priority loops achieve in it, which is finer than
the kernel's accounts.""",
        metrics=(
            Metric("ns_per_packet", "nanoseconds a packet", Better.LOWER),
            Metric("ns_without_relay", "without a relay (ns)", Better.LOWER, compared=False),
            Metric("delivered_percent", "delivered (%)", Better.HIGHER, 1, compared=False),
        ),
        columns=(METRIC,),
        reference=_GO,
    ),
    Section(
        benchmark="latency",
        title="Latency",
        text="""\
The time from one end to the other, taken in the kernel of both ends, and that of round trips, which
begin and end in a client's socket; with little other traffic, and with 50,000 other packets a
second in bursts. All of it happens on one processor, also a userspace relay: between two processors
of a virtual machine, waking the other one up takes longer than all else.""",
        metrics=(
            Metric("p50_us", "p50 (µs)", Better.LOWER, 1),
            Metric("p99_us", "p99 (µs)", Better.LOWER, 1),
            Metric("p999_us", "p99.9 (µs)", Better.LOWER, 1),
            Metric("max_us", "max (µs)", Better.LOWER),
            Metric("lost_percent", "lost (%)", Better.LOWER, 2, compared=False),
        ),
        columns=(METRIC,),
        reference="plain routing",
    ),
    Section(
        benchmark="sessions",
        title="New sessions a second",
        text="""\
A session is a client address and a ufrag that were never seen before: its Binding request goes to
the transceiver, and the success comes back. The transceiver is a BPF program, so that the relay is
the limit. Sessions are opened one after the other ("sequential": what a first packet has to wait),
many at a time ("concurrent": as many as the relay confirms), and at half of that rate. A request
without an answer is sent again after 250 ms. coturn has no such sessions.""",
        metrics=(
            Metric("per_second", "sessions a second", Better.HIGHER),
            Metric("p50_us", "p50 (µs)", Better.LOWER),
            Metric("p99_us", "p99 (µs)", Better.LOWER),
            Metric("retransmitted_percent", "sent again (%)", Better.LOWER, 1, compared=False),
        ),
        columns=(METRIC,),
        reference=_GO,
    ),
    Section(
        benchmark="memory",
        title="Memory of a flow",
        text="""\
What a system takes with many flows beyond what it takes with one, by flow: in its processes,
and in the kernel for sockets, connections and map entries. A BPF map takes its memory when it is
made; what it takes for a flow is the flow's part of it. "Base" is what the processes take with one
flow; an agent with XDP sees the arrays of its maps there, too, which are the kernel's and have room
for a flow at each of its upstream addresses: a million here.""",
        metrics=(
            Metric("process_bytes", "processes (bytes a flow)", Better.LOWER),
            Metric("kernel_bytes", "kernel (bytes a flow)", Better.LOWER),
            Metric("base_mb", "base (MB)", Better.LOWER, 1),
        ),
        columns=(METRIC,),
        reference=_GO,
        plotted="kernel_bytes",
    ),
    Section(
        benchmark="continuity",
        title="Packets lost when the relay changes",
        text="""\
A flow has numbered packets both ways, while its agent is killed and started again after a while,
while another version takes over ("upgrade": the program in the kernel is replaced, then the agent),
and while the dataplane is switched to the other one and back.""",
        metrics=(
            Metric("lost", "packets lost", Better.LOWER),
            Metric("longest_gap_ms", "longest gap (ms)", Better.LOWER),
            Metric("duplicated", "duplicated", Better.LOWER),
            Metric("reordered", "reordered", Better.LOWER),
        ),
        columns=("event", "rate"),
    ),
    Section(
        benchmark="call_setup",
        title="Call setup",
        text="""\
One client sets up a call after another: HTTP signaling, ICE, DTLS, and audio until the first packet
of it comes back. Without and with a delay line between the client and everything that it talks to,
signaling included. What the line adds, divided by its round trip, is the number of round trips that
a call needs. The same client takes the direct path, the path through Icelane, and the path through
a TURN server (coturn).""",
        metrics=(
            Metric("round_trips", "round trips until the first audio", Better.LOWER, 1),
            Metric("first_audio_ms", "first audio (ms)", Better.LOWER),
            Metric("connected_ms", "DTLS complete (ms)", Better.LOWER),
            Metric("offer_ms", "offer complete (ms)", Better.LOWER),
        ),
        columns=("round_trip_ms",),
        reference="direct",
    ),
    Section(
        benchmark="call_rate",
        title="Calls a second",
        text="""\
Many clients place short calls as fast as they can, each with its own DTLS handshake. Clients and
transceiver, which are Python, share the machine with the relay, and are the limit.""",
        metrics=(
            Metric("calls_per_second", "calls a second", Better.HIGHER, 1),
            Metric("p50_ms", "p50 (ms)", Better.LOWER),
            Metric("p99_ms", "p99 (ms)", Better.LOWER),
            Metric("failed", "failed", Better.LOWER, compared=False),
        ),
        columns=(METRIC,),
        reference="direct",
    ),
    Section(
        benchmark="capacity",
        title="Concurrent calls",
        text="""\
Calls with real audio, more and more of them, until it suffers: more than 1 % of packets lost, or a
pause of more than 60 ms, in one of them. Clients and transceiver, which are Python and decode and
encode the audio, share the machine with the relay, and are the limit.""",
        metrics=(
            Metric("calls", "calls", Better.HIGHER),
            Metric("cpu_relay_percent", "relay (% of a core)", Better.LOWER, 1),
            Metric("cpu_transceiver_percent", "transceiver (% of a core)", Better.LOWER),
            Metric("cpu_clients_percent", "clients (% of a core)", Better.LOWER),
            Metric("pause_ms", "longest pause (ms)", Better.LOWER),
            Metric("lost_percent", "lost (%)", Better.LOWER, 1, compared=False),
        ),
        columns=("calls",),
    ),
)
