"""`icelane up`: everything in one process, and calls to it."""

import json
import os
import selectors
import signal
import socket
import subprocess
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from relay.admin.snapshot import take_snapshot
from relay.dataplane.kernel.pins import instances
from relay.netns.host import NAMESPACES, Host
from tests.lab import nat, topology
from tests.lab.config import icelane
from tests.lab.topology import CLIENT, RELAY
from tests.ports import free_port

START = 90.0  # seconds; a limit, as a start on a busy machine has taken 30
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


def flow_with(instance: str, packets: int) -> Mapping[str, Any]:
    """The only flow of an instance, once the kernel has forwarded so many packets each way."""
    deadline = time.monotonic() + START
    command = [icelane(), "flows", "--json", "--instance", instance]
    while time.monotonic() < deadline:
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        for flow in json.loads(listed.stdout):
            ways = flow["to_transceiver"], flow["to_client"]
            if all(way["kernel_packets"] > packets for way in ways):
                found: Mapping[str, Any] = flow
                return found
        time.sleep(0.05)
    raise AssertionError(f"no flow has {packets} packets: {listed.stdout}")


def test_userspace_serves_a_call_on_the_loopback(tmp_path: Path) -> None:
    vip = f"127.0.0.1:{free_port()}"
    page = f"127.0.0.1:{free_port()}"
    instance = f"test-up-{os.getpid()}"
    command = [icelane(), "up", "--vip", vip, "--listen", page, "--instance", instance]
    with up([*command, "--backend", "echo"]) as ready:
        assert "userspace dataplane" in ready
        recording = tmp_path / "back.wav"
        call = [icelane(), "call", f"http://{page}", "--seconds", "2", "--json"]
        report = called([*call, "--record", str(recording)])
    assert report["remote"] == vip
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)
    assert report["received"]["energy"] > 0
    assert recording.stat().st_size > 48_000


def test_several_workers_take_the_calls_in_turn() -> None:
    vip = f"127.0.0.1:{free_port()}"
    page = f"127.0.0.1:{free_port()}"
    instance = f"test-workers-{os.getpid()}"
    command = [icelane(), "up", "--vip", vip, "--listen", page, "--instance", instance]
    with up([*command, "--backend", "echo", "--workers", "2"]):
        controls = controls_of(instance)
        call = [icelane(), "call", f"http://{page}", "--seconds", "4", "--json"]
        with (
            subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as one,
            subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as other,
        ):
            slots = with_calls(controls, 2)
            reports = [json.loads(each.communicate(timeout=START)[0]) for each in (one, other)]
    assert slots == {"1/1.1", "1/2.1"}
    for report in reports:
        assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)


def controls_of(instance: str) -> Mapping[str, str]:
    """The control API of each transceiver of an instance."""
    known = take_snapshot(instance, None)["transceivers"]
    return {each["target"]: each["control"] for each in known}


def with_calls(controls: Mapping[str, str], count: int) -> set[str]:
    """The transceivers that have had calls, once so many have."""
    found: set[str] = set()
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        for target, control in controls.items():
            with urlopen(f"{control}/v1/sessions", timeout=START) as listed:  # noqa: S310  # ours
                found |= {target} if json.load(listed)["sessions"] else set()
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"fewer than {count} transceivers have calls: {found}")


