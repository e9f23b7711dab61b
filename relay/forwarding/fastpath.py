"""Forwarding by batches: what has a lane goes on at once, and the rest is handed to the agent.

Datagrams of a flow stay in order: what is handed over has been dealt with before the next ones of
the batch go on.
"""

import errno
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

from relay.forwarding.connected import ManySockets, open_sockets
from relay.forwarding.flowcache import Lane, Lanes
from relay.forwarding.gro import TrainSender
from relay.forwarding.mmsg import Inbox, Outbox, Slots
from relay.forwarding.udp import count_failure
from relay.wire.demux import LAST_OF_STUN

# What is taken with one system call.
BATCH = 64

FromClient = Callable[[bytes, bytes], None]  # a datagram and its source, as the kernel has it
Find = Callable[[bytes], Lane | None]  # a client's lane
FromTransceiver = Callable[[bytes, int], None]  # a datagram and the socket that it came to


class FastPath:
    """Receives, and forwards what belongs to confirmed flows.

    Args:
        lanes: What is at hand of these flows.
        counters: Where datagrams that could not be sent or received are counted.
        open_many: Makes what serves the sockets that are connected to transceivers.
    """

    def __init__(
        self,
        lanes: Lanes,
        counters: Counter[str],
        open_many: Callable[[Slots], ManySockets] = open_sockets,
    ) -> None:
        self.lanes = lanes
        self._counters = counters
        self._slots = Slots(BATCH)
        self._many = open_many(self._slots)
        self._trains = TrainSender()
        self._inboxes: dict[int, Inbox] = {}  # by VIP socket
        self._outboxes: dict[int, Outbox] = {}

    def add_vip(self, fd: int, family: int) -> None:
        """Serve the socket of a VIP of a family, too."""
        self._inboxes[fd] = Inbox(self._slots, family)
        self._outboxes[fd] = Outbox(self._slots, family)

    def close(self) -> None:
        """Let go of what serves many sockets."""
        self._many.close()

    def from_clients(self, vip: int, other: FromClient) -> bool:
        """Take a batch from the socket of a VIP.

        Args:
            vip: The socket.
            other: Given what no lane takes, one datagram after the other.

        Returns:
            Whether there may be more.
        """
        inbox = self._inboxes[vip]
        try:
            count = inbox.receive(vip)
        except OSError as error:
            count_failure(self._counters, error.errno)
            return False
        if not count:
            return False
        find = self.lanes.of_clients(vip).get
        names, sizes = inbox.names(count), inbox.sizes(count)
        lanes, firsts = list(map(find, names)), self._slots.firsts(count)
        trains = inbox.segments(count)
        done = 0
        if trains or not all(lanes) or min(firsts) <= LAST_OF_STUN:
            for slot, first in enumerate(firsts):
                segment = trains[slot] if trains else 0
                if lanes[slot] is not None and first > LAST_OF_STUN and not segment:
                    continue
                self._send_inward(done, lanes[done:slot], sizes[done:slot])
                done = slot + 1
                version = self.lanes.version
                if segment:
                    train = self._slots.views[slot][: sizes[slot]]
                    self._train_inward(train, segment, names[slot], find, other)
                else:
                    other(self._slots.copy(slot, sizes[slot]), names[slot])
                if version != self.lanes.version:
                    lanes[done:] = map(find, names[done:])
        self._send_inward(done, lanes[done:], sizes[done:])
        return count == BATCH

    def from_transceivers(self, fds: Sequence[int], other: FromTransceiver) -> None:
        """Take a datagram from each of some sockets, at most `BATCH`, where there is one.

        Args:
            fds: The sockets.
            other: Given what no lane takes, one datagram after the other.
        """
        find = self.lanes.of_sockets.get
        lanes, sizes = list(map(find, fds)), self._many.receive(fds)
        done = 0
        if not all(lanes) or min(sizes) < 0:
            for slot, size in enumerate(sizes):
                if size < 0:
                    lanes[slot] = None
                    if size != -errno.EAGAIN:
                        count_failure(self._counters, -size)
                elif lanes[slot] is None:
                    self._send_outward(done, lanes[done:slot], sizes[done:slot])
                    done = slot + 1
                    version = self.lanes.version
                    other(self._slots.copy(slot, size), fds[slot])
                    if version != self.lanes.version:
                        lanes[done:] = map(find, fds[done:])
        self._send_outward(done, lanes[done:], sizes[done:])

    def _send_inward(self, first: int, lanes: Sequence[Lane | None], sizes: Sequence[int]) -> None:
        """Send the datagrams of the slots from `first` on to their transceivers."""
        if not lanes:
            return
        known = cast("Sequence[Lane]", lanes)
        for error in self._many.send(first, [lane.upstream for lane in known], sizes):
            count_failure(self._counters, error)
        self.lanes.passed_inward(known, sizes, time.monotonic())

    def _train_inward(
        self, train: memoryview, segment: int, name: bytes, find: Find, other: FromClient
    ) -> None:
        """Send a train to its transceiver: as one, unless part of it needs the table."""
        starts = range(0, len(train), segment)
        parts = [train[start : start + segment] for start in starts]
        lane = find(name)
        if lane is not None and min(train[::segment]) > LAST_OF_STUN:
            self._train(lane, train, segment, parts)
            return
        for part in parts:
            lane = find(name)
            if lane is not None and part[0] > LAST_OF_STUN:
                self._train(lane, part, segment, [part])
            else:
                other(part.tobytes(), name)

    def _train(
        self, lane: Lane, train: memoryview, segment: int, parts: Sequence[memoryview]
    ) -> None:
        for error in self._trains.send(lane.upstream, train, segment):
            count_failure(self._counters, error)
        sizes = [len(part) for part in parts]
        self.lanes.passed_inward([lane] * len(parts), sizes, time.monotonic())

    def _send_outward(self, first: int, lanes: Sequence[Lane | None], sizes: Sequence[int]) -> None:
        """Send the datagrams of the slots from `first` on to their clients, where there is one."""
        slots, known = range(first, first + len(lanes)), cast("Sequence[Lane]", lanes)
        going = [each for each in zip(slots, known, sizes, strict=True) if each[1]]
        for vip in {lane.vip for _, lane, _ in going}:
            mine, to, lengths = zip(*(each for each in going if each[1].vip == vip), strict=True)
            names = [lane.name for lane in to]
            for error in self._outboxes[vip].send(vip, mine, names, lengths):
                count_failure(self._counters, error)
            self.lanes.passed_outward(to, lengths, time.monotonic())
