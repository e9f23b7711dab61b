"""What the report says about each question: titles, units, and how to lay its figures out. Pure."""

from dataclasses import dataclass
from enum import Enum


class Better(Enum):
    """Which figures are the good ones."""

    HIGHER = "higher is better"
    LOWER = "lower is better"


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that a question gives.

    Attributes:
        name: Its name in results.
        title: Its name for people, with the unit.
        better: Which way is good.
        digits: Digits after the decimal point.
        bounded_by: The metric that is not 0 where the figure is what the traffic's sender could
            send, so that the contestant's own may be higher.
    """

    name: str
    title: str
    better: Better
    digits: int = 0
    bounded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A section of the report.

    Attributes:
        question: The question's name.
        title: The section's title.
        text: What was measured, and how.
        metrics: The figures, in order. Others in the results are not shown.
        columns: What a table has columns for: `METRIC`, or names of parameters. What else there
            is makes tables of its own.
        reference: The contestant that the others are compared with, if it was measured.
        plotted: The metric of the plot; the first one unless said.
    """

    question: str
    title: str
    text: str
    metrics: tuple[Metric, ...]
    columns: tuple[str, ...]
    reference: str | None = None
    plotted: str | None = None

    def metric(self, name: str) -> Metric | None:
        """A metric by its name."""
        return next((each for each in self.metrics if each.name == name), None)


METRIC = "metric"

_CEILING, _GO = "ceiling", "Go relay"

SUBJECTS = (
    Subject(
        question="rate",
        title="Packets a second without loss",
        text="""\
The highest rate from client to transceiver at which at most 0.1 % of packets are lost, by binary
search. Packets are made and counted inside the kernel. They are made on one core, on which the
kernel also receives them and an XDP program or the kernel's own forwarding runs; a userspace relay
has the other core to itself, or both when it has two workers. "≥" stands where the sender could not
send more.""",
        metrics=(Metric("kpps", "thousand packets a second", Better.HIGHER, bounded_by="limited"),),
        columns=("flows",),
        reference=_CEILING,
    ),
    Subject(
        question="overload",
        title="Delivered under overload",
        text="""\
What arrives when twice as much is sent as passes without loss. "Load" is how much that was, since
the sender cannot send more than it can.""",
        metrics=(
            Metric("load", "load, times the loss-free rate", Better.HIGHER, 2),
            Metric("delivered_percent", "delivered (%)", Better.HIGHER, 1),
            Metric("kpps", "thousand packets a second", Better.HIGHER),
        ),
        columns=(METRIC,),
        plotted="delivered_percent",
    ),
)
