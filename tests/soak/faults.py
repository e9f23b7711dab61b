"""Doing to a relay what a plan says."""

import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyroute2.netlink.exceptions import NetlinkError

from relay.dataplane.interface import DataplaneChoice
from relay.wire.endpoint import Endpoint
from relay.wire.route import UFRAG_SIZE
from tests.lab import binding, topology
from tests.lab.config import REDIS_SERVICE, redis_service
from tests.lab.errors import LabError
from tests.lab.process import Process, children
from tests.lab.relay_testbed import RelayTestbed, udp_socket, vip
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER
from tests.soak.calls import Calls
from tests.soak.plan import Fault, Step

FLOOD_RATE = 4_000.0  # packets a second
_FLOOD_SOURCES = 64
_FLOOD_EVERY = 0.005  # seconds between two bursts
_REPLACED_SECONDS = 20.0  # at most, until a worker that hangs is noticed
_RENAMED = "elsewhere"
_LINK_ENDS = ((CLIENT, PUBLIC), (RELAY, PUBLIC), (RELAY, INTERNAL), (TRANSCEIVER, INTERNAL))
_CUTS_USERSPACE = frozenset(
    (
        Fault.AGENT_KILLED,
        Fault.AGENT_RESTARTED,
        Fault.AGENT_HANGS,
        Fault.WORKER_KILLED,
        Fault.WORKER_HANGS,
    )
)


