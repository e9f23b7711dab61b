"""The lab's network: three hosts, three links.

```
  client ----- public ------ relay ----- internal ----- transceiver
     |   203.0.113.0/24            192.0.2.0/24              |
     |   2001:db8:1::/64           2001:db8:2::/64           |
     +------------------- signaling -------------------------+
                        198.51.100.0/24
```

Signaling has a link of its own because it does not pass through the relay: the relay is no router,
and IP forwarding stays off in its host. The client uses its public address there, too: with a
second address, ICE would try media from an address that the relay cannot reach.
All addresses are from the ranges of RFC 5737 and RFC 3849 for documentation.

That is `TWO_NICS`. In `ONE_NIC` the relay is on a stick, with the same addresses on one interface:

```
  client ----- public ------ switch ----- internal ----- transceiver
                               |
                             uplink
                               |
                             relay
```
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.lab.errors import LabError
from tests.lab.links import own_links
from tests.lab.xdp_pass import attach_xdp_pass

CLIENT, RELAY, TRANSCEIVER = "client", "relay", "transceiver"
SWITCH, NAT, LINE = "switch", "nat", "line"
HOSTS = (CLIENT, RELAY, TRANSCEIVER)
PUBLIC, INTERNAL, SIGNALING = "public", "internal", "signaling"
UPLINK, BRIDGE, CLOUD, ACCESS = "uplink", "bridge", "cloud", "access"

_RECEIVERS = Path("/proc/sys/net/core/rps_default_mask")  # which processors; since Linux 6.4
HAS_IPV6 = Path("/proc/sys/net/ipv6/conf").exists()  # not with the boot option ipv6.disable=1

IFA_F_NODAD = 0x02  # linux/if_addr.h: usable at once, nobody else has this address

# The kernel compares a link's two ends by interface index, also across namespaces. Ends with equal
# indexes look like one device to it, and it takes up to a second to notice that the link is up.
NEAR_INDEX = 100
LOOPBACK_INDEX = 1  # in every network namespace

_EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}

LINK_SECONDS = 10.0  # until a link is up; within a second, mostly at once
POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One end of a link: an interface of a host, named after the network it leads to.

    Attributes:
        host: The host that has the interface.
        addresses: Its addresses with prefix lengths.
        routes: Further destinations through it, each with the source address to use; None leaves
            the choice to the kernel.
        gateways: The routers on this link for all other destinations, at most one of each version.
        receives_xdp_redirect: Whether a program at the other end redirects frames to it. The veth
            driver drops such frames unless the receiver uses NAPI, as it does for GRO.
        receives_xdp_tx: Whether a program at the other end sends frames back to it (XDP_TX). The
            driver drops those unless the receiver runs a program of its own.
        bridged: Whether it is a port of the host's bridge, which makes the host a switch.
    """

    host: str
    addresses: tuple[str, ...] = ()
    routes: tuple[tuple[str, str | None], ...] = ()
    gateways: tuple[str, ...] = ()
    receives_xdp_redirect: bool = False
    receives_xdp_tx: bool = False
    bridged: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair; its name is the name of the interfaces at both ends."""

    name: str
    ends: tuple[LinkEnd, LinkEnd]


@dataclass(frozen=True, slots=True)
class Network:
    """Hosts and the links between them.

    Attributes:
        hosts: The hosts.
        links: The links.
        loopbacks: Addresses with prefix lengths that are on no link, each with its host.
    """

    hosts: tuple[str, ...]
    links: tuple[Link, ...]
    loopbacks: tuple[tuple[str, str], ...] = ()


_CLIENT_ADDRESSES = ("203.0.113.2/24", "2001:db8:1::2/64")
_VIP_ADDRESSES = ("203.0.113.10/24", "2001:db8:1::10/64")
_UPSTREAM_ADDRESSES = ("192.0.2.1/24", "2001:db8:2::1/64")
_TRANSCEIVER_ADDRESSES = ("192.0.2.2/24", "2001:db8:2::2/64")

TWO_NICS = Network(
    HOSTS,
    (
        Link(
            PUBLIC,
            (
                LinkEnd(CLIENT, _CLIENT_ADDRESSES, receives_xdp_redirect=True),
                LinkEnd(RELAY, _VIP_ADDRESSES),
            ),
        ),
        Link(
            INTERNAL,
            (
                LinkEnd(RELAY, _UPSTREAM_ADDRESSES),
                LinkEnd(TRANSCEIVER, _TRANSCEIVER_ADDRESSES, receives_xdp_redirect=True),
            ),
        ),
        Link(
            SIGNALING,
            (
                LinkEnd(CLIENT, routes=(("198.51.100.0/24", "203.0.113.2"),)),
                LinkEnd(TRANSCEIVER, ("198.51.100.2/24",), routes=(("203.0.113.2/32", None),)),
            ),
        ),
    ),
)

ONE_NIC = Network(
    (*HOSTS, SWITCH),
    (
        Link(PUBLIC, (LinkEnd(SWITCH, bridged=True), LinkEnd(CLIENT, _CLIENT_ADDRESSES))),
        Link(
            INTERNAL, (LinkEnd(SWITCH, bridged=True), LinkEnd(TRANSCEIVER, _TRANSCEIVER_ADDRESSES))
        ),
        Link(
            UPLINK,
            (
                LinkEnd(SWITCH, bridged=True, receives_xdp_redirect=True, receives_xdp_tx=True),
                LinkEnd(RELAY, _VIP_ADDRESSES + _UPSTREAM_ADDRESSES),
            ),
        ),
    ),
)

# The same with a relay of one address, for clients as for transceivers.
ONE_ADDRESS = Network(
    (*HOSTS, SWITCH),
    (
        Link(PUBLIC, (LinkEnd(SWITCH, bridged=True), LinkEnd(CLIENT, _CLIENT_ADDRESSES))),
        Link(
            INTERNAL,
            (
                LinkEnd(SWITCH, bridged=True),
                LinkEnd(
                    TRANSCEIVER,
                    _TRANSCEIVER_ADDRESSES,
                    routes=(("203.0.113.10/32", None), ("2001:db8:1::10/128", None)),
                ),
            ),
        ),
        Link(
            UPLINK,
            (
                LinkEnd(SWITCH, bridged=True, receives_xdp_redirect=True, receives_xdp_tx=True),
                LinkEnd(
                    RELAY,
                    _VIP_ADDRESSES,
                    routes=(("192.0.2.0/24", None), ("2001:db8:2::/64", None)),
                ),
            ),
        ),
    ),
)


def address(host: str, link_name: str, *, version: int = 4, network: Network = TWO_NICS) -> str:
    """A host's address on a link, without the prefix length."""
    return next(
        str(interface.ip)
        for link in network.links
        if link.name == link_name
        for end in link.ends
        if end.host == host
        for interface in map(ip_interface, end.addresses)
        if interface.version == version
    )


