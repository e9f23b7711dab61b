"""An XDP relay whose agent has given up root: what it may, and that its helper does the rest.

The machine is a real kernel, the packets are those of four loads, one for each pair of families.
"""

import json
import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.linux import sysctl
from relay.wire.keys import KeyRing
from tests.lab import topology
from tests.lab.config import RELAY_SERVICE, icelane
from tests.lab.process import Process, children
from tests.lab.relay_testbed import RelayTestbed
from tests.lab.service import Service
from tests.lab.topology import INTERNAL, PUBLIC, RELAY
from tests.netns.loads import PAUSE, loads
from tests.relay.run.test_privileges import OPEN, require_unprivileged

NOBODY = pwd.getpwnam("nobody")
RATE = 250.0  # packets a second, each way and flow
VOICE_RATE = 50.0  # at which nothing is overtaken when the agent takes over
NOTICED = 2.0  # seconds without an interface, with what the machine takes for it
LIMIT = 20.0  # seconds for what takes none on an idle machine

pytestmark = [
    pytest.mark.netns,
    pytest.mark.bpf,
    pytest.mark.skipif(not OPEN, reason="others than root must reach this folder"),
]


class UnprivilegedTestbed(RelayTestbed):
    """Its relay becomes nobody."""

    def start(self) -> None:
        os.chown(self.directory / "keys.toml", NOBODY.pw_uid, NOBODY.pw_gid)
        super().start()


@pytest.fixture(scope="module")
def testbed() -> Iterator[RelayTestbed]:
    # Not below pytest's own directory: whoever starts pytest closes that to all others.
    with TemporaryDirectory(prefix="icelane-unprivileged-") as directory:
        Path(directory).chmod(0o755)
        settings = ('user = "nobody"',)
        with UnprivilegedTestbed(f"user-{os.getpid()}", Path(directory), settings=settings) as made:
            yield made


def helper(testbed: RelayTestbed) -> Process:
    (process,) = children(testbed.process())
    comm = Path(f"/proc/{process.pid}/comm").read_text(encoding="ascii").strip()
    assert comm == "icelane-helper"
    return process


def forwarded(testbed: RelayTestbed) -> int:
    return int(testbed.status()["dataplane_counters"]["forwarded_to_client"])


