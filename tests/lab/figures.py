"""The figures of the demo: what was counted, and whether it is as it should be. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

KERNEL_SHARE = 0.99  # of a call's packets; the rest is the set-up, which the agent forwards


class Count(NamedTuple):
    """What a counter says.

    Attributes:
        owner: Whose it is; one that comes after it starts at zero.
        packets: What it has counted.
    """

    owner: int
    packets: int


class Meter:
    """Adds up a counter over all its owners.

    Args:
        start: What the counter says now; only what comes later is counted.
    """

    def __init__(self, start: Count | None = None) -> None:
        self._last = start
        self._before = -start.packets if start else 0

    def read(self, count: Count | None) -> None:
        """Take what the counter says; None when nobody answers at the moment."""
        if count is None:
            return
        if self._last is not None and count.owner != self._last.owner:
            self._before += self._last.packets
        self._last = count

    @property
    def total(self) -> int:
        """What was counted since the start."""
        return self._before + (self._last.packets if self._last else 0)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a call came to.

    Attributes:
        title: What the call was to show.
        dataplane: What the relay forwarded with.
        setup_ms: From the start of the call to the first audio that came back.
        sent: Audio packets that the client sent.
        returned: Audio packets that came back.
        lost_to_server: Audio packets sent that did not arrive.
        lost_to_client: Audio packets sent back that did not arrive.
        lost_at_end: Those of `lost_to_server` that no later packet followed.
        silence_ms: The longest time between two audio packets that came back.
        by_kernel: Packets of every kind that the BPF program forwarded, by its own counters.
        by_agent: Packets of every kind that the agent forwarded, by its own counters.
        taken_over: Flows that an agent took over when it was started again meanwhile, from the
            kernel's maps or from Redis; None when none was.
        loss_allowed: Whether the call was to lose packets, since its flow was taken away.
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
    silence_ms: float
    by_kernel: int
    by_agent: int
    taken_over: int | None = None
    loss_allowed: bool = False
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
        taken_over: int | None = None,
        loss_allowed: bool = False,
    ) -> "Figures":
        """Take them from the report of `icelane call --json`."""
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
            silence_ms=received["longest_pause_ms"],
            by_kernel=by_kernel,
            by_agent=by_agent,
            taken_over=taken_over,
            loss_allowed=loss_allowed,
            error=None if failure is None else str(failure.get("message", failure)),
        )

    @property
    def kernel_share(self) -> float:
        """The part of the forwarded packets that the kernel forwarded, 0 to 1."""
        whole = self.by_kernel + self.by_agent
        return self.by_kernel / whole if whole else 0.0

    @property
    def lost(self) -> int | None:
        """Audio packets lost both ways; None when the far end did not report."""
        if self.lost_to_server is None or self.lost_to_client is None:
            return None
        return self.lost_to_server + self.lost_to_client

    def problems(self) -> Iterator[str]:
        """What is not as it should be, in words; nothing when all is well."""
        if self.error is not None:
            yield f"the call failed: {self.error}"
        elif self.returned == 0:
            yield "no audio came back"
        if self.lost is None:
            yield "the other end did not say how many packets arrived"
        elif self.lost and not self.loss_allowed:
            yield f"{self.lost} audio packets were lost"
        elif self.lost_at_end:
            yield f"the call did not come back: its last {self.lost_at_end} packets were lost"
        if self.taken_over == 0:
            yield "the agent that was started again did not take the flow over"
        if self.dataplane == "xdp" and self.kernel_share <= KERNEL_SHARE and not self.loss_allowed:
            yield f"the kernel forwarded only {self.kernel_share:.1%} of the packets"
        if self.dataplane == "userspace" and self.by_kernel:
            yield "the kernel forwarded packets though the agent was to"

    def as_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            **asdict(self),
            "title": self.title.replace("\n", " "),
            "lost": self.lost,
            "kernel_share": round(self.kernel_share, 5),
            "problems": list(self.problems()),
        }


def _difference(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else whole - part
