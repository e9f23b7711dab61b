"""A relay of several workers, as a user starts it, on the loopback."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from relay.admin.transport import ask
from relay.config.privatefiles import write_private
from relay.errors import AdminError
from relay.run.workers.shard import shard_of
from relay.wire import stun
from relay.wire.announcement import is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.framing import frame
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.ports import free_port
from tests.relay.conftest import FLOWS, RTP, RedisServer
from tests.relay.forwarding.tcppair import TcpClient

ICELANE = Path(sys.executable).with_name("icelane")
WORKERS, CLIENTS = 2, 12
LIMIT = 20.0  # seconds until what must happen has happened
KEYS = KeyRing({0: bytes(range(32))}, 0)
TARGET = Target(1, 1, 1)


def udp_socket(host: str = "127.0.0.1") -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((host, 0))
    udp.settimeout(0.5)
    return udp


def address(udp: socket.socket) -> Endpoint:
    return Endpoint.of(udp.getsockname())


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.02)


def check() -> tuple[bytes, bytes]:
    """A check with a route of its own, and a success for it."""
    ufrag = mint(TARGET, KEYS, now=time.time(), lifetime=60, nonce=os.urandom(4)).ufrag
    username = (stun.Attribute.USERNAME, f"{ufrag}:peer".encode())
    request = stun.Message(
        stun.MessageClass.REQUEST, stun.BINDING, os.urandom(12), (username,)
    ).serialize(b"password")
    success = stun.Message(stun.MessageClass.SUCCESS, stun.BINDING, request[8:20], ())
    return request, success.serialize(b"password")


class Relay:
    """A relay, its transceiver, and clients at addresses of their own."""

    def __init__(self, directory: Path) -> None:
        self.admin = directory / "admin.sock"
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        self.transceiver = udp_socket()
        with udp_socket() as free:
            self.vip = address(free)
        self.clients = [udp_socket(f"127.0.0.{2 + number}") for number in range(CLIENTS)]
        write_private(directory / "keys.toml", KEYS.dumps().encode())
        (directory / "registry.toml").write_text(
            "[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\n"
            f'address = "{address(self.transceiver)}"\n'
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for udp in (*self.clients, self.transceiver):
            udp.close()

    def command(self, options: dict[str, str]) -> list[str]:
        settings = {
            "vip": str(self.vip),
            "upstream": "127.0.0.1",
            "ports": "20000-20999",
            "keys": str(self._directory / "keys.toml"),
            "registry": str(self._directory / "registry.toml"),
            "dataplane": "userspace",
            "admin": str(self.admin),
            "workers": str(WORKERS),
        } | options
        arguments = (f"--{name}={value}" for name, value in settings.items())
        return [str(ICELANE), "relay", "run", *arguments]

    def start(self, **options: str) -> None:
        self._process = subprocess.Popen(
            self.command(options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        assert f"{WORKERS} userspace workers" in ready, self._process.communicate()

    def refused(self, **options: str) -> str:
        """What a relay says that does not start."""
        ran = subprocess.run(
            self.command(options), capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert ran.returncode == 1
        assert ran.stdout == ""
        assert "Traceback" not in ran.stderr
        return ran.stderr

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it said."""
        if self._process is None:
            return 0, ""
        process, self._process = self._process, None
        process.send_signal(number)
        _, said = process.communicate(timeout=LIMIT)
        return process.returncode, said

    def ask(self, command: str, **fields: str) -> dict[str, Any]:
        return ask(self.admin, command, LIMIT, **fields)

    def pids(self) -> list[int]:
        return [worker["pid"] for worker in self.ask("status")["workers"]]

    def connect(self, client: socket.socket) -> Endpoint:
        """Check until the answer has come; the upstream address."""
        request, success = check()
        for _ in range(20):
            client.sendto(request, self.vip)
            try:
                data = b""
                while data != request:
                    data, upstream = self.transceiver.recvfrom(2048)
                self.transceiver.sendto(success, upstream)
                assert client.recv(2048) == success
            except TimeoutError:
                continue
            return Endpoint.of(upstream)
        raise AssertionError("no answer")

    def connect_over_tcp(self, client: TcpClient) -> Endpoint:
        """A check and its answer; the upstream address."""
        request, success = check()
        client.tcp.settimeout(LIMIT)
        client.tcp.sendall(frame(request))
        self.transceiver.settimeout(LIMIT)
        data = b""
        while data != request:
            data, upstream = self.transceiver.recvfrom(2048)
        self.transceiver.sendto(success, upstream)
        assert client.tcp.recv(2048) == frame(success)
        return Endpoint.of(upstream)

    def passes(self, client: socket.socket, upstream: Endpoint) -> None:
        """Media goes both ways."""
        client.sendto(RTP, self.vip)
        data = b""
        while data != RTP:  # checks come before, that waited for their worker, and announcements
            data, source = self.transceiver.recvfrom(2048)
        assert Endpoint.of(source) == upstream
        self.transceiver.sendto(RTP, upstream)
        assert client.recvfrom(2048) == (RTP, self.vip)

    def worker_of(self, client: socket.socket) -> int:
        return shard_of(address(client), WORKERS, KEYS.shard_seed(1))


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    with Relay(tmp_path) as made:
        yield made