class Faults:
    """What can be done to a relay.

    Args:
        testbed: The relay.
        calls: What goes through it.
        rng: What floods are made of.
    """

    def __init__(self, testbed: RelayTestbed, calls: Calls, rng: random.Random) -> None:
        self._testbed = testbed
        self._calls = calls
        self._rng = rng
        self._cut = False

    def run(self, step: Step) -> bool:
        """Do one step; whether packets of flows may be lost meanwhile.

        Raises:
            LabError: Something does not do as it should.
        """
        by_agent = self._testbed.dataplane == DataplaneChoice.USERSPACE
        self._cut = by_agent and step.fault in _CUTS_USERSPACE
        _DO[step.fault](self, step)
        return self._cut

    def kill_agent(self, step: Step) -> None:
        """End the agent without a word, and start another one a while later."""
        self._testbed.signal(signal.SIGKILL)
        self._calls.run_for(step.length)
        self._testbed.start()

    def restart_agent(self, _: Step) -> None:
        """Let the agent end, and start another one."""
        self._testbed.signal(signal.SIGTERM)
        self._testbed.start()

    def stop_agent(self, step: Step) -> None:
        """Let the agent do nothing for a while."""
        self._stop(self._testbed.process(), step)

    def kill_worker(self, step: Step) -> None:
        """End one of several workers."""
        worker = step.pick(children(self._testbed.process()))
        worker.signal(signal.SIGKILL)

    def hang_worker(self, step: Step) -> None:
        """Let one of several workers do nothing, until it is replaced."""
        worker = step.pick(children(self._testbed.process()))
        worker.signal(signal.SIGSTOP)
        deadline = time.monotonic() + _REPLACED_SECONDS
        while worker.alive():
            if time.monotonic() > deadline:
                worker.signal(signal.SIGCONT)
                raise LabError(f"A worker that hangs was not replaced in {_REPLACED_SECONDS:.0f} s")
            self._calls.run_for(_FLOOD_EVERY)

    def kill_redis(self, step: Step) -> None:
        """End Redis with all that it had, and start another one a while later."""
        redis = self._testbed.process(REDIS_SERVICE)
        redis.signal(signal.SIGKILL)
        self._calls.run_for(step.length)
        self._testbed.run(redis_service(self._testbed.directory))

    def stop_redis(self, step: Step) -> None:
        """Let Redis answer nobody for a while."""
        self._stop(self._testbed.process(REDIS_SERVICE), step)

    def take_link_down(self, step: Step) -> None:
        """Take one end of a link down for a while."""
        self._cut = True
        host, interface = step.pick(_LINK_ENDS)
        self._set_link(host, interface, state="down")
        self._calls.run_for(step.length)
        self._set_link(host, interface, state="up")

    def rename_interface(self, step: Step) -> None:
        """Give an interface of the relay another name for a while."""
        interface = step.pick((PUBLIC, INTERNAL))
        self._rename(interface, _RENAMED)
        self._calls.run_for(step.length)
        self._rename(_RENAMED, interface)

    def replace_program(self, _: Step) -> None:
        """Load the program again."""
        self._command("relay", "load", "--config", str(self._testbed.config))

    def switch(self, step: Step) -> None:
        """Let the agent forward for a while."""
        instance = ("--instance", self._testbed.instance)
        self._command("dataplane", "switch", "userspace", *instance)
        self._calls.run_for(step.length)
        self._command("dataplane", "switch", "xdp", *instance)

    def unload(self, step: Step) -> None:
        """Unload the program, which the agent does, and load it again, which it does, too."""
        self._command("relay", "unload", "--instance", self._testbed.instance)
        self._calls.run_for(step.length)
        self._command("relay", "load", "--config", str(self._testbed.config))

    def unload_by_force(self, step: Step) -> None:
        """Take the program away under the agent, which has to notice."""
        self._cut = True
        self._command("relay", "unload", "--force", "--instance", self._testbed.instance)
        self._calls.wait_until_all_pass()
        self._calls.run_for(step.length)
        self._command("relay", "load", "--config", str(self._testbed.config))

    def flood_with_junk(self, step: Step) -> None:
        """Send what is none of WebRTC's protocols, or none of a known client."""
        self._flood(step, lambda: self._rng.randbytes(self._rng.randrange(1, 200)))

    def flood_with_forged_checks(self, step: Step) -> None:
        """Send checks whose ufrags nobody has made."""

        def forged() -> bytes:
            ufrag = "".join(
                self._rng.choices("abcdefghijklmnopqrstuvwxyz0123456789+/", k=UFRAG_SIZE)
            )
            return binding.check(f"{ufrag}:forged".encode())

        self._flood(step, forged)

    def flood_with_replayed_ufrag(self, step: Step) -> None:
        """Send checks with the ufrag of a call, which its transceiver does not answer."""
        ufrag = step.pick(self._calls.calls).username.partition(b":")[0]
        self._flood(step, lambda: binding.check(ufrag + b":replayed"))

    def _stop(self, process: Process, step: Step) -> None:
        process.signal(signal.SIGSTOP)
        try:
            self._calls.run_for(step.length)
        finally:
            process.signal(signal.SIGCONT)

    def _command(self, *arguments: str) -> None:
        done = self._testbed.icelane(*arguments)
        if done.returncode != 0:
            raise LabError(f"`icelane {' '.join(arguments)}` failed: {done.stderr.strip()}")

    def _set_link(self, host: str, interface: str, **changes: str) -> None:
        with self._testbed.hosts[host].netlink() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], **changes)

    def _rename(self, name: str, wanted: str) -> None:
        try:
            self._set_link(RELAY, name, ifname=wanted)
        except NetlinkError:  # kernels before 6.2 rename only what is down
            self._cut = True
            self._set_link(RELAY, name, state="down")
            self._set_link(RELAY, name, ifname=wanted)
            self._set_link(RELAY, wanted, state="up")

    def _flood(self, step: Step, packet: Callable[[], bytes]) -> None:
        with self._sources() as sources:
            end = time.monotonic() + step.length
            while time.monotonic() < end:
                for _ in range(round(FLOOD_RATE * _FLOOD_EVERY)):
                    udp, to = self._rng.choice(sources)
                    udp.sendto(packet(), to)
                self._calls.run_for(_FLOOD_EVERY)

    @contextmanager
    def _sources(self) -> Iterator[list[tuple[socket.socket, Endpoint]]]:
        sources = []
        try:
            for number in range(_FLOOD_SOURCES):
                version = (4, 6)[number % 2]
                local = Endpoint(topology.address(CLIENT, PUBLIC, version=version), 0)
                sources.append((udp_socket(self._testbed.hosts[CLIENT], local), vip(version)))
            yield sources
        finally:
            for udp, _ in sources:
                udp.close()


_DO: dict[Fault, Callable[[Faults, Step], None]] = {
    Fault.AGENT_KILLED: Faults.kill_agent,
    Fault.AGENT_RESTARTED: Faults.restart_agent,
    Fault.AGENT_HANGS: Faults.stop_agent,
    Fault.WORKER_KILLED: Faults.kill_worker,
    Fault.WORKER_HANGS: Faults.hang_worker,
    Fault.REDIS_KILLED: Faults.kill_redis,
    Fault.REDIS_HANGS: Faults.stop_redis,
    Fault.LINK_DOWN: Faults.take_link_down,
    Fault.INTERFACE_RENAMED: Faults.rename_interface,
    Fault.PROGRAM_REPLACED: Faults.replace_program,
    Fault.SWITCHED: Faults.switch,
    Fault.UNLOADED: Faults.unload,
    Fault.UNLOADED_BY_FORCE: Faults.unload_by_force,
    Fault.JUNK: Faults.flood_with_junk,
    Fault.FORGED: Faults.flood_with_forged_checks,
    Fault.REPLAYED: Faults.flood_with_replayed_ufrag,
}