@pytest.mark.alone  # it is understood and answered in real time
def test_a_question_is_answered_by_the_offline_agent(tmp_path: Path) -> None:
    """As it comes: nothing is chosen, and nothing asked for but what the clock says."""
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    synthesis = ["espeak-ng", "-w", str(question), "what time is it"]
    subprocess.run(synthesis, check=True, timeout=START)
    with wave.open(str(question)) as spoken:
        form, words = spoken.getparams(), spoken.readframes(spoken.getnframes())
    with wave.open(str(question), "wb") as padded:
        padded.setparams(form)
        padded.writeframes(words + bytes(8 * form.framerate * form.sampwidth))
    vip = f"127.0.0.1:{free_port()}"
    page = f"127.0.0.1:{free_port()}"
    command = [icelane(), "up", "--vip", vip, "--listen", page]
    with up([*command, "--instance", f"test-agent-{os.getpid()}"]):
        with urlopen(f"http://{page}/v1/models", timeout=START) as listed:
            assert [each["id"] for each in json.load(listed)["data"]] == ["agent", "echo"]
        call = [icelane(), "call", f"http://{page}", "--wav", str(question), "--seconds", "7"]
        report = called([*call, "--record", str(answer), "--json"])
        echoed = called([*call[:3], "--model", "echo", "--seconds", "1", "--json"])
    assert report["received"]["seconds"] > 0.5  # a sentence, and not all of the call
    assert report["received"]["energy"] > 0
    assert report["received"]["packets"] < report["sent"] / 2
    assert echoed["received"]["packets"] > 10


@pytest.mark.e2e
@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.parametrize("workers", ["1", "2"])
def test_xdp_forwards_to_a_transceiver_on_the_same_host(
    network: Mapping[str, Host], workers: str
) -> None:
    relay, client = network[RELAY], network[CLIENT]
    page = "203.0.113.10:8080"
    instance = f"up{os.getpid() % 100_000}"
    command = [icelane(), "up", "--vip", VIP, "--listen", page, "--instance", instance]
    command += ["--dataplane", "xdp", "--interface", "public", "--open", "--backend", "echo"]
    command += ["--workers", workers]
    with up(relay.command(command)) as ready:
        assert "xdp dataplane" in ready
        call = client.command([icelane(), "call", f"http://{page}", "--seconds", "4", "--json"])
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as calling:
            flow = flow_with(instance, packets=100)  # when it has ended, its flow goes
            output, _ = calling.communicate(timeout=START)
        report = json.loads(output)
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
    command = [icelane(), "up", "--vip", PRIVATE_VIP, "--listen", "0.0.0.0:8080", "--open"]
    command += ["--advertise", VIP, "--dataplane", dataplane, "--instance", instance]
    command += ["--interface", "cloud"] if dataplane == "xdp" else []
    command += ["--backend", "echo"]
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


NO_ROUTE = """
ip link set lo up && ip link add a0 type veth peer name a1 && ip link set a0 up &&
ip address add 198.18.0.2/24 dev a0 && exec "$@"
"""


@pytest.mark.netns
def test_without_a_route_media_is_at_an_address_that_browsers_use() -> None:
    """Such as on a laptop that is on no network: browsers use no loopback for calls."""
    log: list[str] = []
    alone = ["unshare", "--net", "sh", "-c", NO_ROUTE, "sh", icelane(), "up", "--backend", "echo"]
    with up([*alone, "--instance", f"route{os.getpid() % 100_000}"], log) as ready:
        assert "media at 198.18.0.2:3478" in ready
    assert [line for line in log if "only clients on it reach 198.18.0.2" in line]


@pytest.mark.parametrize(
    ("option", "kind"), [("--listen", socket.SOCK_STREAM), ("--vip", socket.SOCK_DGRAM)]
)
def test_a_port_that_is_taken_is_told_with_the_option_that_helps(
    option: str, kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        free = {
            "--vip": f"127.0.0.1:{free_port()}",
            "--listen": f"127.0.0.1:{free_port()}",
        }
        options = [each for named in (free | {option: taken}).items() for each in named]
        command = [icelane(), "up", "--instance", f"test-up-{os.getpid()}", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START, check=False)
    assert done.returncode == FAILED
    (line,) = done.stderr.splitlines()
    assert f"cannot listen on {taken}" in line
    assert f"choose another port with {option}" in line


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
        (["--listen", "0.0.0.0:8080"], "or say with --open that everybody may", WRONG_USAGE),
        (["--vip", "198.51.100.77:3478"], "this host has no such address", FAILED),
    ],
    ids=[
        "no-interface",
        "no-such-dataplane",
        "bad-vip",
        "nobody",
        "other-family",
        "bad-listen",
        "open-by-oversight",
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
