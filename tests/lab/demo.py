"""The demo: real calls through relays, of which something is lost during each but one."""

import fcntl
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from relay.admin.transport import ask
from relay.dataplane.hostfacts import HostFacts
from relay.wire.endpoint import Endpoint
from tests.lab.call import CallPlace
from tests.lab.call_monitor import CallMonitor
from tests.lab.call_result import CallResult
from tests.lab.config import RELAY_SERVICE, Options
from tests.lab.errors import LabError
from tests.lab.fleet.network import relay_of
from tests.lab.fleet.site import Settings, Site, require
from tests.lab.lab import RUN, Lab, require_root
from tests.lab.view import DemoView
from tests.signals import ENDING, handled

NAME = "demo"
SITE = f"{NAME}-site"
SITE_DIRECTORY = RUN / f"lab-{SITE}"
DOWN_SECONDS = 1.5  # how long the killed agent stays down before it is restarted
RECOVERY_SECONDS = 10.0  # limit for an agent to recover flows; normally at once
KILL_AFTER = 0.3  # of the call's length
CONTINUE_FOR = 0.3  # of the call's length, after its flow was restored
EXTRA_SECONDS = 60.0  # limit for an agent's start during a call; takes 1, with its program 3


class Demo:
    """Runs the demo.

    Args:
        seconds: How long each call lasts.
        view: Prints what happens.
        fail_over: Whether the host of a call is lost, too, one of three.
    """

    def __init__(self, seconds: float, view: DemoView, *, fail_over: bool = True) -> None:
        self._seconds = seconds
        self._view = view
        self._fail_over = fail_over
        self.host: HostFacts | None = None  # what the relay found on this machine

    def run(self) -> list[CallResult]:
        """Place all calls and return their results; the lab is removed in any case.

        Raises:
            IcelaneError: A call could not be placed or monitored; the text says why.
        """
        require_root()
        require(*["bird"] * self._fail_over, "redis-server")
        with exclusive():
            lab, site = Lab(NAME), Site(Settings(SITE), SITE_DIRECTORY)
            lab.down()  # of a demo that was killed
            site.down()
            try:
                calls = [*self._in_kernel(lab), self._in_userspace(lab)]
                return [*calls, self._on_hosts(site)] if self._fail_over else calls
            finally:
                with handled(signal.SIG_IGN, *ENDING):  # a second Ctrl-C, during the clean-up
                    lab.down()
                    site.down()

    def _in_kernel(self, lab: Lab) -> Iterator[CallResult]:
        self._view.section("XDP dataplane: the agent is killed and restarted during a call")
        lab.up(Options(dataplane="xdp", redis=True), self._view.step)
        self.host = HostFacts.load(ask(lab.admin, "status")["host"])
        self._view.step(f"found {self.host}")
        with self._call(lab, self._seconds + EXTRA_SECONDS) as call:
            call.run_for(self._seconds * KILL_AFTER)
            self._restart_agent(lab, call)
            # As long as a call that nothing happens to, or longer where an agent starts slowly.
            gone = self._seconds * KILL_AFTER + DOWN_SECONDS
            call.run_for(max(self._seconds * CONTINUE_FOR, self._seconds - gone))
            call.hang_up()
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
                "XDP, all\nstate lost",
                "xdp",
                recovered_flows=call.recovered_flows,
                loss_until="the restarted agent had restored the flow from Redis",
            )
        lab.down()

    def _in_userspace(self, lab: Lab) -> CallResult:
        self._view.section("Userspace dataplane, for comparison")
        lab.up(Options(dataplane="userspace"), self._view.step)
        with self._call(lab, self._seconds) as call:
            result = self._result(call, "userspace", "userspace")
        lab.down()
        return result

    def _on_hosts(self, site: Site) -> CallResult:
        self._view.section("XDP dataplane, three hosts behind a router: the call's host is lost")
        with site:
            self._view.step(
                f"started {', '.join(site.hosts)}: the router hears of relays by BGP and BFD"
            )
            with self._call(site, self._seconds + EXTRA_SECONDS) as call:
                call.run_for(self._seconds * KILL_AFTER)
                self._lose_host(site, call)
                call.run_for(self._seconds * CONTINUE_FOR)
                call.hang_up()
                return self._result(
                    call,
                    "XDP,\nhost lost",
                    "xdp",
                    recovered_flows=call.recovered_flows,
                    loss_until="another relay had taken the flow over",
                )

    @contextmanager
    def _call(self, place: CallPlace, seconds: float) -> Iterator[CallMonitor]:
        with CallMonitor(place, seconds, self._view) as call:
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
        loss_until: str | None = None,
    ) -> CallResult:
        result = CallResult.of(
            call.report(),  # first: the counters are final once the call has ended
            title=title,
            dataplane=dataplane,
            by_kernel=call.by_kernel.total,
            by_agent=call.by_agent.total,
            recovered_flows=recovered_flows,
            loss_until=loss_until,
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

    def _lose_host(self, site: Site, call: CallMonitor) -> None:
        """Cut the power of the host that forwards the call."""
        relay = relay_of(Endpoint.parse(call.path[2]))
        call.sample()  # its counters end with it
        site.kill(relay)
        call.agent = f"of {relay.host} gone with its host"
        self._view.step(f"cut the power of {relay.host}: links down, processes and maps gone")
        call.run_for(RECOVERY_SECONDS, lambda: call.recovered_flows > 0)
        if call.recovered_flows:
            _, _, upstream, _ = call.path
            took_over = relay_of(Endpoint.parse(upstream)).host
            self._view.step(f"{took_over} took the call over with its first packet")


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
