"""Handlers of signals, for as long as they are wanted."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)  # what ends a program
_SILENTLY = (signal.SIGTERM, signal.SIGHUP)  # of which Python makes no exception


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


@contextmanager
def cleaned_up() -> Iterator[None]:
    """Let what is made inside go before this program ends by a signal, as it does after Ctrl-C."""
    program = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() != program:  # a child of pyroute2's
            os._exit(128 + number)
        for each in _SILENTLY:  # one more would end the cleaning up
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    with handled(end, *_SILENTLY):
        yield
