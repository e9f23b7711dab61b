"""A client is followed while flows run: none of them feels it, whatever happens to who follows.

Four loads run at a time, one for each pair of families.
"""

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from relay.dataplane.kernel import bpfsys, traces
from relay.dataplane.kernel.pins import Pins
from tests.lab.config import icelane
from tests.lab.load import Load
from tests.lab.relay_testbed import RELAY, RelayTestbed
from tests.netns.loads import loads

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

RATE = 200.0  # packets a second, each way and flow
LIMIT = 20.0  # seconds


@pytest.fixture
def testbed(new_testbed: Callable[[str, str], RelayTestbed]) -> RelayTestbed:
    return new_testbed("xdp", "two NICs")


@contextmanager
def tracing(testbed: RelayTestbed, client: str, *options: str) -> Iterator["Running"]:
    """A trace that has told of a packet; it is killed at the end, if it is there yet."""
    words = (icelane(), "trace", client, "--instance", testbed.instance, "--json", *options)
    with subprocess.Popen(
        testbed.hosts[RELAY].command(words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith('{"event": "packet"')
            yield Running(process, process.stdout)
        finally:
            process.kill()


class Running:
    """A trace that runs."""

    def __init__(self, process: "subprocess.Popen[str]", output: IO[str]) -> None:
        self.process = process
        self.output = output

    def lines(self) -> list[dict[str, Any]]:
        """What it prints until it ends."""
        return [json.loads(line) for line in self.output]


def client_of(testbed: RelayTestbed, load: Load) -> str:
    """The client of a load, with its port."""
    (flow,) = (
        each for each in testbed.status()["flows"] if each["upstream"] == str(load.upstreams[0])
    )
    return str(flow["client"])


def runs_its_own(testbed: RelayTestbed) -> bool:
    """Whether all interfaces run the program that is loaded, and nothing else is left."""
    pins = Pins(testbed.instance)
    with bpfsys.pinned(pins.program) as program:
        number = bpfsys.program_info(program).id
    running = set()
    for path in pins.links().values():
        with bpfsys.pinned(path) as link:
            running.add(bpfsys.link_info(link).program_id)
    return running == {number} and not traces.tails_of(pins).exists()


def test_one_of_many_clients_is_followed(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE) as running:
        for load in running:
            client = client_of(testbed, load)
            done = testbed.icelane(
                *("trace", client, "--seconds", "1", "--json", "--instance", testbed.instance)
            )
            assert done.returncode == 0, done.stderr
            *packets, summary = map(json.loads, done.stdout.splitlines())
            assert {each["client"] for each in packets} == {client}
            by_reason = Counter(each["reason"] for each in packets)
            assert {each["reason"]: each["packets"] for each in summary["reasons"]} == by_reason
            assert summary["packets"] == summary["shown"] == len(packets)
            for direction, reason in (
                ("in", "forwarded_to_transceiver"),
                ("out", "forwarded_to_client"),
            ):
                told = [each for each in packets if each["direction"] == direction]
                assert {each["reason"] for each in told} == {reason}
                assert len(told) > 10
            times = [each["time"] for each in packets]
            assert times == sorted(times)
            assert runs_its_own(testbed)


def test_whoever_follows_is_killed(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE) as running:
        with tracing(testbed, client_of(testbed, running[0])) as trace:
            trace.process.send_signal(signal.SIGKILL)
        assert not runs_its_own(testbed)
        deadline = time.monotonic() + LIMIT
        while not runs_its_own(testbed):  # the agent looks every few seconds
            assert time.monotonic() < deadline, "the agent does not clear up"
            running[0].run_for(0.2)


def test_without_an_agent_the_next_trace_clears_up(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE) as running:
        client = client_of(testbed, running[0])
        testbed.signal(signal.SIGKILL)
        try:
            with tracing(testbed, client) as trace:
                trace.process.send_signal(signal.SIGKILL)
            running[0].run_for(0.2)
            assert not runs_its_own(testbed)
            with tracing(testbed, client, "--count", "10") as trace:
                assert trace.lines()[-1]["shown"] == 10
            assert runs_its_own(testbed)
        finally:
            testbed.start()


def test_it_goes_on_while_the_program_is_replaced(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE) as running:
        client = client_of(testbed, running[0])
        with tracing(testbed, client, "--seconds", "60") as trace:
            done = testbed.icelane("relay", "load", "--config", str(testbed.config), "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["outcome"] == "replaced"
            assert trace.process.stderr is not None
            assert "was loaded anew" in trace.process.stderr.readline()
            loaded = time.time()
            packet: dict[str, Any] = {"time": 0.0}
            while packet["time"] < loaded:
                packet = json.loads(trace.output.readline())
            trace.process.send_signal(signal.SIGINT)
            assert trace.lines()[-1]["event"] == "summary"
            assert trace.process.wait(LIMIT) == 0
        assert runs_its_own(testbed)


def test_it_leaves_a_program_alone_that_is_switched_off(testbed: RelayTestbed) -> None:
    with loads(testbed, 50.0, taken_over=True) as running:
        client = client_of(testbed, running[0])
        switch = ("dataplane", "switch")
        where = ("--instance", testbed.instance)
        with tracing(testbed, client, "--seconds", "60") as trace:
            try:
                assert testbed.icelane(*switch, "userspace", *where).returncode == 0
                assert trace.process.stderr is not None
                assert "is switched off" in trace.process.stderr.readline()
                assert testbed.status()["dataplane"] == "userspace"
            finally:
                assert testbed.icelane(*switch, "xdp", *where).returncode == 0
            back = time.time()
            packet: dict[str, Any] = {"time": 0.0}
            while packet["time"] < back:
                packet = json.loads(trace.output.readline())
            trace.process.send_signal(signal.SIGTERM)
            assert trace.process.wait(LIMIT) == 0
        assert runs_its_own(testbed)


def test_a_second_trace_is_told_whose_the_first_is(testbed: RelayTestbed) -> None:
    with loads(testbed, RATE) as running:
        client = client_of(testbed, running[0])
        with tracing(testbed, client, "--seconds", "60") as trace:
            done = testbed.icelane("trace", client, "--instance", testbed.instance)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"by process {trace.process.pid} (" in done.stderr
            assert f"trace {client}" in done.stderr
            trace.process.send_signal(signal.SIGINT)
            assert trace.process.wait(LIMIT) == 0
        assert runs_its_own(testbed)
