"""Servers of others behind a real relay, in both dataplanes, by the libraries of docs/fronting.

A client calls both of them at once: one with Pion, and one with node-datachannel.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.admin import transport as admin
from relay.dataplane import xdp
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from tests.e2e.nodemodules import NODE, link
from tests.fronting.vectors import PATH
from tests.lab import config, topology
from tests.lab.call import Call
from tests.lab.clients.kinds import BUILT
from tests.lab.service import Runner, Service

pytestmark = pytest.mark.e2e

SECONDS = 1.5
AUDIBLE = 25  # packets, half a second of sound; a busy machine sends fewer than it should
WAIT = 10.0  # seconds; a limit
PION = BUILT / "examples" / "fronting"
MODULES = BUILT / "node" / "node_modules"
TRANSCEIVER = topology.TRANSCEIVER
SIGNALING = config.SIGNALING_ENDPOINT


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is not ours: its name, its slot, and where media and offers come to."""

    name: str
    slot: int
    media: Endpoint
    web: Endpoint


def _server(name: str, slot: int) -> Server:
    media = config.MEDIA._replace(port=5000 + slot)
    return Server(name, slot, media, SIGNALING._replace(port=8080 + slot))


SERVERS = [_server("pion", 1), _server("datachannel", 2)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of them is called."""

    hosts: dict[str, Host]
    server: Server
    relays: tuple[()] = ()

    @property
    def signaling_url(self) -> str:
        """Where its offers are posted."""
        return f"http://{self.server.web}/calls"


@dataclass
class Site:
    """A relay and the servers behind it."""

    dataplane: str
    hosts: dict[str, Host]
    files: config.Files
    runner: Runner

    def flows(self, server: Server) -> list[dict[str, Any]]:
        """The flows that lead to a server."""
        flows = admin.ask(self.files.admin, "status")["flows"]
        return [flow for flow in flows if flow["transceiver"] == str(server.media)]


@dataclass(frozen=True, slots=True)
class Called:
    """A call to a server: the client's report, the flow in the middle of it, and the site."""

    report: dict[str, Any]
    flow: dict[str, Any]
    site: Site


def _command(server: Server, keys: Path, scripts: Path) -> tuple[str, ...]:
    if server.name == "pion":
        options = {"keys": keys, "vip": config.VIP, "media": server.media}
        options |= {"http": server.web, "slot": server.slot}
        return (str(PION), *(f"-{name}={value}" for name, value in options.items()))
    addresses = map(str, (config.VIP, server.media, server.web))
    return (*NODE, str(scripts / "datachannel.mjs"), str(keys), *addresses)


def _write(site: Site, instance: str) -> Path:
    """Write the files of relay and servers; gives where the scripts for Node are."""
    files = site.files
    files.keys.touch(0o600)
    files.keys.write_text(KeyRing.generate(os.urandom).dumps(), "utf-8")
    entries = [
        f"[[transceiver]]\ncluster = 1\nslot = {each.slot}\ngeneration = 1\n"
        f'address = "{each.media}"\n'
        for each in SERVERS
    ]
    files.registry.write_text("\n".join(entries), "utf-8")
    options = config.Options(dataplane=site.dataplane)
    files.relay.write_text(config.relay_text(instance, files, options), "utf-8")
    scripts = files.directory / "node"
    scripts.mkdir()
    link(scripts, PATH.parent, MODULES)
    return scripts


@pytest.fixture(scope="module", params=["userspace", pytest.param("xdp", marks=pytest.mark.bpf)])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    if not (PION.exists() and MODULES.exists()):
        pytest.skip("needs the servers with Pion and node-datachannel: `make setup-test`")
    name = f"fronting-{os.getpid()}"
    directory = tmp_path_factory.mktemp("site")
    files = config.Files(directory, directory / "admin.sock")
    runner = Runner(name, directory)
    site = Site(request.param, topology.hosts(name), files, runner)
    topology.build(name)
    try:
        scripts = _write(site, name)
        relay = (config.icelane(), "relay", "run", "--config", str(files.relay))
        services = [Service("relay", topology.RELAY, relay, ready="^ready")]
        for each in SERVERS:
            command = _command(each, files.keys, scripts)
            services.append(Service(each.name, TRANSCEIVER, command, ready="^ready"))
        for started in [runner.start(each, site.hosts[each.host]) for each in services]:
            started.wait()
        yield site
    finally:
        runner.stop_all()
        xdp.unload(name)
        topology.destroy(name)


@pytest.fixture(scope="module")
def calls(site: Site) -> dict[str, Called]:
    """A call to each server, by its name."""
    with (
        Call(Place(site.hosts, SERVERS[0]), SECONDS) as one,
        Call(Place(site.hosts, SERVERS[1]), SECONDS) as other,
    ):
        flows: dict[str, dict[str, Any]] = {}
        while one.running or other.running:
            for each in SERVERS:
                for flow in site.flows(each):
                    known = flows.get(each.name, flow)
                    if flow["to_client"]["packets"] >= known["to_client"]["packets"]:
                        flows[each.name] = flow
            time.sleep(0.1)
        reports = {SERVERS[0].name: one.report(), SERVERS[1].name: other.report()}
    for name, report in reports.items():
        assert report["ok"], (name, report["error"], site.runner.lines(name))
    return {name: Called(report, flows[name], site) for name, report in reports.items()}


@pytest.fixture(params=[each.name for each in SERVERS])
def called(request: pytest.FixtureRequest, calls: dict[str, Called]) -> Called:
    called: Called = calls[request.param]
    return called


def test_sound_goes_there_and_comes_back(called: Called) -> None:
    report = called.report
    assert report["ok"], report["error"]
    assert report["remote"] == str(config.VIP)
    assert report["received"]["packets"] >= AUDIBLE
    assert report["received"]["lost"] == 0
    assert report["received"]["energy"] > 1e-4


def test_messages_go_there_and_come_back(called: Called) -> None:
    assert called.report["round_trip_ms"]["data_channel"] is not None


def test_the_relay_forwards_the_call(called: Called) -> None:
    assert called.flow["state"] in ("confirmed", "ending")  # the latest that was seen of it
    assert called.flow["client"].startswith(config.CLIENT_ADDRESS)
    most = "kernel_packets" if called.site.dataplane == "xdp" else "userspace_packets"
    for direction in ("to_transceiver", "to_client"):
        assert called.flow[direction][most] >= AUDIBLE


def test_a_server_that_reads_announcements_knows_its_client(calls: dict[str, Called]) -> None:
    called = calls["pion"]
    assert f"connected: {called.flow['client']}" in called.site.runner.lines("pion")


def test_a_server_that_reads_none_sees_the_relay(calls: dict[str, Called]) -> None:
    lines = calls["datachannel"].site.runner.lines("datachannel")
    assert f"connected: {config.UPSTREAM}" in lines


def test_a_goodbye_ends_the_flow(calls: dict[str, Called]) -> None:
    site = calls["pion"].site
    pion, datachannel = SERVERS
    until(lambda: not site.flows(pion))
    # The other one cannot say goodbye: its flow idles out, after five minutes.
    assert [flow["state"] for flow in site.flows(datachannel)] == ["confirmed"]


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
