"""A call that is watched while it runs: its flow, and who forwards its packets."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.lab.call import Call
from tests.lab.errors import LabError
from tests.lab.figures import Meter
from tests.lab.lab import Lab
from tests.lab.probe import Flow, Probe, Sample
from tests.lab.view import Moment, View

LOOK_EVERY = 0.2  # seconds between two looks at the counters
FLOW_SECONDS = 15.0  # what a call may take until its flow is there; normally one


class WatchedCall:
    """A call in a lab, shown live; entering places it, leaving ends it.

    Args:
        lab: Where to place it.
        seconds: How long it lasts.
        view: Where to show it.

    Attributes:
        by_kernel: Packets of the call that the kernel forwarded so far.
        by_agent: Packets of the call that the agent forwarded so far.
        agent: What to say of the agent at the moment.
        taken_over: Flows that the agent which runs now took over when it started.
    """

    def __init__(self, lab: Lab, seconds: float, view: View) -> None:
        self._call = Call(lab, seconds)
        self._probe = Probe(lab)
        self._view = view
        self._before = Sample()
        self._flow: Flow | None = None
        self._open = ExitStack()
        self.by_kernel = Meter()
        self.by_agent = Meter()
        self.agent = "runs"
        self.taken_over = 0

    def __enter__(self) -> Self:
        """Place the call and wait until its flow is confirmed.

        Raises:
            LabError: The call failed, or there is no flow in time.
        """
        self._before = self._probe.sample()
        self.by_kernel = Meter(self._before.by_kernel)
        self.by_agent = Meter(self._before.by_agent)
        with ExitStack() as undo:
            self._live = undo.enter_context(self._view.live())
            undo.enter_context(self._call)
            self._begun = time.monotonic()
            self.watch(lambda: self._flow is not None or self._elapsed > FLOW_SECONDS)
            if self._flow is None:
                raise LabError(self._why_no_flow())
            self._open = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the call, should it still run."""
        self._open.close()

    def _why_no_flow(self) -> str:
        if self._call.running:
            return f"The call has no confirmed flow in the relay after {FLOW_SECONDS:.0f} s."
        error = self._call.report().get("error") or {}
        return f"The call failed: {error.get('message', 'it ended before it had a flow')}"

    @property
    def path(self) -> tuple[str, ...]:
        """The addresses that the flow runs through, from the client to the transceiver."""
        return self._flow.path if self._flow else ()

    def watch(self, done: Callable[[], bool] = lambda: False) -> None:
        """Show the call until it ends, or until something is done."""
        while self._call.running and not done():
            self.look()
            time.sleep(LOOK_EVERY)

    def watch_for(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Show the call for some time, or until it ends, or until something is done."""
        until = time.monotonic() + seconds
        self.watch(lambda: done() or time.monotonic() >= until)

    def look(self) -> None:
        """Read all counters once, and show them."""
        sample = self._probe.sample()
        self.by_kernel.read(sample.by_kernel)
        self.by_agent.read(sample.by_agent)
        self.taken_over = sample.taken_over
        self._flow = sample.newest(self._before) or self._flow
        self._view.show(self._live, self._moment())

    def hang_up(self) -> None:
        """End the call before its time."""
        self._call.hang_up()

    def report(self) -> dict[str, Any]:
        """Show the call until it ends, and return its report.

        Raises:
            LabError: It does not end, or ended without a report.
        """
        self.watch()
        report = self._call.report()
        self.look()
        return report

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    def _moment(self) -> Moment:
        return Moment(
            seconds=self._elapsed,
            path=self.path,
            to_transceiver=self._flow.to_transceiver if self._flow else 0,
            to_client=self._flow.to_client if self._flow else 0,
            by_kernel=self.by_kernel.total,
            by_agent=self.by_agent.total,
            agent=self.agent,
        )
