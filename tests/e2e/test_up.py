"""`icelane up`: everything in one process, and calls to it."""

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.dataplane.kernel.pins import instances
from relay.netns.host import NAMESPACES, Host
from tests.lab import nat, topology
from tests.lab.config import icelane
from tests.lab.topology import CLIENT, RELAY

START = 30.0  # seconds; a limit
VIP, PRIVATE_VIP = "203.0.113.10:3478", "10.0.0.5:3478"


@contextmanager
def up(command: Sequence[str], log: list[str] | None = None) -> Iterator[str]:
    """Run `icelane up` until it is ready; gives its ready line, and ends it with SIGTERM.

    What it logs is added to `log` at its end.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = _first_line(process)
            assert line.startswith("ready: "), line + process.stderr.read()
            yield line
            process.send_signal(signal.SIGTERM)
            assert process.wait(START) == 0
            if log is not None:
                log += process.stderr.read().splitlines()
        finally:
            process.kill()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        deadline = time.monotonic() + START
        assert selector.select(deadline - time.monotonic()), "icelane up says nothing"
    return process.stdout.readline()


def called(command: Sequence[str]) -> Mapping[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: Mapping[str, Any] = json.loads(done.stdout)
    return report


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_userspace_serves_a_call_on_the_loopback(tmp_path: Path) -> None:
    vip = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    page = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    instance = f"test-up-{os.getpid()}"
    command = [icelane(), "up", "--vip", vip, "--listen", page, "--instance", instance]
    with up(command) as ready:
        assert "userspace dataplane" in ready
        recording = tmp_path / "back.wav"
        call = [icelane(), "call", f"http://{page}", "--seconds", "2", "--json"]
        report = called([*call, "--record", str(recording)])
    assert report["remote"] == vip
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)
    assert report["received"]["energy"] > 0
    assert recording.stat().st_size > 48_000


@pytest.mark.e2e
@pytest.mark.netns
@pytest.mark.bpf
def test_xdp_forwards_to_a_transceiver_in_the_same_process(network: Mapping[str, Host]) -> None:
    relay, client = network[RELAY], network[CLIENT]
    page = "203.0.113.10:8080"
    instance = f"up{os.getpid() % 100_000}"
    command = [icelane(), "up", "--vip", VIP, "--listen", page, "--instance", instance]
    command += ["--dataplane", "xdp", "--interface", "public"]
    with up(relay.command(command)) as ready:
        assert "xdp dataplane" in ready
        report = called(
            client.command([icelane(), "call", f"http://{page}", "--seconds", "2", "--json"])
        )
        listed = subprocess.run(
            [icelane(), "flows", "--json", "--instance", instance],
            capture_output=True,
            text=True,
            check=True,
        )
        (flow,) = json.loads(listed.stdout)
    assert report["remote"] == VIP
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)
    for direction in ("to_transceiver", "to_client"):
        assert flow[direction]["userspace_packets"] <= 2
        assert flow[direction]["kernel_packets"] > 100
    # Nothing is left: neither program nor network.
    assert instance not in instances()
    assert not (NAMESPACES / f"icelane-transceiver-{instance}").exists()


@pytest.fixture
def behind_nat(network_name: str) -> dict[str, Host]:
    """The hosts of a network in which a 1:1 NAT stands before the relay."""
    topology.build(network_name, nat.BEHIND_NAT)
    hosts = topology.hosts(network_name, nat.BEHIND_NAT)
    nat.translate(hosts[topology.NAT])
    return hosts


@pytest.mark.e2e
@pytest.mark.netns
@pytest.mark.parametrize("dataplane", ["userspace", pytest.param("xdp", marks=pytest.mark.bpf)])
def test_behind_a_nat_clients_are_told_what_is_advertised(
    behind_nat: Mapping[str, Host], dataplane: str
) -> None:
    instance, log = f"up{os.getpid() % 100_000}", list[str]()
    command = [icelane(), "up", "--vip", PRIVATE_VIP, "--listen", "0.0.0.0:8080"]
    command += ["--advertise", VIP, "--dataplane", dataplane, "--instance", instance]
    command += ["--interface", "cloud"] if dataplane == "xdp" else []
    call = [icelane(), "call", "http://203.0.113.10:8080", "--seconds", "2", "--json"]
    with up(behind_nat[RELAY].command(command), log) as ready:
        assert f"(media at {VIP}, received at {PRIVATE_VIP}, {dataplane} dataplane)" in ready
        report = called(behind_nat[CLIENT].command(call))
    assert report["remote"] == VIP
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)
    assert not [line for line in log if "private address" in line]


@pytest.mark.netns
def test_a_private_address_that_is_not_advertised_as_another_is_a_hint_in_the_log(
    behind_nat: Mapping[str, Host],
) -> None:
    log: list[str] = []
    command = [icelane(), "up", "--vip", PRIVATE_VIP, "--instance", f"hint{os.getpid() % 100_000}"]
    with up(behind_nat[RELAY].command(command), log) as ready:
        assert f"(media at {PRIVATE_VIP}, userspace dataplane)" in ready
    (hint,) = [line for line in log if "private address" in line]
    assert f"{PRIVATE_VIP} is a private address" in hint
    assert "--advertise" in hint


WRONG_USAGE, FAILED = 2, 1


@pytest.mark.parametrize(
    ("options", "message", "exit_code"),
    [
        (["--dataplane", "xdp"], "name it with --interface", WRONG_USAGE),
        (["--dataplane", "magic"], "none of xdp, userspace, auto", WRONG_USAGE),
        (["--vip", "nonsense"], "not a transport address", WRONG_USAGE),
        (["--advertise", "0.0.0.0:1"], "0.0.0.0:1 is not the address of one host", WRONG_USAGE),
        (
            ["--vip", "127.0.0.1:3478", "--advertise", "[2001:db8::1]:3478"],
            "an IPv6 address is advertised, and no VIP is IPv6: add one with --vip, or leave it",
            WRONG_USAGE,
        ),
        (["--listen", "127.0.0.1"], "not a transport address", WRONG_USAGE),
        (["--vip", "198.51.100.77:3478"], "this host does not have that address", FAILED),
    ],
    ids=[
        "no-interface",
        "no-such-dataplane",
        "bad-vip",
        "nobody",
        "other-family",
        "bad-listen",
        "foreign-vip",
    ],
)
def test_bad_settings_end_it_with_one_line(
    options: Sequence[str], message: str, exit_code: int
) -> None:
    done = subprocess.run(
        [icelane(), "up", "--instance", f"test-up-{os.getpid()}", *options],
        capture_output=True,
        text=True,
        timeout=START,
        check=False,
    )
    assert done.returncode == exit_code
    (line,) = done.stderr.splitlines()
    assert message in line