def wait_for(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def said(testbed: RelayTestbed, words: str) -> list[str]:
    return [line for line in testbed.log() if words in line]


def restart(testbed: RelayTestbed, number: signal.Signals) -> None:
    helping = helper(testbed)
    testbed.signal(number)
    assert helping.wait(LIMIT), "it outlives its agent"
    testbed.start()


def test_its_agent_has_nothing_of_root_and_the_kernel_forwards(testbed: RelayTestbed) -> None:
    require_unprivileged(testbed.process().pid)
    before = forwarded(testbed)
    with loads(testbed, RATE) as running:
        pass
    assert forwarded(testbed) - before >= sum(load.to_client.sent for load in running)
    log = testbed.log()
    assert not [line for line in log if "CAP_" in line or "needs root" in line], log
    assert testbed.status()["trouble"] is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_its_helper_goes_with_it_and_the_next_one_adopts(
    testbed: RelayTestbed, number: signal.Signals
) -> None:
    with loads(testbed, RATE):
        flows = {flow["upstream"] for flow in testbed.status()["flows"]}
        restart(testbed, number)
        status = testbed.status()
        assert status["counters"]["adopted"] == len(flows)
        assert {flow["upstream"] for flow in status["flows"]} == flows
    require_unprivileged(testbed.process().pid)


def test_the_next_one_takes_over_with_a_helper_of_its_own(testbed: RelayTestbed) -> None:
    before, helping = testbed.process(), helper(testbed)
    command = (icelane(), "relay", "run", "--config", str(testbed.config), "--takeover")
    with loads(testbed, VOICE_RATE, taken_over=True):
        flows = {flow["upstream"] for flow in testbed.status()["flows"]}
        testbed.run(Service(RELAY_SERVICE, RELAY, command, ready="^ready"))
        assert before.wait(LIMIT)
        assert helping.wait(LIMIT)
        assert {flow["upstream"] for flow in testbed.status()["flows"]} == flows
    require_unprivileged(testbed.process().pid)
    assert helper(testbed).alive()


def test_an_interface_that_comes_back_runs_the_program_again(testbed: RelayTestbed) -> None:
    before = len(said(testbed, "internal is back, and runs"))
    with loads(testbed, RATE, outage=NOTICED) as running:
        topology.remove_link(testbed.hosts[RELAY], INTERNAL)
        topology.restore_link(testbed.name, testbed.network, INTERNAL)
        for load in running:
            load.wait_for_packets()
    back = "internal is back, and runs"
    wait_for(lambda: len(said(testbed, back)) > before, "the agent does not notice")
    counted = forwarded(testbed)
    with loads(testbed, RATE) as running:
        pass
    assert forwarded(testbed) - counted >= sum(load.to_client.sent for load in running)
    status = testbed.icelane("relay", "status", "--instance", testbed.instance, "--json")
    assert json.loads(status.stdout)[0]["interfaces"] == {PUBLIC: "native", INTERNAL: "native"}


def test_forwarding_on_lo_is_mended(testbed: RelayTestbed) -> None:
    name = "net/ipv4/conf/lo/forwarding"
    with testbed.hosts[RELAY].inside():
        sysctl(name, 0)

    def mended() -> bool:
        with testbed.hosts[RELAY].inside():
            return sysctl(name) == 1

    wait_for(mended, "it stays off")


def test_it_switches_unloads_and_takes_what_is_loaded(testbed: RelayTestbed) -> None:
    instance = ("--instance", testbed.instance)
    with loads(testbed, VOICE_RATE, taken_over=True) as running:
        for what, forwarder in (
            (("dataplane", "switch", "userspace", *instance), "userspace"),
            (("dataplane", "switch", "xdp", *instance), "xdp"),
            (("relay", "unload", *instance), "userspace"),
            (("dataplane", "switch", "xdp", *instance), "xdp"),
            (("relay", "unload", *instance), "userspace"),
            (("relay", "load", "--config", str(testbed.config)), "xdp"),
        ):
            done = testbed.icelane(*what)
            assert done.returncode == 0, (what, done.stderr)
            assert testbed.status()["dataplane"] == forwarder, what
            running[0].run_for(PAUSE)


def test_what_is_unloaded_by_force_is_noticed_and_loaded_anew(testbed: RelayTestbed) -> None:
    instance = ("--instance", testbed.instance)
    assert testbed.icelane("relay", "unload", "--force", *instance).returncode == 0
    wait_for(lambda: testbed.status()["dataplane"] == "userspace", "it does not notice")
    done = testbed.icelane("relay", "load", "--config", str(testbed.config))
    assert done.returncode == 0, done.stderr
    assert testbed.status()["dataplane"] == "xdp"


def test_new_keys_and_rates_come_with_a_restart(testbed: RelayTestbed) -> None:
    pins = Pins(testbed.instance)

    def told() -> dict[str, list[tuple[bytes, bytes]]]:
        found = {}
        for name in ("route_keys", "rate_limits"):
            with PinnedMap(pins.map(name)) as table:
                found[name] = list(table.items())
        return found

    before, written = told(), testbed.config.read_text("utf-8")
    testbed.keys = KeyRing.generate(os.urandom)
    (testbed.directory / "keys.toml").write_text(testbed.keys.dumps(), "utf-8")
    try:
        testbed.config.write_text(written + "setup-rate = 123\n", "utf-8")
        restart(testbed, signal.SIGTERM)
    finally:
        testbed.config.write_text(written, "utf-8")
    assert {name for name, entries in told().items() if entries != before[name]} == set(before)
    with loads(testbed, RATE):  # of routes with the new keys
        pass


def test_its_helper_dies_and_the_kernel_goes_on(testbed: RelayTestbed) -> None:
    words = "The relay's privileged helper has ended"
    try:
        with loads(testbed, RATE) as running:
            before = forwarded(testbed)
            helper(testbed).signal(signal.SIGKILL)
            wait_for(lambda: said(testbed, words), "nobody tells")
            running[0].run_for(PAUSE)
            assert forwarded(testbed) > before
        status = testbed.status()
        assert words in status["trouble"]
        assert (status["dataplane"], status["ready"]) == ("xdp", True)
        with loads(testbed, RATE):  # new flows are installed by descriptor
            pass
        # So are new keys, which relays are told of by their file.
        added = testbed.icelane("keys", "add", str(testbed.directory / "keys.toml"))
        assert added.returncode == 0, added.stderr
        wait_for(lambda: len(testbed.status()["keys"]["slots"]) == 2, "the kernel has both keys")
        done = testbed.icelane("dataplane", "switch", "userspace", "--instance", testbed.instance)
        assert done.returncode != 0
        assert words in done.stderr
        wait_for(lambda: not children(testbed.process()), "it is not reaped")
        assert len(said(testbed, words)) == 1
    finally:
        testbed.signal(signal.SIGTERM)
        testbed.start()
    assert testbed.status()["trouble"] is None
