"""The process that `icelane relay run` becomes."""

import array
import fcntl
import os
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from relay.admin.transport import ask
from relay.config.privatefiles import write_private
from relay.config.registry import Registry, Transceiver
from relay.dataplane.kernel.config import LoadConfig
from relay.netns.host import Host
from relay.run.process import shard_seed
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT
from tests.relay.dataplane.loading import load, running_program

KEYS = KeyRing({0: bytes(range(32))}, signing_slot=0)
REGISTRY = '[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\naddress = "127.0.0.1:5000"\n'
PASSWORD = "a-password-of-redis"
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts relays in a folder with the files they need; all are killed in the end."""
    write_private(tmp_path / "keys.toml", KEYS.dumps().encode())
    (tmp_path / "registry.toml").write_text(REGISTRY)
    vip = f"127.0.0.1:{free_port()}"
    processes = []

    def run(**options: str) -> subprocess.Popen[str]:
        settings = {
            "vip": vip,
            "upstream": "127.0.0.1",
            "keys": "keys.toml",
            "registry": "registry.toml",
            "dataplane": "userspace",
            "admin": "admin.sock",
        }
        process = subprocess.Popen(
            [ICELANE, "relay", "run", *(f"--{k}={v}" for k, v in (settings | options).items())],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready: relay on 127.0.0.1:"), process.communicate()
    return line


def refused(process: subprocess.Popen[str], code: int) -> str:
    output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, output) == (code, "")
    assert "Traceback" not in errors
    return errors


class TestServing:
    def test_it_is_the_process_that_was_started(self, start: Start, tmp_path: Path) -> None:
        process = start()
        assert ready(process).endswith(", userspace dataplane\n")
        assert ask(tmp_path / "admin.sock", "status")["pid"] == process.pid

    def test_no_password_stands_where_everybody_can_read_it(self, start: Start) -> None:
        process = start(redis=f"redis://:{PASSWORD}@127.0.0.1:1/0")
        ready(process)
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert b"relay.run.process" in command
        assert not [each for each in command if PASSWORD.encode() in each]

    def test_what_read_the_settings_is_not_in_its_memory(self, start: Start) -> None:
        process = start()
        ready(process)
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        assert "libpython" in mapped or "bin/python" in mapped
        assert "pydantic_core" not in mapped

    def test_it_says_what_clients_are_told(self, start: Start, tmp_path: Path) -> None:
        process = start(advertise="203.0.113.10:3478")
        line = ready(process)
        assert line.endswith(" (advertised as 203.0.113.10:3478), userspace dataplane\n")
        status = ask(tmp_path / "admin.sock", "status")
        assert status["advertised"] == ["203.0.113.10:3478"]
        assert status["vips"][0].startswith("127.0.0.1:")

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_it_warns_where_clients_are_told_of_tcp_and_it_does_not_listen(
        self, start: Start, tmp_path: Path, workers: str
    ) -> None:
        vip = f"127.0.0.1:{free_port()}"
        (tmp_path / "registry.toml").write_text(
            f'[[relay]]\nvip = "{vip}"\ntcp = "{vip}"\n{REGISTRY}'
        )
        process = start(vip=vip, workers=workers)
        ready(process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=LIMIT)
        (warning,) = [each for each in errors.splitlines() if "connect over TCP" in each]
        assert " WARNING " in warning
        assert f"to connect over TCP to {vip}, and this relay does not listen there" in warning
        assert f"add --tcp {vip}, or " in warning

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it(self, start: Start, tmp_path: Path, number: signal.Signals) -> None:
        process = start()
        ready(process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=LIMIT)
        assert (process.returncode, output) == (0, "")
        assert not (tmp_path / "admin.sock").exists()


class TestRefused:
    def test_a_file_that_is_wrong_ends_like_wrong_usage(self, start: Start) -> None:
        said = refused(start(registry="missing.toml"), code=2)
        assert said == "icelane: cannot read registry missing.toml: No such file or directory\n"

    def test_a_registry_that_tells_clients_another_address(
        self, start: Start, tmp_path: Path
    ) -> None:
        vip = f"127.0.0.1:{free_port()}"
        (tmp_path / "registry.toml").write_text(f'[[relay]]\nvip = "{vip}"\n{REGISTRY}')
        said = refused(start(vip=vip, advertise="203.0.113.10:3478"), code=2)
        assert said.startswith(f"icelane: the registry tells clients {vip}, and the relay is told")

    def test_a_second_relay_of_an_instance_leaves_the_first_alone(
        self, start: Start, tmp_path: Path
    ) -> None:
        first = start()
        ready(first)
        said = refused(start(vip=f"127.0.0.1:{free_port()}"), code=1)
        assert said.startswith("icelane: another agent runs as this instance")
        assert ask(tmp_path / "admin.sock", "status")["pid"] == first.pid

    def test_ctrl_c_before_it_serves_ends_as_a_shell_expects_it(
        self, start: Start, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "slow.toml", 0o600)  # as a key file is
        process = start(keys="slow.toml")
        with _opened_when_read(tmp_path / "slow.toml") as keys:  # and never all of it
            _wait_until_it_waits_for_more_than(b"#", keys, process.pid)
            process.send_signal(signal.SIGINT)
            assert refused(process, code=130) == ""
        assert not (tmp_path / "admin.sock").exists()

    @pytest.mark.bpf
    def test_workers_take_no_flows_over_from_the_kernel(
        self, start: Start, host: Host, new_config: Callable[..., LoadConfig]
    ) -> None:
        config = new_config("a")
        load(host, config)
        said = refused(start(workers="2", instance=config.instance), code=1)
        assert f"the XDP program of instance {config.instance} is loaded" in said
        assert "`icelane relay unload`, or start without --workers" in said

    @pytest.mark.bpf
    def test_a_second_relay_leaves_the_program_of_the_first_alone(
        self, start: Start, host: Host, new_config: Callable[..., LoadConfig], tmp_path: Path
    ) -> None:
        """An agent in userspace would otherwise take it out of the way, and then be refused."""
        config = new_config("b")
        load(host, config)
        before = running_program(host, "b")
        with socket.socket(socket.AF_UNIX) as first:
            first.bind(str(tmp_path / "admin.sock"))
            first.listen()
            said = refused(start(instance=config.instance), code=1)
        assert "another agent runs as this instance" in said
        assert running_program(host, "b") == before


def _opened_when_read(fifo: Path) -> BinaryIO:
    """A FIFO opened for writing as soon as somebody opens it for reading."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return os.fdopen(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK), "wb", buffering=0)
        except OSError:
            assert time.monotonic() < deadline, "nobody reads it"
            time.sleep(0.01)


