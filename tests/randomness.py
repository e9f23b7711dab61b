"""Randomness that is the same each time."""

from collections.abc import Callable
from random import Random


def seeded(seed: int) -> Callable[[int], bytes]:
    """Makes random bytes."""
    return Random(seed).randbytes
