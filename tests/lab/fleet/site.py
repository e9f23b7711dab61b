"""The network with all that runs in it, and what can happen to a relay there."""

import json
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from relay.admin import transport as admin
from relay.config.privatefiles import write_private
from relay.dataplane import xdp
from relay.wire.keys import KeyRing
from relay.wire.question import QUESTION, QUESTION_SIZE
from tests.lab import topology
from tests.lab.config import icelane
from tests.lab.errors import LabError
from tests.lab.fleet import priorities, routing, shards
from tests.lab.fleet.network import (
    CLIENT_ADDRESS,
    CONTROL,
    GENERATED,
    HEALTH,
    MEDIA,
    REDIS,
    ROUTER,
    SIGNALING_ENDPOINT,
    TRANSCEIVER,
    VIP,
    RelayHost,
    network,
    relays,
)
from tests.lab.service import Runner, Service

_PACKAGES = {
    "bird": "bird2",
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "nft": "nftables",
}
_SPLIT = "split"  # a table of nftables
_CAPACITY = 64
_NO_QUESTIONS = f"""table inet questions {{
    chain input {{
        type filter hook input priority 0
        udp length {8 + QUESTION_SIZE} @th,64,8 {QUESTION} drop
    }}
}}
"""
_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a site is like.

    Attributes:
        name: Unique among all labs.
        dataplane: What its relays forward with.
        mirror: Whether they mirror their flows.
        ask: Whether transceivers hear their questions.
        relays: How many.
        shards: The masters of Redis Cluster; 1 for a Redis alone.
        clients: The addresses of clients; calls are placed from the first.
        upstreams: How many upstream addresses a relay has, at most three.
        ports: Their ports.
        bfd: Milliseconds between packets of BFD, three of which a router or relay may miss.
    """

    name: str
    dataplane: str = "xdp"
    mirror: bool = True
    ask: bool = True
    relays: int = 3
    shards: int = 1
    clients: tuple[str, ...] = (CLIENT_ADDRESS,)
    upstreams: int = 1
    ports: str = "20000-29999"
    bfd: int = 50


class RelayAt(NamedTuple):
    """Where an operator finds a relay.

    Attributes:
        instance: Names its pinned maps.
        admin: Its admin socket.
    """

    instance: str
    admin: Path


def require(*programs: str) -> None:
    """Raise LabError unless these programs are installed."""
    for program in programs:
        if shutil.which(program) is None:
            raise LabError(
                f"{program} is not installed: run `apt-get install {_PACKAGES[program]}`."
            )


class Site:
    """Several relays, while entered.

    Args:
        settings: What it is like.
        directory: Where its files go; it is removed with it.

    Attributes:
        hosts: By name.
        keys: The cluster's.
        relay_hosts: The places of all relays.
        clients: The addresses of clients.
        shards: Where each Redis is.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.relay_hosts = relays(settings.relays)
        self.clients = settings.clients
        self.shards = shards.endpoints(REDIS, settings.shards)
        self._network = network(self.relay_hosts, settings.clients)
        self.hosts = topology.hosts(settings.name, self._network)
        self.keys = KeyRing.generate(secrets.token_bytes)
        self._settings = settings
        self._directory = directory
        self._runner = Runner(settings.name, directory)
        self._bird: dict[RelayHost, Path] = {}

    def __enter__(self) -> Self:
        """Make it, with all relays announced.

        Raises:
            LabError: Something is missing, or does not start.
            NetnsError: A host cannot be created.
        """
        require("bird", "redis-server", *["redis-cli"] * (len(self.shards) > 1))
        self._directory.mkdir(parents=True, exist_ok=True)
        topology.build(self._settings.name, self._network)
        try:
            router = self.hosts[ROUTER]
            router.sysctl("ipv4/ip_forward", 1)
            router.sysctl("ipv4/fib_multipath_hash_policy", 1)  # by ports, too
            self._write_files()
            if not self._settings.ask:
                self._nft(TRANSCEIVER, _NO_QUESTIONS)
            places = self.relay_hosts
            bfd = self._settings.bfd
            config = routing.router_config(self._directory, places, bfd)
            self._bird = {each: routing.relay_config(self._directory, each, bfd) for each in places}
            self._start(self._transceiver(), routing.bird(ROUTER, ROUTER, config))
            self._start(*shards.services(TRANSCEIVER, self.shards, self._directory))
            shards.join(self.hosts[TRANSCEIVER], self.shards)
            self._start(self._signaling(), *(self._bird_of(relay) for relay in places))
            self._start(*(self._agent(relay) for relay in places))
            self._start(*(routing.follower(relay, self._bird[relay]) for relay in places))
            self.wait_for(*places)
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Remove all of it."""
        self.down()

    def down(self) -> None:
        """Remove what there is of it, such as what one of this name left that was killed."""
        for relay in self.relay_hosts:
            self.thaw(relay)  # what stands still does not end when it is told to
        self._runner.stop_all()
        for each in self.relays:
            xdp.unload(each.instance)
        topology.destroy(self._settings.name, self._network)
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def signaling_url(self) -> str:
        """Where calls are placed."""
        return f"http://{SIGNALING_ENDPOINT}"

    @property
    def relays(self) -> Sequence[RelayAt]:
        """All of them, in the order of `relay_hosts`."""
        return [RelayAt(self._instance(each), self._admin(each)) for each in self.relay_hosts]

    def wait_for(self, *relays: RelayHost) -> None:
        """Wait until the router sends clients to these and no others.

        Raises:
            LabError: It does not.
        """
        names = frozenset(relay.name for relay in relays)
        routing.wait_for(self.hosts[ROUTER], self.relay_hosts, names)

    def ask(self, relay: RelayHost, command: str) -> Any:
        """What a relay's agent says at its admin socket."""
        return admin.ask(self._admin(relay), command)

    # What can happen to a relay

    def kill(self, relay: RelayHost) -> None:
        """Its machine loses power: links go down, and nothing of its memory is left."""
        self._set_links(relay, "down")
        for name in self._services_of(relay):
            process = self._runner.process(name)
            if process is not None:
                process.signal(signal.SIGKILL)
                if not process.wait(_KILL_SECONDS):
                    raise LabError(f"{name} survived SIGKILL for {_KILL_SECONDS:.0f} s.")
        xdp.unload(self._instance(relay))

    def boot(self, relay: RelayHost) -> None:
        """It starts again, and is ready."""
        self._set_links(relay, "up")
        host = self.hosts[relay.host]
        with host.netlink() as netlink:
            for link in relay.links:
                index = netlink.link_lookup(ifname=link.name)[0]
                for destination, _ in link.ends[1].routes:
                    netlink.route("add", dst=destination, oif=index, scope="link")
                for gateway in link.ends[1].gateways:
                    netlink.route("add", dst="0.0.0.0/0", gateway=gateway)
        self._start(self._bird_of(relay), self._agent(relay))
        self._start(routing.follower(relay, self._bird[relay]))

    def freeze(self, relay: RelayHost) -> None:
        """BIRD and the agent do nothing any more; the kernel forwards what it knows."""
        self._signal(relay, signal.SIGSTOP)

    def thaw(self, relay: RelayHost) -> None:
        """They go on."""
        self._signal(relay, signal.SIGCONT)

    def isolate(self, relay: RelayHost) -> None:
        """Whatever goes to it or comes from it is lost, and nobody is told: its links are up."""
        for host, device in ((ROUTER, relay.outside), (TRANSCEIVER, relay.inside)):
            hooks = "".join(
                f"chain {hook} {{ type filter hook {hook} device {device} priority 0; drop; }}\n"
                for hook in ("ingress", "egress")
            )
            self._nft(host, f"table netdev {device} {{\n{hooks}}}\n".replace("-", "_", 1))

    def reach(self, relay: RelayHost) -> None:
        """Its packets arrive again."""
        for host, device in ((ROUTER, relay.outside), (TRANSCEIVER, relay.inside)):
            self._nft(host, f"delete table netdev {device.replace('-', '_')}\n")

    def stall(self, seconds: float) -> None:
        """The router's BIRD does not get the processor for so long; its kernel forwards on."""
        process = self._runner.process(routing.bird_name(ROUTER))
        if process is None:
            raise LabError("The router's BIRD does not run.")
        process.signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.signal(signal.SIGCONT)

    def split(self, relay: RelayHost) -> None:
        """It and Redis hear nothing of each other any more; everything else goes on."""
        ports = f"{{ {', '.join(str(shard.port) for shard in self.shards)} }}"
        rules = (("input", f"tcp sport {ports}"), ("output", f"tcp dport {ports}"))
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {what} drop; }}\n"
            for hook, what in rules
        )
        self._nft(relay.host, f"table ip {_SPLIT} {{\n{chains}}}\n")

    def rejoin(self, relay: RelayHost) -> None:
        """They do again."""
        self._nft(relay.host, f"delete table ip {_SPLIT}\n")

    def drain(self, relay: RelayHost) -> None:
        """An operator takes clients away from it."""
        self._icelane("relay", "drain", "--admin", str(self._admin(relay)))

    def undrain(self, relay: RelayHost) -> None:
        """It may have clients again."""
        self._icelane("relay", "drain", "--end", "--admin", str(self._admin(relay)))

    def log(self, service: str) -> list[str]:
        """The log of a service, by line."""
        return self._runner.lines(service)

    # How it is made

    def _start(self, *services: Service) -> None:
        for each in [self._runner.start(one, self.hosts[one.host]) for one in services]:
            each.wait()

    def _signal(self, relay: RelayHost, number: signal.Signals) -> None:
        for name in self._services_of(relay):
            process = self._runner.process(name)
            if process is not None:
                process.signal(number)

    def _set_links(self, relay: RelayHost, state: str) -> None:
        with self.hosts[relay.host].netlink() as netlink:
            indexes = [netlink.link_lookup(ifname=link.name)[0] for link in relay.links]
            for index in indexes:
                netlink.link("set", index=index, state=state)

    def _nft(self, host: str, rules: str) -> None:
        command = self.hosts[host].command(("nft", "-f", "-"))
        done = subprocess.run(command, input=rules, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"nft refused on {host}: {done.stderr.strip()}")

    def _icelane(self, *arguments: str) -> None:
        done = subprocess.run([icelane(), *arguments], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"`icelane {' '.join(arguments)}` failed: {done.stderr.strip()}")

    def _services_of(self, relay: RelayHost) -> tuple[str, ...]:
        return (routing.bird_name(relay.name), f"relay-{relay.name}", f"health-{relay.name}")

    def _instance(self, relay: RelayHost) -> str:
        return f"{self._settings.name}-{relay.name}"

    def _admin(self, relay: RelayHost) -> Path:
        return self._directory / f"{relay.name}.sock"

    def _bird_of(self, relay: RelayHost) -> Service:
        return routing.bird(relay.name, relay.host, self._bird[relay])

    def _agent(self, relay: RelayHost) -> Service:
        run = (icelane(), "relay", "run", "--config", str(self._config(relay)))
        command = (*priorities.prefix(), *run)
        return Service(f"relay-{relay.name}", relay.host, command, ready="^ready")

    def _transceiver(self) -> Service:
        command = (
            *priorities.prefix(priorities.ENDS),
            *(icelane(), "transceiver", "run", "--listen", str(MEDIA), "--control", str(CONTROL)),
            *("--cluster", "1", "--slot", "1", "--generation", "1"),
            *("--keys", str(self._directory / "keys.toml"), "--capacity", str(_CAPACITY)),
        )
        return Service("transceiver", TRANSCEIVER, command, ready="^ready")

    def _signaling(self) -> Service:
        command = (
            *priorities.prefix(),
            *(icelane(), "signaling", "run", "--listen", str(SIGNALING_ENDPOINT)),
            *("--registry", str(self._directory / "registry.toml"), "--open"),
        )
        return Service("signaling", TRANSCEIVER, command, ready="^ready")

    def _config(self, relay: RelayHost) -> Path:
        return self._directory / f"relay-{relay.name}.toml"

    def _write_files(self) -> None:
        keys, registry = self._directory / "keys.toml", self._directory / "registry.toml"
        keys.touch(0o600)
        write_private(keys, self.keys.dumps().encode())
        slots = ((1, MEDIA), (2, GENERATED))
        registry.write_text(
            f'[[relay]]\nvip = "{VIP}"\n'
            + "".join(
                f"[[transceiver]]\ncluster = 1\ngeneration = 1\nslot = {slot}\n"
                f'address = "{address}"\n'
                + (f'control = "http://{CONTROL}"\n' if address == MEDIA else "")
                for slot, address in slots
            ),
            "utf-8",
        )
        mirror = f'redis = "{shards.url(self.shards)}"\n' if self._settings.mirror else ""
        for relay in self.relay_hosts:
            self._config(relay).write_text(
                f'vip = "{VIP}"\n'
                f"upstream = {json.dumps(relay.upstreams[: self._settings.upstreams])}\n"
                f'ports = "{self._settings.ports}"\n'
                f'interface = ["{relay.outside}", "{relay.inside}"]\n'
                f'keys = "{keys}"\nregistry = "{registry}"\n'
                f'dataplane = "{self._settings.dataplane}"\n'
                f'name = "{relay.host}"\n'
                f'instance = "{self._instance(relay)}"\n'
                f'admin = "{self._admin(relay)}"\n'
                f'metrics = "{HEALTH}"\n' + mirror,
                "utf-8",
            )
