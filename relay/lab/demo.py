"""The demo: real calls through the relay, with its agent killed in the middle of one."""

import fcntl
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from relay.lab.errors import LabError
from relay.lab.figures import Figures
from relay.lab.lab import RUN, Lab, require_root
from relay.lab.plan import RELAY_SERVICE, Options
from relay.lab.view import View
from relay.lab.watched import WatchedCall

NAME = "demo"
DEAD_SECONDS = 1.5  # how long the agent stays dead before it is started again
INTERRUPT_AT = 0.3  # of the call's length

Interrupt = Callable[[Lab, WatchedCall, View], None]


class Demo:
    """Runs the demo.

    Args:
        seconds: How long each call lasts.
        view: Shows what happens.
    """

    def __init__(self, seconds: float, view: View) -> None:
        self._seconds = seconds
        self._view = view

    def run(self) -> list[Figures]:
        """Place all calls and return what each came to; nothing is left behind.

        Raises:
            LabError: Something that is no figure went wrong; the text says what.
        """
        require_root()
        with alone():
            lab = Lab(NAME)
            lab.down()  # a demo that was killed outright may have left one
            try:
                return [*self._in_kernel(lab), self._in_userspace(lab)]
            finally:
                with _undisturbed():
                    lab.down()

    def _in_kernel(self, lab: Lab) -> Iterator[Figures]:
        self._view.chapter("A call through the kernel; its agent is killed and started again")
        lab.up(Options(dataplane="xdp", redis=True), self._view.done)
        yield self._call(lab, "XDP,\nagent killed", kill_agent)
        self._view.chapter("A call that loses the agent and the kernel's maps; Redis has a copy")
        yield self._call(lab, "XDP,\nall state lost", lose_everything, loss_allowed=True)
        lab.down()

    def _in_userspace(self, lab: Lab) -> Figures:
        self._view.chapter("The same call with the agent forwarding, for comparison")
        lab.up(Options(dataplane="userspace"), self._view.done)
        return self._call(lab, "userspace", None)

    def _call(
        self, lab: Lab, title: str, interrupt: Interrupt | None, *, loss_allowed: bool = False
    ) -> Figures:
        with WatchedCall(lab, self._seconds, self._view) as call:
            client, vip, upstream, transceiver = call.path
            self._view.done(f"call up: {client} to {vip}, on through {upstream} to {transceiver}")
            if interrupt is not None:
                call.watch_for(self._seconds * INTERRUPT_AT)
                interrupt(lab, call, self._view)
            report = call.report()
            figures = Figures.of(
                report,
                title=title,
                dataplane=lab.options.dataplane,
                by_kernel=call.by_kernel.total,
                by_agent=call.by_agent.total,
                taken_over=call.taken_over if interrupt is not None else None,
                loss_allowed=loss_allowed,
            )
        self._view.outcome(figures)
        return figures


def kill_agent(lab: Lab, call: WatchedCall, view: View) -> None:
    """Kill the relay's agent, let the kernel go on alone for a while, and start it again."""
    _kill(lab, call)
    before = call.by_kernel.total
    view.done("killed the agent with SIGKILL")
    call.watch_for(DEAD_SECONDS)
    forwarded = call.by_kernel.total - before
    view.done(f"without an agent the kernel forwarded {forwarded} packets in {DEAD_SECONDS} s")
    _start(lab, call)
    view.done("started the agent again: it took the flow over")


def lose_everything(lab: Lab, call: WatchedCall, view: View) -> None:
    """Kill the relay's agent, unload its program with all flows, and start it again."""
    _kill(lab, call)
    view.done("killed the agent with SIGKILL")
    lab.unload()
    call.agent = "is dead, and no flow is left"
    view.done("unloaded the program: the relay knows no flow any more")
    _start(lab, call)
    view.done("started the agent again: it read the flow from Redis")


def _kill(lab: Lab, call: WatchedCall) -> None:
    call.look()  # what it counts dies with it
    lab.kill(RELAY_SERVICE)
    call.agent = "is dead"


def _start(lab: Lab, call: WatchedCall) -> None:
    """Start the agent, and show the call meanwhile."""
    call.agent = "is starting"
    with ThreadPoolExecutor(1) as helper:
        start = helper.submit(lab.start, RELAY_SERVICE)
        call.watch(start.done)
        start.result()
    call.agent = "runs again"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Whoever presses Ctrl-C twice does not want half a lab left behind."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def alone() -> Iterator[None]:
    """No second demo at the same time: they share a name, so that one cleans up after another.

    Raises:
        LabError: One runs.
    """
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / f"{NAME}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("A demo is running on this machine already.") from None
        yield
