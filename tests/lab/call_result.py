"""The result of a call of the demo: its figures, and whether they are as expected. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

MIN_KERNEL_SHARE = 0.99  # of a call's packets; the rest is the setup, which the agent forwards


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of a call.

    Attributes:
        title: What the call demonstrates; may span lines.
        dataplane: What the relay forwarded with, xdp or userspace.
        setup_ms: From the start of the call to the first audio that the client received.
        sent: Audio packets that the client sent.
        returned: Audio packets that the client received.
        lost_to_server: Audio packets lost between client and transceiver.
        lost_to_client: Audio packets lost between transceiver and client.
        lost_at_end: Those of `lost_to_server` after which no packet arrived any more.
        longest_gap_ms: The longest time between two audio packets that the client received.
        by_kernel: Packets of every kind that the BPF program forwarded, by its own counters.
        by_agent: Packets of every kind that the agent forwarded, by its own counters.
        recovered_flows: Flows that the restarted agent recovered from the kernel's maps or from
            Redis, or another relay took over; None when nothing was killed.
        loss_until: What ended the loss that is expected, because a relay lost its flows during the
            call; None where nothing may be lost.
        error: Why the call failed, if it did.
    """

    title: str
    dataplane: str
    setup_ms: float | None
    sent: int
    returned: int
    lost_to_server: int | None
    lost_to_client: int | None
    lost_at_end: int | None
    longest_gap_ms: float
    by_kernel: int
    by_agent: int
    recovered_flows: int | None = None
    loss_until: str | None = None
    error: str | None = None

    @classmethod
    def of(
        cls,
        report: Mapping[str, Any],
        *,
        title: str,
        dataplane: str,
        by_kernel: int,
        by_agent: int,
        recovered_flows: int | None = None,
        loss_until: str | None = None,
    ) -> "CallResult":
        """Build the result from the report of `icelane call --json`."""
        failure = report.get("error")
        received = report["received"]
        return cls(
            title=title,
            dataplane=dataplane,
            setup_ms=report["setup_ms"]["first_audio"],
            sent=report["sent"],
            returned=received["packets"],
            lost_to_server=report["lost_to_server"],
            lost_to_client=report["lost_to_client"],
            lost_at_end=_difference(report["lost_to_server"], report["far_end"]["lost"]),
            longest_gap_ms=received["longest_pause_ms"],
            by_kernel=by_kernel,
            by_agent=by_agent,
            recovered_flows=recovered_flows,
            loss_until=loss_until,
            error=None if failure is None else str(failure.get("message", failure)),
        )

    @property
    def kernel_share(self) -> float:
        """The share of forwarded packets that the kernel forwarded, 0 to 1."""
        whole = self.by_kernel + self.by_agent
        return self.by_kernel / whole if whole else 0.0

    @property
    def lost(self) -> int | None:
        """Audio packets lost in both directions; None when the transceiver did not report."""
        if self.lost_to_server is None or self.lost_to_client is None:
            return None
        return self.lost_to_server + self.lost_to_client

    def problems(self) -> Iterator[str]:
        """What is not as expected, in words; nothing when the call passed."""
        if self.error is not None:
            yield f"the call failed: {self.error}"
        elif self.returned == 0:
            yield "the client received no audio"
        if self.lost is None:
            yield "the transceiver did not report how many packets it received"
        elif self.lost and self.loss_until is None:
            yield f"{self.lost} audio packets were lost"
        elif self.lost_at_end:
            yield f"the call did not recover: its last {self.lost_at_end} packets were lost"
        if self.recovered_flows == 0:
            yield "no agent recovered the flow"
        if (
            self.dataplane == "xdp"
            and self.kernel_share <= MIN_KERNEL_SHARE
            and self.loss_until is None
        ):
            yield f"the kernel forwarded only {self.kernel_share:.1%} of the packets"
        if self.dataplane == "userspace" and self.by_kernel:
            yield "the kernel forwarded packets that the agent should have forwarded"

    def as_json(self) -> dict[str, Any]:
        """The result as plain data."""
        return {
            **asdict(self),
            "title": self.title.replace("\n", " "),
            "lost": self.lost,
            "kernel_share": round(self.kernel_share, 5),
            "problems": list(self.problems()),
        }


def _difference(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else whole - part
