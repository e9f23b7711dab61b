"""The demo: real calls through the relay, whose agent is killed during two of them."""

import fcntl
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from relay.admin.transport import ask
from relay.dataplane.hostfacts import HostFacts
from tests.lab.call_monitor import CallMonitor
from tests.lab.call_result import CallResult
from tests.lab.config import RELAY_SERVICE, Options
from tests.lab.errors import LabError
from tests.lab.lab import RUN, Lab, require_root
from tests.lab.view import DemoView

NAME = "demo"
DOWN_SECONDS = 1.5  # how long the killed agent stays down before it is restarted
RECOVERY_SECONDS = 2.0  # for a restarted agent to recover its flows; normally at once
KILL_AFTER = 0.3  # of the call's length
CONTINUE_FOR = 0.3  # of the call's length, after its flow was restored
EXTRA_SECONDS = 60.0  # upper limit for loading the program during a call; takes 3


class Demo:
    """Runs the demo.

    Args:
        seconds: How long each call lasts.
        view: Prints what happens.
    """

    def __init__(self, seconds: float, view: DemoView) -> None:
        self._seconds = seconds
        self._view = view
        self.host: HostFacts | None = None  # what the relay found on this machine

    def run(self) -> list[CallResult]:
        """Place all calls and return their results; the lab is removed in any case.

        Raises:
            IcelaneError: A call could not be placed or monitored; the text says why.
        """
        require_root()
        with exclusive():
            lab = Lab(NAME)
            lab.down()  # of a demo that was killed
            try:
                return [*self._in_kernel(lab), self._in_userspace(lab)]
            finally:
                with _signals_ignored():
                    lab.down()

    def _in_kernel(self, lab: Lab) -> Iterator[CallResult]:
        self._view.section("XDP dataplane: the agent is killed and restarted during a call")
        lab.up(Options(dataplane="xdp", redis=True), self._view.step)
        self.host = HostFacts.load(ask(lab.admin, "status")["host"])
        self._view.step(f"found {self.host}")
        with self._call(lab, self._seconds) as call:
            call.run_for(self._seconds * KILL_AFTER)
            self._restart_agent(lab, call)
            yield self._result(
                call, "XDP,\nagent killed", "xdp", recovered_flows=call.recovered_flows
            )
        self._view.section(
            "XDP dataplane: agent, program and maps are lost; flows are restored from Redis"
        )
        with self._call(lab, self._seconds + EXTRA_SECONDS) as call:
            call.run_for(self._seconds * KILL_AFTER)
            self._lose_all_state(lab, call)
            call.run_for(self._seconds * CONTINUE_FOR)
            call.hang_up()
            yield self._result(
                call,
                "XDP,\nall state lost",
                "xdp",
                recovered_flows=call.recovered_flows,
                loss_allowed=True,
            )
        lab.down()

    def _in_userspace(self, lab: Lab) -> CallResult:
        self._view.section("Userspace dataplane, for comparison")
        lab.up(Options(dataplane="userspace"), self._view.step)
        with self._call(lab, self._seconds) as call:
            return self._result(call, "userspace", "userspace")

    @contextmanager
    def _call(self, lab: Lab, seconds: float) -> Iterator[CallMonitor]:
        with CallMonitor(lab, seconds, self._view) as call:
            client, _, upstream, transceiver = call.path
            self._view.step(f"call connected: {client} to {transceiver} via {upstream}")
            yield call

    def _result(
        self,
        call: CallMonitor,
        title: str,
        dataplane: str,
        *,
        recovered_flows: int | None = None,
        loss_allowed: bool = False,
    ) -> CallResult:
        result = CallResult.of(
            call.report(),  # first: the counters are final once the call has ended
            title=title,
            dataplane=dataplane,
            by_kernel=call.by_kernel.total,
            by_agent=call.by_agent.total,
            recovered_flows=recovered_flows,
            loss_allowed=loss_allowed,
        )
        self._view.call_result(result)
        return result

    def _restart_agent(self, lab: Lab, call: CallMonitor) -> None:
        """Kill the relay's agent, let the kernel forward alone for a while, and restart it."""
        _kill(lab, call)
        self._view.step("killed the agent with SIGKILL")
        before = call.by_kernel.total
        call.run_for(DOWN_SECONDS)
        forwarded = call.by_kernel.total - before
        self._view.step(
            f"with no agent running, the kernel forwarded {forwarded} packets in {DOWN_SECONDS} s"
        )
        _start(lab, call)
        if call.recovered_flows:
            self._view.step("restarted the agent: it adopted the flow")

    def _lose_all_state(self, lab: Lab, call: CallMonitor) -> None:
        """Kill the relay's agent, unload its program with all maps, and restart it."""
        _kill(lab, call)
        self._view.step("killed the agent with SIGKILL")
        lab.unload()
        call.agent = "killed, program unloaded"
        self._view.step("unloaded the program and its maps: the relay has no flows")
        _start(lab, call)
        if call.recovered_flows:
            self._view.step("restarted the agent: it restored the flow from Redis")


def _kill(lab: Lab, call: CallMonitor) -> None:
    call.sample()  # its counters end with it
    lab.kill(RELAY_SERVICE)
    call.agent = "killed"


def _start(lab: Lab, call: CallMonitor) -> None:
    """Restart the agent, and monitor the call meanwhile."""
    call.agent = "starting"
    with ThreadPoolExecutor(1) as executor:
        start = executor.submit(lab.start, RELAY_SERVICE)
        call.run_until(start.done)
        start.result()
    call.agent = "running again"
    call.run_for(RECOVERY_SECONDS, lambda: call.recovered_flows > 0)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """A second Ctrl-C must not interrupt the clean-up."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the lock of the demo: all demos use the lab `demo`, to clean up after each other.

    Raises:
        LabError: Another demo is running.
    """
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / f"{NAME}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("A demo is already running on this machine; wait for its end.") from None
        yield