def test_clients_are_shared_out_and_told_as_one(relay: Relay) -> None:
    relay.start()
    upstreams = {client: relay.connect(client) for client in relay.clients}
    for client, upstream in upstreams.items():
        relay.passes(client, upstream)
    assert {relay.worker_of(client) for client in relay.clients} == {0, 1}
    for index in range(WORKERS):
        flows = ask(relay.admin.with_name(f"{relay.admin.name}.{index}"), "status")["flows"]
        mine = [client for client in relay.clients if relay.worker_of(client) == index]
        assert {flow["client"] for flow in flows} == {str(address(client)) for client in mine}
        assert {upstreams[client].port % WORKERS for client in mine} == {index}
    status = relay.ask("status")
    assert {flow["upstream"] for flow in status["flows"]} == set(map(str, upstreams.values()))
    assert all(flow["to_transceiver"]["packets"] == 2 for flow in status["flows"])
    assert status["dataplane"] == "userspace"
    assert status["vips"] == status["advertised"] == [str(relay.vip)]
    assert status["counters"]["confirmed"] == relay.ask("counters")["confirmed"] == CLIENTS
    assert relay.ask("flow_counts") == {"confirmed": CLIENTS, "pending": 0}


def test_worker_that_is_killed_is_started_again_and_the_other_goes_on(relay: Relay) -> None:
    relay.start()
    upstreams = {client: relay.connect(client) for client in relay.clients}
    pids = relay.pids()
    os.kill(pids[0], signal.SIGKILL)
    others = [client for client in relay.clients if relay.worker_of(client) == 1]
    for client in others:
        relay.passes(client, upstreams[client])
    wait_until(lambda: relay.ask("counters").get("workers_restarted") == 1, "it is seen")
    # A client checks again and again, and its flow has the same upstream address as before.
    for client in relay.clients:
        if client not in others:
            assert relay.connect(client) == upstreams[client]
            relay.passes(client, upstreams[client])
    after = relay.pids()
    assert after[0] != pids[0]
    assert after[1] == pids[1]
    code, said = relay.stop()
    assert code == 0
    assert "worker 0 ended (killed by SIGKILL) and is started again" in said
    assert "Traceback" not in said


def test_worker_that_hangs_is_replaced(relay: Relay) -> None:
    metrics = Endpoint("127.0.0.1", free_port())
    relay.start(metrics=str(metrics))
    upstreams = {client: relay.connect(client) for client in relay.clients}
    pids = relay.pids()
    os.kill(pids[0], signal.SIGSTOP)
    wait_until(lambda: relay.ask("counters").get("workers_restarted") == 1, "it is replaced")
    assert relay.ask("counters")["workers_hung"] == 1
    for client, upstream in upstreams.items():
        if relay.worker_of(client) == 0:
            assert relay.connect(client) == upstream
        relay.passes(client, upstream)
    wait_until(lambda: relay.pids()[0] != pids[0], "another process has its place")
    assert relay.pids()[1] == pids[1]
    with urllib.request.urlopen(f"http://{metrics}/readyz", timeout=LIMIT) as answer:
        assert answer.read() == b"ok\n"
    _, said = relay.stop()
    assert "worker 0 hung (it said nothing for 10 s) and is started again" in said
    assert "Traceback" not in said


def test_worker_that_ends_again_and_again_is_started_more_and_more_seldom(relay: Relay) -> None:
    relay.start()
    in_its_way = relay.admin.with_name(f"{relay.admin.name}.0")
    pid = relay.pids()[0]
    os.kill(pid, signal.SIGSTOP)
    in_its_way.unlink()
    in_its_way.mkdir()  # from now on it does not start
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: relay.ask("counters").get("workers_not_started") == 4, "it is tried again")
    assert time.monotonic() - killed >= 0.1 + 0.2 + 0.4 + 0.8  # the pauses before
    assert not relay.ask("status")["ready"]
    in_its_way.rmdir()
    wait_until(lambda: relay.ask("status")["ready"], "it is back")
    _, said = relay.stop()
    assert "worker 0 does not start; see what it says above; trying again" in said
    assert "Traceback" not in said


