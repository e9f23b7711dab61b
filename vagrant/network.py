"""The network around the machine: a client and a transceiver, each behind one of its two cards.

```
  client ===== tap, virtio-net ===== relay, in the machine ===== tap, virtio-net ===== transceiver
     +----------------------------------- signaling (veth) ---------------------------------+
```

It is the lab's network with the relay's host taken out and the machine put in; addresses are the
lab's. A tap device goes when the QEMU that holds it ends.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_interface

from relay.netns.host import Host
from tests.lab import topology
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, SIGNALING, TRANSCEIVER, TWO_NICS
from vagrant.qemu import QUEUES, Card

NAME = "vm"

# linux/if_tun.h
TUNSETIFF = 0x4004_54CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x4000, 0x0100

MACS = {PUBLIC: "02:00:00:00:01:10", INTERNAL: "02:00:00:00:02:10"}

_client_end, _transceiver_end = next(link.ends for link in TWO_NICS.links if link.name == SIGNALING)

# Its routes give the client's public address as source, which comes later, with the tap device.
OUTSIDE = topology.Network(
    (CLIENT, TRANSCEIVER),
    (topology.Link(SIGNALING, (replace(_client_end, routes=()), _transceiver_end)),),
)


def relay_addresses(network: str) -> tuple[str, ...]:
    """The relay's addresses on a network, with prefix lengths."""
    return _end(network, RELAY).addresses


def remove() -> None:
    """Remove the network, as far as it exists."""
    topology.destroy(NAME)


@contextmanager
def network() -> Iterator[tuple[dict[str, Host], tuple[Card, ...]]]:
    """Make the network; gives its hosts and the machine's cards. All is removed in the end.

    Raises:
        LabError: The kernel refused something.
    """
    remove()  # left by a run that was killed
    topology.build(NAME, OUTSIDE)
    hosts = topology.hosts(NAME, OUTSIDE)
    with ExitStack() as undo:
        undo.callback(remove)
        cards = []
        for name, host in ((PUBLIC, hosts[CLIENT]), (INTERNAL, hosts[TRANSCEIVER])):
            queues = _open_tap(host, name)
            for queue in queues:
                undo.callback(os.close, queue)
            _configure(host, name)
            cards.append(Card(name, MACS[name], queues))
        with hosts[CLIENT].netlink() as netlink:
            index = netlink.link_lookup(ifname=SIGNALING)[0]
            for destination, source in _client_end.routes:
                netlink.route("add", dst=destination, oif=index, scope="link", prefsrc=source)
        yield hosts, tuple(cards)


def _open_tap(host: Host, name: str) -> tuple[int, ...]:
    """Make a tap device in a host; gives an open file for each of its queues."""
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE
    request = struct.pack("16sH22x", name.encode(), flags)
    queues = []
    with host.inside():
        for _ in range(QUEUES):
            queue = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(queue, TUNSETIFF, request)
            queues.append(queue)
    return tuple(queues)


def _configure(host: Host, name: str) -> None:
    with host.netlink() as netlink:
        index = netlink.link_lookup(ifname=name)[0]
        for text in _end(name, host.name).addresses:
            ip = ip_interface(text)
            flags = {"flags": topology.IFA_F_NODAD} if ip.version == 6 else {}
            netlink.addr(
                "add", index=index, address=str(ip.ip), prefixlen=ip.network.prefixlen, **flags
            )
        netlink.link("set", index=index, state="up")


def _end(network: str, host: str) -> topology.LinkEnd:
    return next(
        end
        for link in TWO_NICS.links
        if link.name == network
        for end in link.ends
        if end.host == host
    )
