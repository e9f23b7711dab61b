"""A bench for the BPF program: it is loaded once, and run on single frames."""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from socket import AF_INET, AF_INET6
from typing import Any

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from relay.core.flowtuple import FlowTuple
from relay.core.rates import RateLimit, Rates
from relay.dataplane import xdp
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.dataplane.kernel.ingresses import renew_ingresses, write_ingresses
from relay.dataplane.kernel.memory import MappedArray
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.settings import write_rates
from relay.dataplane.kernel.txports import TxPort, write_tx_ports
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Route, Target, mint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.bpf.traffic import SEED
from tests.lab.links import bring_up
from tests.lab.xdp_program import run_xdp
from tests.relay.wire.verdict import ELSEWHERE

INGRESSES = 64  # of bpf/relay.h
VERDICTS = {1: "drop", 2: "pass", 3: "tx", 4: "redirect"}  # enum xdp_action
MACS = {
    "public": "02:00:00:00:01:01",
    "internal": "02:00:00:00:02:01",
    "client": "02:00:00:00:01:02",
    "transceiver": "02:00:00:00:02:02",
}


def mac(text: str) -> bytes:
    """A MAC address as bytes."""
    return bytes.fromhex(text.replace(":", ""))


CLUSTER = 1
KEYS = KeyRing({0: bytes(range(32)), 3: bytes(range(32, 64))}, signing_slot=3)
NOW = 1_800_000_000.0
PLENTY = RateLimit(rate=1_000_000, burst=1_000_000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame: verdict, bytes, and the packets counted by reason."""

    verdict: str
    frame: bytes
    counted: dict[str, int]


class Bench:
    """A network namespace in which the program is loaded; its neighbours never answer."""

    keys = KEYS
    client = Endpoint("203.0.113.2", 50000)
    vip = Endpoint("203.0.113.10", 3478)
    upstream = Endpoint("192.0.2.1", 20001)
    transceiver = Endpoint("192.0.2.2", 5000)
    # Others, to whom the way has something about it.
    public_transceiver = Endpoint("203.0.113.7", 5000)  # on the client's side, as with one NIC
    without_neighbour = Endpoint("203.0.113.3", 50000)
    blackholed = Endpoint("203.0.113.4", 50000)
    small_mtu = Endpoint("203.0.113.5", 50000)
    elsewhere = Endpoint("198.51.100.9", 50000)  # behind an interface without the program
    mtu = 1300  # IPv6 wants 1280
    policy_tos = 0x10  # packets marked so are routed by a table of their own, into a hole
    # The same by IPv6, and by VLANs above both interfaces.
    client6 = Endpoint("2001:db8:1::2", 50000)
    vip6 = Endpoint("2001:db8:1::10", 3478)
    upstream6 = Endpoint("2001:db8:2::1", 20001)
    transceiver6 = Endpoint("2001:db8:2::2", 5000)
    without_neighbour6 = Endpoint("2001:db8:1::3", 50000)
    blackholed6 = Endpoint("2001:db8:1::4", 50000)
    small_mtu6 = Endpoint("2001:db8:1::5", 50000)
    macs = {name: mac(MACS[name]) for name in ("public", "internal")}  # noqa: RUF012  # never changed
    vlans = {"public": 5, "internal": 6}  # noqa: RUF012  # never changed
    # A VIP may have an upstream address, below or above the ports of transceivers.
    shared_vip = Endpoint(upstream.host, 3478)
    shared_vip6 = Endpoint(upstream6.host, 30000)
    vlan_client = Endpoint("203.0.114.2", 50000)
    vlan_transceiver = Endpoint("192.0.3.2", 5000)

    def __init__(self, host: Host, instance: str) -> None:
        self.host = host
        self.instance = instance
        self.keys = KEYS
        self.dataplane = xdp.XdpDataplane(instance)
        self._program = bpfsys.obj_get(Pins(instance).program)
        with IPRoute(netns=host.namespace) as route:
            self._indexes = {
                name: route.link_lookup(ifname=name)[0] for name in ("public", "internal")
            }

    def run(self, frame: bytes, interface: str = "public") -> Outcome:
        """Run the program once on a frame that came in through an interface."""
        before = self.dataplane.counters()
        with self.host.inside():
            done = run_xdp(self._program, frame, self._indexes[interface])
        after = self.dataplane.counters()
        counted = {name: after[name] - before[name] for name in after}
        return Outcome(VERDICTS[done.verdict], done.data, {k: v for k, v in counted.items() if v})

    @contextmanager
    def running(self, program: int) -> Iterator[None]:
        """Run another program for a while, which is closed then."""
        before, self._program = self._program, program
        try:
            yield
        finally:
            self._program = before
            os.close(program)

    @staticmethod
    def outcome(verdict: str, frame: bytes, reason: str) -> Outcome:
        """An outcome to expect."""
        return Outcome(verdict, frame, {reason: 1})

    def route(self, *, cluster: int = CLUSTER, slot: int = 7, generation: int = 9) -> Route:
        """A valid route."""
        target = Target(cluster, slot, generation)
        return mint(target, KEYS, now=NOW, lifetime=3600, nonce=b"\x01\x02\x03\x04")

    def install(
        self,
        client: Endpoint = client,
        vip: Endpoint = vip,
        upstream: Endpoint = upstream,
        transceiver: Endpoint = transceiver,
    ) -> FlowTuple:
        """Install a flow."""
        flow = FlowTuple(client, vip, upstream, transceiver, self.route().raw)
        self.dataplane.install(flow)
        return flow

    def write_tx_ports(self) -> None:
        """Make tx ports of the interfaces and of their VLANs."""
        with IPRoute(netns=self.host.namespace) as route:
            ports = [TxPort(index, index) for index in self._indexes.values()]
            vlans = [(f"{name}.v", name, vlan) for name, vlan in self.vlans.items()]
            for above, name, vlan in (*vlans, ("public.n", "public", 0)):
                (fib_index,) = route.link_lookup(ifname=above)
                ports.append(TxPort(fib_index, self._indexes[name], vlan))
        write_tx_ports(Pins(self.instance), ports)

    def write_ingresses(self, *, redirects: bool = False, alike: int = 0) -> None:
        """Make the interfaces ones of hardware, which sends back what came in, or veths.

        Args:
            redirects: Whether they are veths.
            alike: How many others there are of each, whose numbers have the same slot.
        """
        pins = Pins(self.instance)
        with self.host.inside():
            found = renew_ingresses(pins)
        others = [
            replace(each, index=each.index + (number + 1) * INGRESSES)
            for each in found
            for number in range(alike)
        ]
        write_ingresses(pins, [*others, *(replace(each, redirects=redirects) for each in found)])

    def limit(self, **limits: RateLimit) -> None:
        """Set rate limits, with full buckets; kinds that are not named are not limited."""
        pins = Pins(self.instance)
        write_rates(pins, Rates(**{each.name: PLENTY for each in fields(Rates)} | limits))
        with PinnedMap(pins.map("token_buckets")) as buckets:
            for key, value in list(buckets.items()):
                buckets.update(key, bytes(len(value)))
        for name in ("ufrag_buckets", "prefix_buckets"):
            with closing(MappedArray(pins.opened(name))) as many:
                many.octets[:] = bytes(len(many.octets))

    def clear(self) -> None:
        """Remove all flows and lift all rate limits."""
        for record in list(self.dataplane.flows()):
            self.dataplane.remove(record.flow)
        self.limit()

    def request(self, username: bytes | None = None, *more: tuple[int, bytes]) -> bytes:
        """A Binding request as a client sends it, with a valid route unless told otherwise."""
        if username is None:
            username = f"{self.route().ufrag}:abcd".encode()
        attributes = ((Attribute.USERNAME, username), (Attribute.PRIORITY, bytes(4)), *more)
        return Message(MessageClass.REQUEST, BINDING, bytes(12), attributes).serialize(b"password")

    # Frames. `fields` are those of scapy's IP, for IPv6 too, and with the prefix udp_ of its UDP.

    def from_client(
        self, payload: bytes, *, client: Endpoint = client, to: Endpoint = vip, **fields: Any
    ) -> bytes:
        """A frame from a client."""
        return _frame("client", "public", client, to, payload, **fields)

    def to_transceiver(
        self,
        payload: bytes,
        *,
        upstream: Endpoint = upstream,
        to: Endpoint = transceiver,
        ttl: int = 63,
        **fields: Any,
    ) -> bytes:
        """That frame when it has been forwarded."""
        return _frame("internal", "transceiver", upstream, to, payload, ttl=ttl, **fields)

    def from_transceiver(
        self,
        payload: bytes,
        *,
        transceiver: Endpoint = transceiver,
        to: Endpoint = upstream,
        **fields: Any,
    ) -> bytes:
        """A frame from the transceiver."""
        return _frame("transceiver", "internal", transceiver, to, payload, **fields)

    def to_client(
        self,
        payload: bytes,
        *,
        vip: Endpoint = vip,
        client: Endpoint = client,
        ttl: int = 63,
        **fields: Any,
    ) -> bytes:
        """That frame when it has been forwarded."""
        return _frame("public", "client", vip, client, payload, ttl=ttl, **fields)


def _frame(
    src: str, dst: str, source: Endpoint, to: Endpoint, payload: bytes, **fields: Any
) -> bytes:
    packet = Ether(src=MACS[src], dst=MACS[dst])
    if (vlan := fields.pop("vlan", None)) is not None:
        packet /= Dot1Q(vlan=vlan)
    udp = {name.removeprefix("udp_"): v for name, v in fields.items() if name.startswith("udp_")}
    ip = {name: value for name, value in fields.items() if not name.startswith("udp_")}
    if ":" in to.host:
        names = {"ttl": "hlim", "tos": "tc", "len": "plen"}
        ip = {"hlim": 64} | {names.get(name, name): value for name, value in ip.items()}
        packet /= IPv6(src=source.host, dst=to.host, **ip)
    else:
        packet /= IP(src=source.host, dst=to.host, **ip)
    return bytes(packet / UDP(**{"sport": source.port, "dport": to.port} | udp) / Raw(payload))


def _wire(host: Host) -> None:
    # What the kernel sends by itself would be counted, too: the far ends have no IPv6.
    host.sysctl("ipv6/conf/default/accept_dad", 0)
    host.sysctl("ipv6/conf/default/disable_ipv6", 1)
    with IPRoute(netns=host.namespace) as netlink:
        index = {}
        for name, mac in (
            ("public", MACS["public"]),
            ("internal", MACS["internal"]),
            ("other", "02:00:00:00:03:01"),
            # They take the place of VLANs, which not every kernel has: as far as the FIB goes.
            ("public.n", MACS["public"]),  # without a tag
            ("public.v", MACS["public"]),
            ("internal.v", MACS["internal"]),
        ):
            netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far", address=mac)
            index[name] = netlink.link_lookup(ifname=name)[0]
        for name in ("public", "public.n", "internal"):
            host.sysctl(f"ipv6/conf/{name}/disable_ipv6", 0)
        with host.inside():  # the program is refused native mode where nothing would arrive
            for name in index:
                set_offload(f"{name}-far", Offload.GRO, on=True)
        netlink.link("set", index=index["public.n"], mtu=Bench.mtu)
        bring_up(netlink)
        for name, address in (
            ("public", "203.0.113.1"),
            ("public", "2001:db8:1::1"),
            ("public.v", "203.0.114.1"),
            ("internal", "192.0.2.1"),
            ("internal", "2001:db8:2::1"),
            ("internal.v", "192.0.3.1"),
            ("other", "198.51.100.1"),
        ):
            prefix = 64 if ":" in address else 24
            netlink.addr("add", index=index[name], address=address, prefixlen=prefix)
        for name, client, mac in (
            ("public", Bench.client, MACS["client"]),
            ("public.n", Bench.small_mtu, MACS["client"]),
            ("public", Bench.public_transceiver, MACS["transceiver"]),
            ("internal", Bench.transceiver, MACS["transceiver"]),
            ("public", Bench.client6, MACS["client"]),
            ("public.n", Bench.small_mtu6, MACS["client"]),
            ("internal", Bench.transceiver6, MACS["transceiver"]),
            ("public.v", Bench.vlan_client, MACS["client"]),
            ("internal.v", Bench.vlan_transceiver, MACS["transceiver"]),
            ("other", Bench.elsewhere, MACS["client"]),
        ):
            netlink.neigh(
                "add", ifindex=index[name], dst=client.host, lladdr=mac, state="permanent"
            )
        netlink.route("add", dst=f"{Bench.blackholed.host}/32", type="blackhole")
        netlink.route("add", dst=f"{Bench.blackholed6.host}/128", type="blackhole")
        for narrow in (f"{Bench.small_mtu.host}/32", f"{Bench.small_mtu6.host}/128"):
            netlink.route("add", dst=narrow, oif=index["public.n"])
        for family, everywhere in ((AF_INET, "0.0.0.0/0"), (AF_INET6, "::/0")):
            netlink.route("add", dst=everywhere, type="blackhole", table=100, family=family)
            netlink.rule("add", tos=Bench.policy_tos, table=100, priority=100, family=family)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to repeat what was random."""
    terminalreporter.write_line(f"Random frames for the BPF program: ICELANE_FUZZ_SEED={SEED}")


@pytest.fixture(scope="session")
def loaded_bench() -> Iterator[Bench]:
    """The bench; compiling takes a second, so all tests share it."""
    name = f"test-{os.getpid()}-{secrets.token_hex(2)}"
    host = Host(name, "bench")
    host.create()
    try:
        _wire(host)
        with host.inside():
            xdp.load(
                LoadConfig(
                    instance=name,
                    interfaces=("public", "internal"),
                    settings=Settings(
                        vips=(Bench.vip, Bench.vip6, Bench.shared_vip, Bench.shared_vip6),
                        upstreams=(
                            UpstreamRange(Bench.upstream.host, 20000, 29999),
                            UpstreamRange(Bench.upstream6.host, 20000, 29999),
                        ),
                        route_keys={
                            (CLUSTER, slot): KEYS.route_key(CLUSTER, slot) for slot in KEYS.slots
                        },
                        remote=frozenset({ELSEWHERE}),
                    ),
                    max_flows=64,
                    mode=Mode.NATIVE,
                )
            )
        bench = Bench(host, name)
        bench.write_tx_ports()
        bench.write_ingresses()
        yield bench
    finally:
        xdp.unload(name)
        host.remove()


@pytest.fixture
def bench(loaded_bench: Bench) -> Bench:
    """The bench without flows and without rate limits."""
    loaded_bench.clear()
    return loaded_bench
