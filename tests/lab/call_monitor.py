"""A call that is monitored while it runs: its flow, and who forwards its packets."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from tests.lab.call import Call, CallPlace
from tests.lab.counters import CounterTotal
from tests.lab.errors import LabError
from tests.lab.probe import Flow, Probe, Sample
from tests.lab.view import CallProgress, DemoView

SAMPLE_SECONDS = 0.2  # between two samples of the counters
FLOW_SECONDS = 60.0  # from the start of a call until its flow is confirmed; normally one


class CallMonitor:
    """A call in a lab, displayed live; entering places it, leaving ends it.

    Args:
        place: Where to place it.
        seconds: How long it lasts.
        view: Displays it.

    Attributes:
        by_kernel: Packets that the kernel has forwarded since the start of the call.
        by_agent: Packets that the agent has forwarded since the start of the call.
        agent: State of the agent, for display.
        recovered_flows: Flows that the running agents have recovered.
    """

    def __init__(self, place: CallPlace, seconds: float, view: DemoView) -> None:
        self._call = Call(place, seconds)
        self._probes = [Probe(relay) for relay in place.relays]
        self._view = view
        self._before: list[Sample] = []
        self._flow: Flow | None = None
        self._open = ExitStack()
        self.by_kernel = CounterTotal()
        self.by_agent = CounterTotal()
        self.agent = "running"
        self.recovered_flows = 0

    def __enter__(self) -> Self:
        """Place the call and wait until its flow is confirmed.

        Raises:
            LabError: The call failed, or its flow is not confirmed in time.
        """
        self._before = [probe.sample() for probe in self._probes]
        self.by_kernel = CounterTotal(each.by_kernel for each in self._before if each.by_kernel)
        self.by_agent = CounterTotal(each.by_agent for each in self._before if each.by_agent)
        with ExitStack() as undo:
            self._live = undo.enter_context(self._view.live())
            undo.enter_context(self._call)
            self._started = time.monotonic()
            self.run_until(lambda: self._flow is not None or self._elapsed > FLOW_SECONDS)
            if self._flow is None:
                raise LabError(self._missing_flow_error())
            self._open = undo.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the call, should it still run."""
        self._open.close()

    def _missing_flow_error(self) -> str:
        if self._call.running:
            return f"The call has no confirmed flow in the relay after {FLOW_SECONDS:.0f} s."
        error = self._call.report().get("error") or {}
        return f"The call failed: {error.get('message', 'it ended before its flow was confirmed')}"

    @property
    def path(self) -> tuple[str, ...]:
        """Transport addresses of the flow: client, VIP, upstream, transceiver."""
        return self._flow.path if self._flow else ()

    def run_until(self, done: Callable[[], bool] = lambda: False) -> None:
        """Monitor the call until it ends, or until `done`."""
        while self._call.running and not done():
            self.sample()
            time.sleep(SAMPLE_SECONDS)

    def run_for(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Monitor the call for some time, until it ends, or until `done`."""
        until = time.monotonic() + seconds
        self.run_until(lambda: done() or time.monotonic() >= until)

    def sample(self) -> None:
        """Read all counters once, and display them."""
        samples = [probe.sample() for probe in self._probes]
        for sample, before in zip(samples, self._before, strict=True):
            self.by_kernel.update(sample.by_kernel)
            self.by_agent.update(sample.by_agent)
            self._flow = sample.newest(before) or self._flow
        self.recovered_flows = sum(sample.recovered_flows for sample in samples)
        self._view.show_progress(self._live, self._progress())

    def hang_up(self) -> None:
        """End the call early."""
        self._call.hang_up()

    def report(self) -> dict[str, Any]:
        """Monitor the call until it ends, and return its report.

        Raises:
            LabError: It does not end, or ended without a report.
        """
        self.run_until()
        report = self._call.report()
        self.sample()
        return report

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _progress(self) -> CallProgress:
        return CallProgress(
            seconds=self._elapsed,
            path=self.path,
            to_transceiver=self._flow.to_transceiver if self._flow else 0,
            to_client=self._flow.to_client if self._flow else 0,
            by_kernel=self.by_kernel.total,
            by_agent=self.by_agent.total,
            agent=self.agent,
        )
