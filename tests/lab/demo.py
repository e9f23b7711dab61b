"""The demo: real calls through the relay, with its agent killed in the middle of one."""

import fcntl
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.lab.errors import LabError
from tests.lab.figures import Figures
from tests.lab.lab import RUN, Lab, require_root
from tests.lab.plan import RELAY_SERVICE, Options
from tests.lab.view import View
from tests.lab.watched import WatchedCall

NAME = "demo"
DEAD_SECONDS = 1.5  # how long the agent stays dead before it is started again
TAKEOVER_SECONDS = 2.0  # within which a new agent has found its flows; normally at once
INTERRUPT_AT = 0.3  # of the call's length
GO_ON_FOR = 0.3  # of the call's length, after its flow was lost and found
PATIENCE = 60.0  # seconds that a call without a flow lasts longer; loading the program takes 3


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
        with self._call(lab, self._seconds) as call:
            call.watch_for(self._seconds * INTERRUPT_AT)
            self._kill_agent(lab, call)
            yield self._outcome(call, "XDP,\nagent killed", "xdp", taken_over=call.taken_over)
        self._view.chapter("A call that loses the agent and the kernel's maps; Redis has a copy")
        with self._call(lab, self._seconds + PATIENCE) as call:
            call.watch_for(self._seconds * INTERRUPT_AT)
            self._lose_everything(lab, call)
            call.watch_for(self._seconds * GO_ON_FOR)
            call.hang_up()
            yield self._outcome(
                call,
                "XDP,\nall state lost",
                "xdp",
                taken_over=call.taken_over,
                loss_allowed=True,
            )
        lab.down()

    def _in_userspace(self, lab: Lab) -> Figures:
        self._view.chapter("The same call with the agent forwarding, for comparison")
        lab.up(Options(dataplane="userspace"), self._view.done)
        with self._call(lab, self._seconds) as call:
            return self._outcome(call, "userspace", "userspace")

    @contextmanager
    def _call(self, lab: Lab, seconds: float) -> Iterator[WatchedCall]:
        with WatchedCall(lab, seconds, self._view) as call:
            client, _, upstream, transceiver = call.path
            self._view.done(f"call up: {client} reaches {transceiver} through {upstream}")
            yield call

    def _outcome(
        self,
        call: WatchedCall,
        title: str,
        dataplane: str,
        *,
        taken_over: int | None = None,
        loss_allowed: bool = False,
    ) -> Figures:
        figures = Figures.of(
            call.report(),  # first of all: the counters are final after it
            title=title,
            dataplane=dataplane,
            by_kernel=call.by_kernel.total,
            by_agent=call.by_agent.total,
            taken_over=taken_over,
            loss_allowed=loss_allowed,
        )
        self._view.outcome(figures)
        return figures

    def _kill_agent(self, lab: Lab, call: WatchedCall) -> None:
        """Kill the relay's agent, let the kernel go on alone for a while, and start it again."""
        _kill(lab, call)
        self._view.done("killed the agent with SIGKILL")
        before = call.by_kernel.total
        call.watch_for(DEAD_SECONDS)
        forwarded = call.by_kernel.total - before
        self._view.done(
            f"without an agent the kernel forwarded {forwarded} packets in {DEAD_SECONDS} s"
        )
        _start(lab, call)
        if call.taken_over:
            self._view.done("started the agent again: it took the flow over")

    def _lose_everything(self, lab: Lab, call: WatchedCall) -> None:
        """Kill the relay's agent, unload its program with all flows, and start it again."""
        _kill(lab, call)
        self._view.done("killed the agent with SIGKILL")
        lab.unload()
        call.agent = "is dead, and no flow is left"
        self._view.done("unloaded the program: the relay knows no flow any more")
        _start(lab, call)
        if call.taken_over:
            self._view.done("started the agent again: it read the flow from Redis")


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
    call.watch_for(TAKEOVER_SECONDS, lambda: call.taken_over > 0)


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
