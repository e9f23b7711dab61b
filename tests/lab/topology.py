"""The lab's network: three hosts, three cables.

```
  client ----- public ------ relay ----- internal ----- transceiver
     |   203.0.113.0/24            192.0.2.0/24              |
     |   2001:db8:1::/64           2001:db8:2::/64           |
     +------------------- signaling -------------------------+
                        198.51.100.0/24
```

Signaling has a cable of its own because it does not pass through the relay: the relay is no
router, and its host need not forward a single packet by itself. The client uses its public address
there, too: with a second one, ICE would try media from an address that the relay cannot answer.
All addresses are those that RFC 5737 and RFC 3849 set aside for documentation.

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
from ipaddress import ip_interface

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.lab.errors import LabError
from tests.lab.passing import pass_everything

CLIENT, RELAY, TRANSCEIVER = "client", "relay", "transceiver"
SWITCH = "switch"
HOSTS = (CLIENT, RELAY, TRANSCEIVER)
PUBLIC, INTERNAL, SIGNALING = "public", "internal", "signaling"
UPLINK, BRIDGE = "uplink", "bridge"

IFA_F_NODAD = 0x02  # linux/if_addr.h: usable at once, nobody else has this address

# The kernel tells a link's two ends apart by their numbers, also across namespaces. Ends with equal
# numbers look like one device to it, and it takes a second to notice that such a link came up.
NEAR_INDEX = 100

LINK_SECONDS = 10.0  # the kernel notices a link within a second, mostly at once
LOOK_EVERY = 0.005


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable: an interface of a host, named after the network it leads to.

    Attributes:
        host: The host that has the interface.
        addresses: Its addresses with prefix lengths.
        routes: What is reached through it beyond that, by the host's address to send from; None
            leaves the choice to the kernel.
        receives_redirects: Whether a program at the other end redirects frames to it. The veth
            driver drops such frames unless the receiver polls, which it does for GRO.
        receives_returns: Whether a program at the other end sends frames back to it (XDP_TX). The
            driver drops those unless the receiver runs a program of its own.
        bridged: Whether it is a port of the host's bridge, which makes a switch of the host.
    """

    host: str
    addresses: tuple[str, ...] = ()
    routes: tuple[tuple[str, str | None], ...] = ()
    receives_redirects: bool = False
    receives_returns: bool = False
    bridged: bool = False


@dataclass(frozen=True, slots=True)
class Cable:
    """A veth pair; its name is the interface's name at both ends."""

    name: str
    ends: tuple[End, End]


@dataclass(frozen=True, slots=True)
class Network:
    """Hosts and the cables between them."""

    hosts: tuple[str, ...]
    cables: tuple[Cable, ...]


_CLIENT_ADDRESSES = ("203.0.113.2/24", "2001:db8:1::2/64")
_VIP_ADDRESSES = ("203.0.113.10/24", "2001:db8:1::10/64")
_UPSTREAM_ADDRESSES = ("192.0.2.1/24", "2001:db8:2::1/64")
_TRANSCEIVER_ADDRESSES = ("192.0.2.2/24", "2001:db8:2::2/64")

TWO_NICS = Network(
    HOSTS,
    (
        Cable(
            PUBLIC,
            (End(CLIENT, _CLIENT_ADDRESSES, receives_redirects=True), End(RELAY, _VIP_ADDRESSES)),
        ),
        Cable(
            INTERNAL,
            (
                End(RELAY, _UPSTREAM_ADDRESSES),
                End(TRANSCEIVER, _TRANSCEIVER_ADDRESSES, receives_redirects=True),
            ),
        ),
        Cable(
            SIGNALING,
            (
                End(CLIENT, routes=(("198.51.100.0/24", "203.0.113.2"),)),
                End(TRANSCEIVER, ("198.51.100.2/24",), routes=(("203.0.113.2/32", None),)),
            ),
        ),
    ),
)

ONE_NIC = Network(
    (*HOSTS, SWITCH),
    (
        Cable(PUBLIC, (End(SWITCH, bridged=True), End(CLIENT, _CLIENT_ADDRESSES))),
        Cable(INTERNAL, (End(SWITCH, bridged=True), End(TRANSCEIVER, _TRANSCEIVER_ADDRESSES))),
        Cable(
            UPLINK,
            (
                End(SWITCH, bridged=True, receives_redirects=True, receives_returns=True),
                End(RELAY, _VIP_ADDRESSES + _UPSTREAM_ADDRESSES),
            ),
        ),
    ),
)


def address(host: str, network: str, *, version: int = 4) -> str:
    """A host's address on a network, without the prefix length."""
    return next(
        str(interface.ip)
        for cable in TWO_NICS.cables
        if cable.name == network
        for end in cable.ends
        if end.host == host
        for interface in map(ip_interface, end.addresses)
        if interface.version == version
    )


def interfaces(network: Network, host: str) -> tuple[str, ...]:
    """The names of a host's interfaces."""
    return tuple(cable.name for cable in network.cables if host in {end.host for end in cable.ends})


def hosts(lab: str, network: Network = TWO_NICS) -> dict[str, Host]:
    """The hosts of a lab by name, whether they are there or not."""
    return {name: Host(lab, name) for name in network.hosts}


