"""How long packets still go the old way after a change to a relay's network.

What counts is when a packet was sent: it has met the relay after that. So a packet that was sent
after a moment and went the old way shows that the relay still used it then; how fast the sender,
the capture or this machine are does not matter.
"""

import math
import socket
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Self

from relay.dataplane.kernel.nexthops import NextHops
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from tests.lab.capture import FrameCapture
from tests.lab.errors import LabError
from tests.lab.frame import parse
from tests.lab.relay_testbed import RelayTestbed, udp_socket
from tests.lab.reroutes import (
    ADDRESSES,
    LARGE,
    MARK,
    SMALL,
    SPARE,
    Addresses,
    Relay,
    Reroute,
    Seen,
    Way,
    prepare,
)
from tests.lab.topology import CLIENT, PUBLIC, RELAY, TRANSCEIVER

RATE = 2000.0  # packets a second, of all flows together
BEFORE, AFTER = 0.1, 0.2  # seconds of packets before a change and after it
_HEAD = b"\x80icelane"  # looks like media
_DRAIN_SECONDS = 0.2  # without a packet, after which no more will come
_LIMIT = 5.0  # seconds that an agent may take
_COARSE = 6  # CLOCK_MONOTONIC_COARSE of linux/time.h


@dataclass(frozen=True, slots=True)
class Rerouted:
    """What became of the packets around a change.

    Attributes:
        stale: Packets that went the old way although they were sent after the change.
        seconds: From the call that makes the change to when the last of them was sent.
        late: The same from when the call has returned, and the change has surely happened.
        after_told: How many of them were sent after the agent had told the program.
        astray: Packets of flows that the change is no concern of, and did not keep their way.
    """

    stale: int
    seconds: float
    late: float
    after_told: int
    astray: int


class _Traffic:
    """Numbered packets of some flows to their clients, while entered.

    Attributes:
        sent: When each was sent, by the monotonic clock; its flow is its number modulo theirs.
        seen: How each left the relay.
    """

    def __init__(self, testbed: RelayTestbed, reroute: Reroute, at: Addresses) -> None:
        self.sent: list[float] = []
        self.seen: dict[int, Way] = {}
        self._last = 0.0
        self._running = True
        self._opened = ExitStack()
        self._testbed = testbed
        self._flows = [at.flow(number) for number in range(reroute.flows)]
        self._sizes = [
            LARGE if number in reroute.large else SMALL for number in range(reroute.flows)
        ]
        self._marked = reroute.marked
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            dataplane = opened.enter_context(closing(XdpDataplane(self._testbed.instance)))
            for flow in self._flows:
                dataplane.install(flow)
                opened.callback(dataplane.remove, flow)
            for name in (PUBLIC, SPARE):
                opened.enter_context(self._capture(name))
            self._sockets = [
                opened.enter_context(closing(self._socket(number)))
                for number in range(len(self._flows))
            ]
            self._opened = opened.pop_all()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        self._opened.close()

    def stop(self) -> None:
        """Send no more, and wait for what is under way."""
        if self._running:
            self._running = False
            self._thread.join()
            self._last = time.monotonic()
            while time.monotonic() - self._last < _DRAIN_SECONDS:
                time.sleep(_DRAIN_SECONDS / 10)

    def settle(self) -> int:
        """Wait until each flow had packets from now on, and all were seen; says how many.

        Raises:
            LabError: They do not all arrive.
        """
        deadline, count = time.monotonic() + _LIMIT, len(self.sent) + 2 * len(self._flows)
        while not all(number in self.seen for number in range(count)):
            if time.monotonic() > deadline:
                raise LabError("Not every packet came through before anything was changed.")
            time.sleep(0.001)
        return count

    def _capture(self, interface: str) -> FrameCapture:
        def keep(frame: bytes, _time: float, outgoing: bool) -> None:
            datagram = None if outgoing else parse(frame)
            if datagram is not None and datagram.payload.startswith(_HEAD):
                number = int.from_bytes(datagram.payload[len(_HEAD) :][:4], "big")
                self.seen[number] = Way(interface, frame[:6].hex(":"), frame[6:12].hex(":"))
                self._last = time.monotonic()

        return FrameCapture(self._testbed.hosts[CLIENT], interface, keep)

    def _socket(self, number: int) -> socket.socket:
        udp = udp_socket(self._testbed.hosts[TRANSCEIVER], self._flows[number].transceiver)
        if number in self._marked:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, MARK)
            if udp.family == socket.AF_INET6:
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, MARK)
        return udp

    def _send(self) -> None:
        due = time.monotonic()
        while self._running:
            number = len(self.sent)
            flow = number % len(self._flows)
            data = (_HEAD + number.to_bytes(4, "big")).ljust(self._sizes[flow], b"\0")
            self.sent.append(time.monotonic())
            self._sockets[flow].sendto(data, self._flows[flow].upstream)
            due = max(due + 1 / RATE, time.monotonic() - 0.05)
            time.sleep(max(0.0, due - time.monotonic()))


