"""Where systems are compared: a relay's host between a client's and a transceiver's.

```
  client ----- public ------ relay ----- internal ----- transceiver
     |   198.18.255.0/24            198.19.255.0/24           |
     +------------------------ direct ------------------------+
```

The addresses are those that RFC 2544 sets aside for benchmarks. Behind the client's own address
there are those of many clients, behind the relay's internal one those that it may send from. All
neighbours are known from the start, and nobody but the traffic's ends and the system sends
anything. Over the direct cable traffic goes without any relay, which shows what its ends cost.

The traffic's sender has a core, on which the kernel also receives what it has sent; programs that
relay have the other one.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from relay.wire.endpoint import Endpoint
from tests.bench.resource import Resource
from tests.lab import topology
from tests.lab.process import Process
from tests.lab.service import Runner, Service
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER, Link, LinkEnd, Network

DIRECT = "direct"

SENDER_CORE = 0
RELAY_CORES = {1: (1,), 2: (0, 1)}  # by how many a system asks for
CORES = 2  # what the machine must have

MOST_FLOWS = 1_000_000

_CLIENT_HOST, _VIP_HOST = "198.18.255.2", "198.18.255.10"
_RELAY_HOST, _TRANSCEIVER_HOST = "198.19.255.1", "198.19.255.2"
_CLIENTS, _UPSTREAMS = "198.18.0.0/17", "198.19.0.0/24"
_CLIENT_NETWORK, _TRANSCEIVER_NETWORK = "198.18.0.0/16", "198.19.0.0/16"
_PORTS = range(10_000, 60_000)  # of each client address, and of each upstream address
_UPSTREAM_HOSTS = tuple(f"198.19.0.{1 + i}" for i in range(21))  # ports for a million flows

# A moment that an end has to wait before it may send an ICMP error: longer than any benchmark.
_NO_ERRORS_MS = 100_000_000

_AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")  # sched(7)

_RT_TABLE_LOCAL, _RTN_LOCAL, _RT_SCOPE_HOST = 255, 2, 254  # linux/rtnetlink.h

NETWORK = Network(
    topology.HOSTS,
    (
        Link(
            PUBLIC,
            (
                LinkEnd(CLIENT, (f"{_CLIENT_HOST}/24",), receives_xdp_redirect=True),
                LinkEnd(RELAY, (f"{_VIP_HOST}/24",), receives_xdp_redirect=True),
            ),
        ),
        Link(
            INTERNAL,
            (
                LinkEnd(
                    RELAY,
                    (f"{_RELAY_HOST}/24", *(f"{host}/32" for host in _UPSTREAM_HOSTS)),
                    receives_xdp_redirect=True,
                ),
                LinkEnd(TRANSCEIVER, (f"{_TRANSCEIVER_HOST}/24",), receives_xdp_redirect=True),
            ),
        ),
        Link(
            DIRECT,
            (
                LinkEnd(CLIENT, receives_xdp_redirect=True),
                LinkEnd(TRANSCEIVER, receives_xdp_redirect=True),
            ),
        ),
    ),
)
_ROUTES = (  # host, destination, through which of its neighbours
    (CLIENT, _TRANSCEIVER_NETWORK, _VIP_HOST),
    (RELAY, _CLIENTS, _CLIENT_HOST),
    (TRANSCEIVER, _UPSTREAMS, _RELAY_HOST),
    (TRANSCEIVER, _CLIENT_NETWORK, _RELAY_HOST),
)
_NEIGHBOURS = (  # host, interface, neighbour, its address
    (CLIENT, PUBLIC, RELAY, _VIP_HOST),
    (RELAY, PUBLIC, CLIENT, _CLIENT_HOST),
    (RELAY, INTERNAL, TRANSCEIVER, _TRANSCEIVER_HOST),
    (TRANSCEIVER, INTERNAL, RELAY, _RELAY_HOST),
)


class Program:
    """A program in the background, which serves; it ends with the `with` block, or the testbed.

    Args:
        runner: What runs it.
        service: What to run.
        host: Where.

    Raises:
        LabError: It ended, or does not serve in time; the text holds its last lines.
    """

    def __init__(self, runner: Runner, service: Service, host: Host) -> None:
        self._runner = runner
        self._service = service
        self._host = host
        self._process = self._start()

    def __enter__(self) -> Self:
        """Use it; it runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """The numbers of its process and of that one's children."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return (pid, *map(int, children.split()))

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.alive()

    def lines(self) -> list[str]:
        """What it has printed so far, by line."""
        return self._runner.lines(self._service.name)

    def stop(self) -> None:
        """Stop it; one that has ended is fine."""
        self._runner.stop(self._service.name)

    def restart(self) -> None:
        """Start it again, after it has ended, and wait until it serves.

        Raises:
            LabError: It ended, or does not serve in time; the text holds its last lines.
        """
        self._process = self._start()

    def _start(self) -> Process:
        starting = self._runner.start(self._service, self._host)
        try:
            starting.wait()
        except BaseException:
            self.stop()
            raise
        return starting.process


class Testbed(Resource):
    """Three hosts and their cables, from entering to leaving.

    Args:
        name: Tells it from other testbeds and labs on this machine.

    Attributes:
        hosts: The hosts by name: client, relay, transceiver.
        vip: The relay's public transport address.
        upstreams: The relay's addresses on its internal interface, to send to transceivers from.
        upstream_ports: The ports to use of each of them.
        transceiver: The transceiver's transport address.
    """

    __test__ = False  # pytest takes classes of this name for tests

    vip = Endpoint(_VIP_HOST, 3478)
    upstreams = _UPSTREAM_HOSTS
    upstream_ports = _PORTS
    transceiver = Endpoint(_TRANSCEIVER_HOST, 5000)

    def __init__(self, name: str | None = None) -> None:
        self.name = name or f"bench-{os.getpid()}"
        self.hosts = topology.hosts(self.name, NETWORK)
        self._numbers = itertools.count(1)

    def _open(self, stack: ExitStack) -> None:
        """Make the hosts and their network.

        Raises:
            LabError: The kernel refuses something.
        """
        stack.enter_context(_one_scheduling_group())
        self.directory = Path(stack.enter_context(TemporaryDirectory(prefix="icelane-bench-")))
        topology.build(self.name, NETWORK, in_order=False)  # it would be a limit of throughput
        stack.callback(self._remove)
        self._prepare()
        self._runner = Runner(self.name, self.directory)
        stack.callback(self._runner.stop_all)

    def client(self, number: int) -> Endpoint:
        """The transport address of the client with a number, below `MOST_FLOWS`."""
        host, port = divmod(number, len(_PORTS))
        return Endpoint(f"198.18.0.{1 + host}", _PORTS[port])

    def interface(self, host: str) -> str:
        """The interface by which the client's or the transceiver's host reaches the relay."""
        return PUBLIC if host == CLIENT else INTERNAL

    def mac(self, host: str, interface: str) -> bytes:
        """The Ethernet address of an interface."""
        with self.hosts[host].netlink() as netlink:
            (link,) = netlink.get_links(netlink.link_lookup(ifname=interface)[0])
        return bytes.fromhex(link.get_attr("IFLA_ADDRESS").replace(":", ""))

    def command(self, arguments: Sequence[str], *, cores: int = 1, host: str = RELAY) -> list[str]:
        """The command line that runs `arguments` in a host, on the system's cores."""
        return self.hosts[host].command(_pinned(arguments, RELAY_CORES[cores]))

    def start(
        self, arguments: Sequence[str], *, ready: str, cores: int = 1, host: str = RELAY
    ) -> Program:
        """Start a program in a host, on the system's cores, and wait until it serves.

        Args:
            arguments: Its command line.
            ready: A regular expression for the line that it prints when it serves.
            cores: How many cores it may use, 1 or 2.
            host: Where it runs.

        Raises:
            LabError: It ended, or does not serve in time; the text holds its last lines.
        """
        name = f"{Path(arguments[0]).name}-{next(self._numbers)}"
        line = _pinned(arguments, RELAY_CORES[cores])
        service = Service(name, host, tuple(line), ready)
        return Program(self._runner, service, self.hosts[host])

    def _prepare(self) -> None:
        for host in self.hosts.values():
            # What the kernel sends and counts by itself would be measured, too.
            host.sysctl("ipv6/conf/all/disable_ipv6", 1)
            host.sysctl("ipv4/conf/all/rp_filter", 0)
            for interface in topology.interfaces(NETWORK, host.name):
                host.sysctl(f"ipv4/conf/{interface}/rp_filter", 0)
                _take_redirects(host, interface)
        for name in (CLIENT, TRANSCEIVER):
            self.hosts[name].sysctl("ipv4/icmp_ratelimit", _NO_ERRORS_MS)
        for name, destination, gateway in _ROUTES:
            with self.hosts[name].netlink() as netlink:
                netlink.route("add", dst=destination, gateway=gateway)
        for name, interface, neighbour, address in _NEIGHBOURS:
            self._introduce(name, interface, neighbour, address)
        self._own_client_addresses()

    def _introduce(self, name: str, interface: str, neighbour: str, address: str) -> None:
        mac = self.mac(neighbour, interface).hex(":")
        with self.hosts[name].netlink() as netlink:
            index = netlink.link_lookup(ifname=interface)[0]
            netlink.neigh("replace", ifindex=index, dst=address, lladdr=mac, state="permanent")

    def _own_client_addresses(self) -> None:
        """Let sockets in the client's host have the address of any client."""
        with self.hosts[CLIENT].netlink() as netlink:
            netlink.route(
                "add",
                dst=_CLIENTS,
                oif=netlink.link_lookup(ifname="lo")[0],
                table=_RT_TABLE_LOCAL,
                type=_RTN_LOCAL,
                scope=_RT_SCOPE_HOST,
            )

    def _remove(self) -> None:
        topology.remove_link(self.hosts[CLIENT], DIRECT)
        topology.destroy(self.name)


@contextmanager
def _one_scheduling_group() -> Iterator[None]:
    """Let programs that are started meanwhile compete with each other one by one.

    The kernel may group them by session, and shares processors out among groups first. In a group
    of its own, a program that is to run only when nobody else wants to would get half of one.
    """
    if not _AUTOGROUP.exists() or _AUTOGROUP.read_text(encoding="ascii").strip() == "0":
        yield
        return
    _AUTOGROUP.write_text("0", encoding="ascii")
    try:
        yield
    finally:
        _AUTOGROUP.write_text("1", encoding="ascii")


def _take_redirects(host: Host, interface: str) -> None:
    """Let programs at the other end redirect frames to this one.

    The driver allows that when GRO is switched on while the interface is up, or when the other end
    comes up later; of two ends that both receive, one has come up too early.
    """
    with host.inside():
        for on in (False, True):
            set_offload(interface, Offload.GRO, on=on)


def _pinned(arguments: Sequence[str], cores: Sequence[int]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, cores)), *arguments]