def build(lab: str, network: Network = TWO_NICS) -> None:
    """Make a lab's network; when that fails, nothing of it is left.

    Raises:
        LabError: It is there already, or the kernel refused something.
    """
    members = hosts(lab, network)
    taken = [host.namespace for host in members.values() if host.exists()]
    if taken:
        raise LabError(
            f"The network namespace {taken[0]} is there already; "
            f"`python -m tests.lab down --name {lab}` removes it."
        )
    try:
        for host in members.values():
            _boot(host)
        for number, cable in enumerate(network.cables):
            _plug(members, cable, NEAR_INDEX + number)
        for host in members.values():
            _wait_for_links(host)
    except (OSError, NetlinkError) as error:
        destroy(lab)
        raise LabError(f"The lab's network could not be made: {error}") from error
    except BaseException:
        destroy(lab)
        raise


def destroy(lab: str) -> None:
    """Remove a lab's network, whichever it is; what is not there is fine."""
    for name in (*HOSTS, SWITCH):
        host = Host(lab, name)
        if not host.exists():
            continue
        # A namespace lives on while somebody's shell is in it; its cables need not.
        for cable in (PUBLIC, INTERNAL, SIGNALING, UPLINK):
            unplug(host, cable)
        host.remove()


def unplug(host: Host, cable: str) -> None:
    """Take a cable away, and the interfaces at both of its ends; none of that name is fine."""
    with host.netlink() as netlink:
        for index in netlink.link_lookup(ifname=cable):
            with suppress(NetlinkError):  # the kernel may be removing the peer right now
                netlink.link("del", index=index)


def replug(lab: str, network: Network, name: str) -> None:
    """Put a cable in again that was taken away: new interfaces, as the old ones were.

    Raises:
        LabError: A link does not come up.
    """
    members = hosts(lab, network)
    # A number of its own, as the interface of a card that comes back has.
    number = NEAR_INDEX + len(network.cables)
    for cable in network.cables:
        if cable.name == name:
            _plug(members, cable, number)
            for end in cable.ends:
                _wait_for_links(members[end.host])


def _boot(host: Host) -> None:
    host.create()
    host.sysctl("ipv4/ip_forward", 0)  # a new namespace inherits the machine's setting
    host.sysctl("ipv6/conf/all/forwarding", 0)
    host.sysctl("ipv6/conf/default/accept_dad", 0)
    host.sysctl("ipv6/conf/default/accept_ra", 0)
    with host.netlink() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname="lo")[0], state="up")


def _plug(members: dict[str, Host], cable: Cable, index: int) -> None:
    near, far = (members[end.host] for end in cable.ends)
    with near.netlink() as netlink:
        netlink.link(
            "add",
            index=index,
            ifname=cable.name,
            kind="veth",
            peer={"ifname": cable.name, "net_ns_fd": str(far.path)},
        )
    # Receivers of redirected frames come up first: the driver decides whether an interface can
    # send such frames when it comes up, by what its peer is ready for at that moment.
    for end in sorted(cable.ends, key=lambda end: not end.receives_redirects):
        _configure(members[end.host], cable.name, end)


def _configure(host: Host, interface: str, end: End) -> None:
    with host.inside():
        # A veth hands the sender's unfinished checksums on, as if hardware would complete them.
        # A program that updates a checksum incrementally would start from such a fragment.
        set_offload(interface, Offload.TX_CHECKSUM, on=False)
        set_offload(interface, Offload.GRO, on=end.receives_redirects)
    if end.receives_returns:
        pass_everything(host, interface)
    with host.netlink() as netlink:
        index = netlink.link_lookup(ifname=interface)[0]
        for text in end.addresses:
            ip = ip_interface(text)
            flags = {"flags": IFA_F_NODAD} if ip.version == 6 else {}
            netlink.addr(
                "add", index=index, address=str(ip.ip), prefixlen=ip.network.prefixlen, **flags
            )
        if end.bridged:
            netlink.link("set", index=index, master=_bridge(netlink))
        netlink.link("set", index=index, state="up")
        for destination, source in end.routes:
            hint = {"prefsrc": source} if source is not None else {}
            netlink.route("add", dst=destination, oif=index, scope="link", **hint)


def _bridge(netlink: IPRoute) -> int:
    """The host's bridge, made when there is none."""
    if not netlink.link_lookup(ifname=BRIDGE):
        netlink.link("add", ifname=BRIDGE, kind="bridge")
        netlink.link("set", ifname=BRIDGE, state="up")
    index: int = netlink.link_lookup(ifname=BRIDGE)[0]
    return index


def _wait_for_links(host: Host) -> None:
    """Until the kernel has noticed that a link is up, it drops what is sent there."""
    deadline = time.monotonic() + LINK_SECONDS
    with host.netlink() as netlink:
        while not all(
            link.get("operstate") == "UP" and link.get("qdisc") != "noop"
            for link in netlink.get_links()
            if link.get("ifname") != "lo"
        ):
            if time.monotonic() > deadline:
                raise LabError(f"The links of host {host.name} did not come up.")
            time.sleep(LOOK_EVERY)