def measure(
    testbed: RelayTestbed, reroute: Reroute, version: int, *, agent: bool, after: float = AFTER
) -> Rerouted:
    """Make a change under traffic, and see how long the old way was used.

    Args:
        testbed: A relay in `reroutes.NETWORK`.
        reroute: The change.
        version: Of IP.
        agent: Whether the relay's agent runs.
        after: Seconds of packets after the change.

    Raises:
        LabError: The agent does not tell the program of the change.
    """
    at = ADDRESSES[version]
    with testbed.hosts[RELAY].netlink() as netlink, NextHops(Pins(testbed.instance)) as hops:
        relay = Relay(testbed.hosts[RELAY], netlink, at)
        prepare(relay, reroute)
        with _Traffic(testbed, reroute, at) as traffic:
            _run(traffic, BEFORE)
            # Now all leases begin, which is when an old way is used for longest.
            hops.renew()
            before = traffic.settle()
            known = _heard(testbed, reroute) if agent else 0
            started = time.monotonic()
            reroute.change(relay)
            changed = time.monotonic()
            heard = _wait_for_agent(testbed, reroute, known) if agent else math.inf
            _run(traffic, after)
            traffic.stop()
            return _judge(traffic, reroute, before, (started, changed, heard))


def wait_until_unwatched(testbed: RelayTestbed) -> None:
    """Wait until the program takes it that no agent watches."""
    while True:
        lease = _leases(testbed)
        if time.clock_gettime_ns(_COARSE) - lease["watched_ns"] > lease["watch_ns"]:
            return
        time.sleep(0.01)


def _run(traffic: _Traffic, seconds: float) -> None:
    """Let packets be sent for some time, by their own clock."""
    until = time.monotonic() + seconds
    while not traffic.sent or traffic.sent[-1] < until:
        time.sleep(0.001)


def _heard(testbed: RelayTestbed, reroute: Reroute) -> int:
    """How many changes of that kind the agent has heard of."""
    return int(testbed.status()["network_changes"][reroute.kind])


def _wait_for_agent(testbed: RelayTestbed, reroute: Reroute, known: int) -> float:
    """When the agent had told the program, after it had heard of the change.

    It may tell a little later than it hears. So it is given something else to hear of: what it
    tells then is surely later.
    """
    deadline = time.monotonic() + _LIMIT
    while _heard(testbed, reroute) <= known:
        if time.monotonic() > deadline:
            raise LabError(f"The agent has not heard of the change for {_LIMIT:.0f} s.")
    told, setting = _leases(testbed)["told"], f"ipv4/conf/{SPARE}/forwarding"
    host = testbed.hosts[RELAY]
    host.sysctl(setting, 1 - host.sysctl(setting))
    while _leases(testbed)["told"] == told:
        if time.monotonic() > deadline:
            raise LabError(f"The agent has not told of a change for {_LIMIT:.0f} s.")
    return time.monotonic()


def _leases(testbed: RelayTestbed) -> dict[str, int]:
    with PinnedMap(Pins(testbed.instance).map("leases")) as table:
        (row,) = (each["value"] for each in table.show())
    return {name: int(value) for name, value in row.items()}


def _judge(
    traffic: _Traffic, reroute: Reroute, before: int, times: tuple[float, float, float]
) -> Rerouted:
    """What became of the packets, of which the change is later than that many."""
    started, changed, heard = times
    ways: list[Seen] = [traffic.seen.get(number) for number in range(len(traffic.sent))]
    flows = range(reroute.flows)
    former = ways[: reroute.flows]
    movers = reroute.movers or tuple(flow for flow in flows if reroute.old(former[flow]))
    if not movers or not all(reroute.old(former[flow]) for flow in movers):
        raise LabError(f"Flows did not go the old way before the change: {reroute.name}.")
    stale: list[float] = []
    astray = 0
    for number, (sent, way) in enumerate(zip(traffic.sent, ways, strict=True)):
        flow = number % reroute.flows
        if flow not in movers or number < before:
            astray += way != former[flow]
        elif sent > changed and not reroute.new(way):
            stale.append(sent)
    return Rerouted(
        stale=len(stale),
        seconds=max(stale, default=started) - started,
        late=max(stale, default=changed) - changed,
        after_told=sum(sent > heard for sent in stale),
        astray=astray,
    )