def test_datagrams_wait_while_a_worker_is_started_again(relay: Relay) -> None:
    relay.start()
    client = relay.clients[0]
    worker = relay.worker_of(client)
    pid = relay.pids()[worker]
    os.kill(pid, signal.SIGSTOP)  # it reads nothing more, and is killed before it could
    request, _ = check()
    client.sendto(request, relay.vip)
    os.kill(pid, signal.SIGKILL)
    relay.transceiver.settimeout(LIMIT)
    assert is_announcement(relay.transceiver.recv(2048))
    assert relay.transceiver.recv(2048) == request


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_relay(relay: Relay, number: signal.Signals) -> None:
    relay.start()
    pids = relay.pids()
    relay.stop(number)
    wait_until(lambda: not any(_alive(pid) for pid in pids), "the workers are gone")
    relay.start()  # nothing is left in its way
    if number is not signal.SIGKILL:
        relay.stop()
        assert list(relay.admin.parent.glob("*.sock*")) == []


def test_each_worker_restores_its_own_flows(relay: Relay, redis_server: RedisServer) -> None:
    relay.start(redis=redis_server.url)
    upstreams = {client: relay.connect(client) for client in relay.clients}
    keeper = redis_server.client()
    wait_until(lambda: len(keeper.keys(FLOWS)) == CLIENTS, "the flows are mirrored")
    relay.stop()
    relay.start(redis=redis_server.url)
    wait_until(lambda: relay.ask("flow_counts")["confirmed"] == CLIENTS, "they are restored")
    assert relay.ask("counters")["restored"] == CLIENTS
    for client, upstream in upstreams.items():
        relay.passes(client, upstream)


def test_clients_over_tcp_are_accepted_by_whichever_worker_is_there(relay: Relay) -> None:
    relay.start(tcp=str(relay.vip))
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(TcpClient(relay.vip)) for _ in range(CLIENTS)]
        upstreams = [relay.connect_over_tcp(client) for client in first]
        assert len(set(upstreams)) == CLIENTS
        flows = relay.ask("status")["flows"]
        assert {flow["upstream"] for flow in flows} == set(map(str, upstreams))
        assert {flow["transport"] for flow in flows} == {"tcp"}
        assert relay.ask("status")["tcp"] == [str(relay.vip)]
        # With one of the workers stopped, the other one accepts all; with none, they wait.
        pids = relay.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        waiting = [stack.enter_context(TcpClient(relay.vip)) for _ in range(4)]
        os.kill(pids[1], signal.SIGCONT)
        for client in waiting:
            assert relay.connect_over_tcp(client).port % WORKERS == 1
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: relay.ask("counters").get("workers_restarted") == 1, "it is seen")
        assert relay.ask("flow_counts")["confirmed"] >= len(waiting)
        again = stack.enter_context(TcpClient(relay.vip))
        relay.connect_over_tcp(again)


def test_metrics_are_those_of_all_workers(relay: Relay) -> None:
    metrics = Endpoint("127.0.0.1", free_port())
    relay.start(metrics=str(metrics))
    for client in relay.clients:
        relay.connect(client)
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=LIMIT) as answer:
        text = answer.read().decode()
    assert f'icelane_relay_flows{{state="confirmed"}} {CLIENTS}.0' in text
    assert f'icelane_relay_events_total{{event="confirmed"}} {CLIENTS}.0' in text


def test_switch_says_what_to_do(relay: Relay) -> None:
    relay.start()
    assert relay.ask("switch", dataplane="userspace") == {"dataplane": "userspace"}
    with pytest.raises(AdminError, match="start the relay without --workers"):
        relay.ask("switch", dataplane="xdp")


def test_second_relay_is_refused(relay: Relay) -> None:
    relay.start()
    assert "another agent runs as this instance" in relay.refused()
    assert "another process has that port" in relay.refused(admin=f"{relay.admin}.other")
    relay.connect(relay.clients[0])  # the first one was not disturbed


def test_worker_that_does_not_start_ends_the_relay_in_words(relay: Relay) -> None:
    in_its_way = relay.admin.with_name(f"{relay.admin.name}.1")
    in_its_way.write_text("not a socket")
    said = relay.refused()
    assert f"worker 1: {in_its_way} is a file of another kind" in said
    assert "worker 1 does not start" in said
    in_its_way.unlink()
    relay.start()  # nothing is left in its way


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
