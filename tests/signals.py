"""Handlers of signals, for as long as they are wanted."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)  # what ends a program


@contextmanager
def handled(
    handler: Callable[[int, FrameType | None], object] | signal.Handlers,
    *numbers: signal.Signals,
) -> Iterator[None]:
    """Have a handler while the context is entered, and those of before afterwards.

    One that is left behind is not harmless: pyroute2 forks to open a socket in a network namespace,
    and ends that child by SIGTERM. Where the handler raises, the child goes on as what it was made
    of, such as a second process of the same tests, with the pipes of the first.
    """
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)
