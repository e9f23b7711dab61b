"""More flows than a process may have open files."""

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.admin import transport as admin
from relay.admin.place import default_path
from relay.config.keyfile import load_keys
from relay.config.privatefiles import write_private
from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.xdp import XdpDataplane
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from tests.lab.config import icelane
from tests.lab.topology import RELAY

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

FLOWS = 200_000
FILES = 20_000  # the hard limit of open files that many hosts have
PORTS = range(10_000, 60_000)
HOSTS = tuple(f"192.0.2.{number}" for number in range(10, 15))
VIP = Endpoint("203.0.113.10", 3478)
TRANSCEIVER = Endpoint("192.0.2.2", 5000)
WAIT = 60.0  # seconds to take 200,000 flows over


@pytest.fixture
def options(network: Mapping[str, Host], tmp_path: Path) -> Sequence[str]:
    """The settings of a relay with five upstream addresses."""
    for host in HOSTS:
        line = ["ip", "address", "add", f"{host}/24", "dev", "internal"]
        subprocess.run(network[RELAY].command(line), check=True)
    write_private(tmp_path / "keys.toml", KeyRing.generate(secrets.token_bytes).dumps().encode())
    (tmp_path / "registry.toml").write_text(
        f'[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\naddress = "{TRANSCEIVER}"\n'
    )
    settings = {
        "vip": str(VIP),
        "keys": str(tmp_path / "keys.toml"),
        "registry": str(tmp_path / "registry.toml"),
        "instance": f"scale-{os.getpid()}",
        "ports": f"{PORTS[0]}-{PORTS[-1]}",
        "max-flows": str(FLOWS),
    }
    lists = [("interface", "public"), ("interface", "internal")]
    lists += [("upstream", host) for host in HOSTS]
    return [text for name, value in (*settings.items(), *lists) for text in (f"--{name}", value)]


@pytest.fixture
def instance(network: Mapping[str, Host], options: Sequence[str]) -> Iterator[str]:
    name = options[options.index("--instance") + 1]
    subprocess.run(
        network[RELAY].command([icelane(), "relay", "load", *options]),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    yield name
    xdp.unload(name)


def fill(instance: str, keys: KeyRing) -> None:
    """Install the flows, as an agent before this one would have."""
    route = mint(Target(1, 1, 1), keys, now=time.time(), lifetime=3600, nonce=b"many").raw
    dataplane = XdpDataplane(instance)
    for number in range(FLOWS):
        host, port = divmod(number, len(PORTS))
        client = Endpoint(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 40_000)
        upstream = Endpoint(HOSTS[host], PORTS[port])
        dataplane.install(FlowTuple(client, VIP, upstream, TRANSCEIVER, route))
    dataplane.close()


@contextmanager
def agent(command: Sequence[str]) -> Iterator[int]:
    """Run an agent that may open no more than `FILES` files; its process number."""
    limited = ["prlimit", f"--nofile={FILES}:{FILES}", "--", *command]
    with subprocess.Popen(limited, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("ready: ")
            yield process.pid
        finally:
            process.terminate()


def test_an_agent_takes_over_more_flows_than_it_may_open_files(
    network: Mapping[str, Host], options: Sequence[str], instance: str, tmp_path: Path
) -> None:
    fill(instance, load_keys(tmp_path / "keys.toml"))
    command = network[RELAY].command([icelane(), "relay", "run", *options, "--dataplane", "xdp"])
    with agent(command) as pid:
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))  # before one is a question's
        counters = admin.ask(default_path(instance), "counters", timeout=WAIT)
    assert counters["adopted"] == FLOWS
    assert files < FLOWS / 1000  # the agent's own, and none of a flow
