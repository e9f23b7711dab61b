"""What moved since a baseline: ratios within a run, compared with those of another run. Pure.

Two machines, or one on two days, differ in speed; a ratio of two systems that were measured
side by side differs much less.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.compare.report.results import Key, Results
from tests.bench.compare.report.sections import Better, Section

TOLERANCE = 0.25  # how far a ratio may move before one hears of it


@dataclass(frozen=True, slots=True)
class Move:
    """A ratio that moved.

    Attributes:
        key: The figure.
        reference: The system that its figure was divided by.
        before: The ratio's median in the baseline.
        now: And now.
        worse: Whether the move is for the worse.
    """

    key: Key
    reference: str
    before: float
    now: float
    worse: bool


def moves(
    sections: Sequence[Section], baseline: Results, now: Results, tolerance: float = TOLERANCE
) -> Iterator[Move]:
    """The ratios that moved by more than a share, and beyond the spread of both runs."""
    for section in sections:
        reference = section.reference
        if reference is None:
            continue
        for key in now.figures:
            metric = section.metric(key.metric)
            if key.benchmark != section.benchmark or metric is None or key.system == reference:
                continue
            old, new = baseline.ratios(key, reference), now.ratios(key, reference)
            if not old or not new or _overlap(old, new):
                continue
            before, after = median(old), median(new)
            if abs(after - before) > tolerance * before:
                higher = after > before
                worse = higher is (metric.better is Better.LOWER)
                yield Move(key, reference, before, after, worse)


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return min(a) <= max(b) and min(b) <= max(a)