def interfaces(network: Network, host: str) -> tuple[str, ...]:
    """The names of a host's interfaces."""
    return tuple(link.name for link in network.links if host in {end.host for end in link.ends})


def hosts(lab: str, network: Network = TWO_NICS) -> dict[str, Host]:
    """The hosts of a lab by name, whether they exist or not."""
    return {name: Host(lab, name) for name in network.hosts}


def build(lab: str, network: Network = TWO_NICS, *, in_order: bool = True) -> None:
    """Create a lab's network; on failure, nothing of it is left.

    Args:
        lab: The lab's name.
        network: What it consists of.
        in_order: Whether packets keep their order, as on a wire, where the kernel can do that
            (Linux 6.4). One processor takes all of them in, at the price of throughput.

    Raises:
        LabError: It exists already, or the kernel refused something.
        NetnsError: A namespace cannot be created.
    """
    members = hosts(lab, network)
    existing = [host.namespace for host in members.values() if host.exists()]
    if existing:
        raise LabError(
            f"The network namespace {existing[0]} exists already; "
            f"`python -m tests.lab down --name {lab}` removes it."
        )
    try:
        for host in members.values():
            _boot(host, in_order=in_order)
        for name, text in network.loopbacks:
            with members[name].netlink() as netlink:
                _add_address(netlink, LOOPBACK_INDEX, text)
        for number, link in enumerate(network.links):
            _add_link(members, link, NEAR_INDEX + number)
        for host in members.values():
            _wait_for_links(host)
    except (OSError, NetlinkError) as error:
        destroy(lab, network)
        raise LabError(f"The lab's network cannot be created: {error}") from error
    except BaseException:
        destroy(lab, network)
        raise


def destroy(lab: str, network: Network = TWO_NICS) -> None:
    """Remove a lab's network as far as it exists, whichever of a lab's own it is, or this one."""
    for name in dict.fromkeys((*HOSTS, SWITCH, NAT, LINE, *network.hosts)):
        host = Host(lab, name)
        if not host.exists():
            continue
        # A namespace lives on while a shell is in it; its links must not.
        with host.netlink() as netlink:
            names = [link.get("ifname") for link in own_links(netlink)]
        for link in names:
            if link != "lo":
                remove_link(host, link)
        host.remove()


