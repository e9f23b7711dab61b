"""Latencies in buckets, each at most 1/32 of its value wide. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.compare.traffic.layout import SUB_BITS


def bucket_of(value: int) -> int:
    """The bucket of a value in ns, as sink.bpf.c computes it."""
    shift = max(0, value.bit_length() - SUB_BITS - 1)
    return (shift << SUB_BITS) + (value >> shift)


def lowest_of(bucket: int) -> int:
    """The lowest value in a bucket, in ns."""
    shift = max(0, (bucket >> SUB_BITS) - 1)
    return (bucket - (shift << SUB_BITS)) << shift


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many packets had which latency.

    Attributes:
        counts: Packets by bucket.
        slowest: The highest latency, in ns.
    """

    counts: Sequence[int]
    slowest: int

    @property
    def total(self) -> int:
        """How many packets there were."""
        return sum(self.counts)

    def percentile(self, share: float) -> float:
        """The latency that this share of packets did not exceed, in ns: the middle of its bucket.

        Args:
            share: Above 0, up to 1.

        Raises:
            ValueError: There were no packets.
        """
        wanted = share * self.total
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                middle = (lowest_of(bucket) + lowest_of(bucket + 1) - 1) / 2
                return min(middle, float(self.slowest))
        raise ValueError("there is no latency of no packets")
