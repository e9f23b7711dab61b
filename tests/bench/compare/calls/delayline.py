"""A delay line: a host whose packets take a while to the client's host of a lab, and back.

The delay is made by a thread that carries frames between two cables and holds each for a time: the
queueing disciplines that do it in the kernel are not on every machine.
"""

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack

from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.bench.resource import Resource
from tests.lab.config import CLIENT_ADDRESS
from tests.lab.lab import Lab
from tests.lab.topology import CLIENT, RELAY, TRANSCEIVER

ADDRESS = "198.18.0.2"  # of the far host; a network for benchmarks (RFC 2544)

_GATEWAY, _NETWORK, _PREFIX = "198.18.0.1", "198.18.0.0/24", 24
_LINE, _FAR, _NEAR = "line", "far", "near"
_FIRST_INDEX = 200  # the two ends of a cable must have different numbers, see `tests.lab.topology`
_ETH_P_ALL = 0x0003  # linux/if_ether.h
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23  # linux/socket.h, linux/if_packet.h
_LARGEST_FRAME = 65536
_LOOK_EVERY = 0.05  # seconds between two looks at whether to stop


class DelayLine(Resource):
    """A host behind the client's host, at the far end of a delay line, from entering to leaving.

    Args:
        lab: A lab that is up.
        delay: Seconds that the line takes, one way.

    Attributes:
        host: The host.
    """

    def __init__(self, lab: Lab, delay: float) -> None:
        self.host = Host(lab.name, _FAR)
        self._lab = lab
        self._middle = Host(lab.name, "middle")
        self._delay = delay
        self._stop = threading.Event()

    def _open(self, stack: ExitStack) -> None:
        """Make it.

        Raises:
            LabError: The kernel refuses a host.
        """
        for host in (self.host, self._middle):
            host.create()
            stack.callback(host.remove)
        self._plug(_FAR, self.host, ADDRESS, _FIRST_INDEX)
        self._plug(_NEAR, self._lab.hosts[CLIENT], _GATEWAY, _FIRST_INDEX + 1)
        stack.callback(self._unplug)
        self._route()
        ends = [stack.enter_context(self._end(name)) for name in (_FAR, _NEAR)]
        thread = threading.Thread(target=self._carry, args=ends, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._stop.set)

    def _plug(self, name: str, host: Host, address: str, index: int) -> None:
        """Put a cable between the middle and a host."""
        peer = {"ifname": _LINE, "net_ns_fd": str(host.path)}
        with self._middle.netlink() as netlink:
            netlink.link("add", index=index, ifname=name, kind="veth", peer=peer)
            netlink.link("set", index=index, state="up")
        with host.inside():  # the middle carries frames as they are on a wire, with checksums
            set_offload(_LINE, Offload.TX_CHECKSUM, on=False)
        with host.netlink() as netlink:
            line = netlink.link_lookup(ifname=_LINE)[0]
            netlink.addr("add", index=line, address=address, prefixlen=_PREFIX)
            netlink.link("set", index=line, state="up")

    def _unplug(self) -> None:
        with self._middle.netlink() as netlink:
            for name in (_FAR, _NEAR):
                netlink.link("del", index=netlink.link_lookup(ifname=name)[0])

    def _route(self) -> None:
        """Let the client's host pass on what comes from the far host, and goes there."""
        with self.host.netlink() as netlink:
            netlink.route("add", dst="0.0.0.0/0", gateway=_GATEWAY)
        self._lab.hosts[CLIENT].sysctl("ipv4/ip_forward", 1)
        for name in (RELAY, TRANSCEIVER):
            with self._lab.hosts[name].netlink() as netlink:
                netlink.route("replace", dst=_NETWORK, gateway=CLIENT_ADDRESS)

    def _end(self, interface: str) -> socket.socket:
        with self._middle.inside():
            end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            end.bind((interface, _ETH_P_ALL))
        end.setblocking(False)
        return end

    def _carry(self, far: socket.socket, near: socket.socket) -> None:
        under_way: dict[socket.socket, deque[tuple[float, bytes]]] = {far: deque(), near: deque()}
        with selectors.DefaultSelector() as selector:
            for source, destination in ((far, near), (near, far)):
                selector.register(source, selectors.EVENT_READ, under_way[destination])
            while not self._stop.is_set():
                due = min((queue[0][0] for queue in under_way.values() if queue), default=None)
                wait = _LOOK_EVERY if due is None else max(0.0, due - time.monotonic())
                for key, _ in selector.select(min(wait, _LOOK_EVERY)):
                    self._take(key.fileobj, key.data)  # type: ignore[arg-type]  # registered above
                for destination, queue in under_way.items():
                    _give(destination, queue)

    def _take(self, source: socket.socket, queue: deque[tuple[float, bytes]]) -> None:
        while True:
            try:
                frame = source.recv(_LARGEST_FRAME)
            except BlockingIOError:
                return
            queue.append((time.monotonic() + self._delay, frame))


def _give(destination: socket.socket, queue: deque[tuple[float, bytes]]) -> None:
    while queue and queue[0][0] <= time.monotonic():
        destination.send(queue.popleft()[1])