def _wait_until_it_waits_for_more_than(text: bytes, fifo: BinaryIO, pid: int) -> None:
    """Write to a FIFO until its reader has read that and sleeps in the next read.

    A signal that reaches Python between its last look for signals and the system call is not
    seen before that call ends: a few tens of microseconds after the FIFO's opening.
    """
    fifo.write(text)
    deadline = time.monotonic() + LIMIT
    while _unread(fifo) or _state(pid) != "S":
        assert time.monotonic() < deadline, "it does not read"
        time.sleep(0.01)


def _unread(fifo: BinaryIO) -> int:
    """Bytes that were written and not read."""
    found = array.array("i", [0])
    fcntl.ioctl(fifo, termios.FIONREAD, found)
    return found[0]


def _state(pid: int) -> str:
    """What a process does, by the letter of /proc/PID/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class TestShardSeed:
    """Clients stay with their worker whatever is added to the registry."""

    @staticmethod
    def registry(*clusters: int) -> Registry:
        return Registry(
            tuple(
                Transceiver(Target(cluster, slot, 1), Endpoint("192.0.2.2", 5000 + slot))
                for slot, cluster in enumerate(clusters)
            )
        )

    def test_it_is_the_same_each_time_and_for_more_transceivers(self) -> None:
        seed = shard_seed(KEYS, self.registry(1))
        assert seed == shard_seed(KEYS, self.registry(1, 1, 7)) == KEYS.shard_seed(1)

    def test_it_is_known_to_the_cluster_alone(self) -> None:
        others = KeyRing({0: bytes(32)}, signing_slot=0)
        seeds = {shard_seed(keys, self.registry(1)) for keys in (KEYS, others)}
        assert len(seeds | {shard_seed(KEYS, self.registry(7))}) == 3

    def test_a_registry_without_transceivers_has_one_too(self) -> None:
        assert shard_seed(KEYS, self.registry()) in range(1 << 32)
