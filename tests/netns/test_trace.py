"""A client is followed while flows run: none of them feels it, whatever happens to who follows.

Four loads run at a time, one for each pair of families.
"""

import json
import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from relay.dataplane.kernel import bpfsys, traces
from relay.dataplane.kernel.pins import Pins
from tests.lab.config import icelane
from tests.lab.load import Load
from tests.lab.relay_testbed import RelayTestbed
from tests.lab.topology import RELAY
from tests.netns.loads import loads

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

RATE = 200.0  # packets a second, each way and flow
VOICE_RATE = 50.0  # as when the kernel takes over from an agent, see test_interruptions.py
LIMIT = 20.0  # seconds
Follow = Callable[..., "Running"]


@pytest.fixture
def testbed(new_testbed: Callable[[str, str], RelayTestbed]) -> RelayTestbed:
    return new_testbed("xdp", "two NICs")


class Running:
    """A trace that runs.

    Args:
        process: It.
        output: Where its standard output goes; that of errors is beside it.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process = process
        self._output = output

    def lines(self) -> list[dict[str, Any]]:
        """What it has printed."""
        text = self._output.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def wait_for(self, what: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until it has printed such an object."""
        wait(lambda: any(map(what, self.lines())), f"it printed {self.lines()[-3:]}")

    def wait_for_note(self, words: str) -> None:
        """Wait until it has said something."""
        notes = self._output.with_suffix(".err")
        wait(lambda: words in notes.read_text(encoding="utf-8"), words)

    def end(self, number: signal.Signals) -> None:
        """Let a signal end it as it should."""
        self.process.send_signal(number)
        assert self.process.wait(LIMIT) == 0
        assert self.lines()[-1]["event"] == "summary"


def wait(condition: Callable[[], bool], words: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, words
        time.sleep(0.05)


@pytest.fixture
def follow(testbed: RelayTestbed, tmp_path: Path) -> Iterator[Follow]:
    """Starts a trace, and waits until it has told of a packet; it is killed at the end."""
    with ExitStack() as stack:

        def start(client: str, *options: str) -> Running:
            words = (icelane(), "trace", client, "--instance", testbed.instance, "--json", *options)
            output = tmp_path / f"{secrets.token_hex(4)}.out"
            process = stack.enter_context(
                subprocess.Popen(
                    testbed.hosts[RELAY].command(words),
                    stdout=stack.enter_context(output.open("wb")),
                    stderr=stack.enter_context(output.with_suffix(".err").open("wb")),
                )
            )
            stack.callback(process.kill)
            running = Running(process, output)
            running.wait_for(lambda line: line["event"] == "packet")
            return running

        yield start


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


def test_whoever_follows_is_killed(testbed: RelayTestbed, follow: Follow) -> None:
    with loads(testbed, RATE) as running:
        trace = follow(client_of(testbed, running[0]))
        trace.process.kill()
        trace.process.wait(LIMIT)
        assert not runs_its_own(testbed)
        wait(lambda: runs_its_own(testbed), "the agent clears up, who looks every few seconds")


def test_without_an_agent_the_next_trace_clears_up(testbed: RelayTestbed, follow: Follow) -> None:
    with loads(testbed, RATE) as running:
        client = client_of(testbed, running[0])
        testbed.signal(signal.SIGKILL)
        try:
            trace = follow(client)
            trace.process.kill()
            trace.process.wait(LIMIT)
            running[0].run_for(0.2)
            assert not runs_its_own(testbed)
            trace = follow(client, "--count", "10")
            assert trace.process.wait(LIMIT) == 0
            assert trace.lines()[-1]["shown"] == 10
            assert runs_its_own(testbed)
        finally:
            testbed.start()


def test_it_goes_on_while_the_program_is_replaced(testbed: RelayTestbed, follow: Follow) -> None:
    with loads(testbed, RATE) as running:
        trace = follow(client_of(testbed, running[0]), "--seconds", "60")
        done = testbed.icelane("relay", "load", "--config", str(testbed.config), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["outcome"] == "replaced"
        trace.wait_for_note("was loaded anew")
        loaded = time.time()
        trace.wait_for(lambda line: bool(line["time"] > loaded))
        trace.end(signal.SIGINT)
        assert runs_its_own(testbed)


def test_it_leaves_a_program_alone_that_is_switched_off(
    testbed: RelayTestbed, follow: Follow
) -> None:
    where = ("--instance", testbed.instance)
    with loads(testbed, VOICE_RATE) as running:
        trace = follow(client_of(testbed, running[0]), "--seconds", "60")
        try:
            assert testbed.icelane("dataplane", "switch", "userspace", *where).returncode == 0
            trace.wait_for_note("is switched off")
            assert testbed.status()["dataplane"] == "userspace"
        finally:
            assert testbed.icelane("dataplane", "switch", "xdp", *where).returncode == 0
        back = time.time()
        trace.wait_for(lambda line: bool(line["time"] > back))
        trace.end(signal.SIGTERM)
        assert runs_its_own(testbed)


def test_a_second_trace_is_told_whose_the_first_is(testbed: RelayTestbed, follow: Follow) -> None:
    with loads(testbed, RATE) as running:
        client = client_of(testbed, running[0])
        trace = follow(client, "--seconds", "60")
        done = testbed.icelane("trace", client, "--instance", testbed.instance)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"by process {trace.process.pid} (" in done.stderr
        assert f"trace {client}" in done.stderr
        trace.end(signal.SIGINT)
        assert runs_its_own(testbed)
