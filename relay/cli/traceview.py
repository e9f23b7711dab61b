"""What `icelane trace` prints: a line for each packet as it comes, and a summary at the end."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from relay.admin.tracing import Missed, Summary, as_object, in_words
from relay.cli.output import flush
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.tracing import RATE, Trace
from relay.wire.endpoint import Endpoint

_ENDS = signal.SIGTERM, signal.SIGHUP
_POLL = 0.05  # seconds between two looks for packets
_LOOK = 0.5  # ... at whether the program is still the one that runs, and what was not told


def follow(instance: str, client: Endpoint, *, seconds: float, count: int, as_json: bool) -> None:
    """Print the packets of a client, for so long or so many (0: however many), then the summary.

    Raises:
        DataplaneError: They cannot be followed, or the program goes meanwhile.
    """
    with _ended_by_signals(), Trace(Pins(instance), client) as trace:
        began = time.monotonic()
        view = _View(trace, instance, count, as_json=as_json)
        try:
            view.run(began + seconds)
        except KeyboardInterrupt:
            pass
        finally:
            trace.stop()
        ended = time.monotonic()
        view.print_waiting()
        view.summarize(client, ended - began)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let what ends a command end it as Ctrl-C does: interfaces are to run their own program."""
    before = [(each, signal.signal(each, signal.default_int_handler)) for each in _ENDS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _View:
    """Prints what a trace tells.

    Args:
        trace: The trace.
        instance: Of which relay.
        count: After how many packets it ends; 0: never.
        as_json: Whether it prints objects.
    """

    def __init__(self, trace: Trace, instance: str, count: int, *, as_json: bool) -> None:
        self._trace = trace
        self._instance = instance
        self._count = count
        self._as_json = as_json
        self._epoch = time.time() - time.monotonic()
        self._shown = 0
        self._missed = Missed()
        self._passed_by = False

    def run(self, end: float) -> None:
        """Print packets until a moment of the monotonic clock, or until there were enough."""
        look = 0.0
        while (now := time.monotonic()) < end and not self._is_enough():
            if now >= look:
                look = now + _LOOK
                self._look()
            self.print_waiting()
            time.sleep(min(_POLL, max(0.0, end - now)))

    def print_waiting(self) -> None:
        """Print the packets that have come, up to the number that is wanted."""
        for record in self._trace.records():
            if self._is_enough():
                return
            self._shown += 1
            packet = as_object(record, self._epoch)
            self._print(packet, in_words(packet))
        flush()

    def summarize(self, client: Endpoint, seconds: float) -> None:
        """Print what was seen in all."""
        missed = Missed(*self._trace.missed())
        summary = Summary(client, seconds, self._trace.counts(), self._shown, missed)
        self._print(summary.as_object(), "\n".join(summary.in_words(RATE.rate)))
        flush()

    def _is_enough(self) -> bool:
        return 0 < self._count <= self._shown

    def _look(self) -> None:
        """Follow the program that runs by now, and tell what was not shown."""
        if self._trace.follow():
            self._note(f"the program of {self._instance} was loaded anew, and is followed now")
        passed_by = self._trace.is_passed_by()
        if passed_by and not self._passed_by:
            self._note(
                "the program is switched off, and all packets go up to the agent: `icelane "
                f"dataplane switch xdp --instance {self._instance}` switches it on"
            )
        self._passed_by = passed_by
        missed = Missed(*self._trace.missed())
        news = missed.since(self._missed)
        self._missed = missed
        if text := news.in_words(RATE.rate):
            self._print({"event": "missed", **news._asdict()}, text)

    def _note(self, text: str) -> None:
        typer.echo(f"icelane: {text}", err=True)

    def _print(self, value: dict[str, Any], text: str) -> None:
        typer.echo(json.dumps(value) if self._as_json else text)