def remove_link(host: Host, name: str) -> None:
    """Remove a link with the interfaces at both ends, if it exists."""
    with host.netlink() as netlink:
        for index in netlink.link_lookup(ifname=name):
            with suppress(NetlinkError):  # the kernel may be removing the peer right now
                netlink.link("del", index=index)


def restore_link(lab: str, network: Network, name: str) -> None:
    """Create a removed link again: new interfaces, configured as the old ones were.

    Raises:
        LabError: A link does not come up.
    """
    members = hosts(lab, network)
    # An index of its own, like that of a network card that comes back.
    index = NEAR_INDEX + len(network.links)
    for link in network.links:
        if link.name == name:
            _add_link(members, link, index)
            for end in link.ends:
                _wait_for_links(members[end.host])


def _boot(host: Host, *, in_order: bool) -> None:
    host.create()
    if in_order and _RECEIVERS.exists():
        # Behind a veth a frame waits for the processor that it came on. Two frames of a flow that
        # came on two, of which one stands still, overtake each other.
        with host.inside():
            # The first one (RPS). This is a mask, which may be read with commas: no `sysctl`.
            _RECEIVERS.write_text("1", "ascii")
    host.sysctl("ipv4/ip_forward", 0)  # a new namespace inherits the machine's setting
    if HAS_IPV6:
        host.sysctl("ipv6/conf/default/disable_ipv6", 0)  # it may be off for new interfaces
        host.sysctl("ipv6/conf/all/forwarding", 0)
        host.sysctl("ipv6/conf/default/accept_dad", 0)
        host.sysctl("ipv6/conf/default/accept_ra", 0)
    with host.netlink() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname="lo")[0], state="up")


def _add_link(members: dict[str, Host], link: Link, index: int) -> None:
    near, far = (members[end.host] for end in link.ends)
    with near.netlink() as netlink:
        netlink.link(
            "add",
            index=index,
            ifname=link.name,
            kind="veth",
            peer={"ifname": link.name, "net_ns_fd": str(far.path)},
        )
    # Receivers of redirected frames come up first: the driver decides whether an interface can
    # send such frames when it comes up, by what its peer is ready for at that moment.
    for end in sorted(link.ends, key=lambda end: not end.receives_xdp_redirect):
        _configure(members[end.host], link.name, end)


def _configure(host: Host, interface: str, end: LinkEnd) -> None:
    with host.inside():
        # A veth passes partial checksums on, as if hardware would complete them. A program that
        # updates a checksum incrementally would start from such a partial one.
        set_offload(interface, Offload.TX_CHECKSUM, on=False)
        set_offload(interface, Offload.GRO, on=end.receives_xdp_redirect)
    if end.receives_xdp_tx:
        attach_xdp_pass(host, interface)
    with host.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)[0]
        for text in end.addresses:
            _add_address(netlink, index, text)
        if end.bridged:
            netlink.link("set", index=index, master=_bridge(netlink))
        netlink.link("set", index=index, state="up")
        for destination, source in end.routes:
            hint = {"prefsrc": source} if source is not None else {}
            netlink.route("add", dst=destination, oif=index, scope="link", **hint)
        for gateway in end.gateways:
            netlink.route("add", dst=_EVERYWHERE[ip_address(gateway).version], gateway=gateway)


def _add_address(netlink: IPRoute, index: int, text: str) -> None:
    ip = ip_interface(text)
    if ip.version == 6 and not HAS_IPV6:
        return
    flags = {"flags": IFA_F_NODAD} if ip.version == 6 else {}
    netlink.addr("add", index=index, address=str(ip.ip), prefixlen=ip.network.prefixlen, **flags)


def _bridge(netlink: IPRoute) -> int:
    """The interface index of the host's bridge, which is created if needed."""
    if not netlink.link_lookup(ifname=BRIDGE):
        netlink.link("add", ifname=BRIDGE, kind="bridge")
        netlink.link("set", ifname=BRIDGE, state="up")
    index: int = netlink.link_lookup(ifname=BRIDGE)[0]
    return index


def _wait_for_links(host: Host) -> None:
    """Wait until all links are up: until then, the kernel drops what is sent there."""
    deadline = time.monotonic() + LINK_SECONDS
    with host.netlink() as netlink:
        while not all(
            link.get("operstate") == "UP" and link.get("qdisc") != "noop"
            for link in own_links(netlink)
            if link.get("ifname") != "lo"
        ):
            if time.monotonic() > deadline:
                raise LabError(
                    f"The links of host {host.name} are not up after {LINK_SECONDS:.0f} s."
                )
            time.sleep(POLL_SECONDS)
