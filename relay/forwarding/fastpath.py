"""Forwarding by batches: what the flow cache knows goes on at once, the rest takes the slow path.

The slow path is the session table's. Datagrams of a flow stay in order: what takes the slow path
has been dealt with before the next ones of the batch go on.
"""

import errno
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

from relay.forwarding.batchio import BatchIO, open_batch_io
from relay.forwarding.flowcache import CachedFlow, FlowCache
from relay.forwarding.mmsg import BatchReceiver, BatchSender, PacketBuffers
from relay.forwarding.outbox import Outbox
from relay.forwarding.udp import count_failure
from relay.wire.demux import CONTROL, MEDIA

# What is taken with one system call.
BATCH = 128

# A datagram, its source as the kernel has it, and its DSCP and ECN.
FromClient = Callable[[bytes, bytes, int], None]
# A datagram, the socket that it came to, and its DSCP and ECN.
FromTransceiver = Callable[[bytes, int, int], None]


class FastPath:
    """Receives, and forwards what belongs to confirmed flows.

    Args:
        cache: These flows.
        counters: Where datagrams that could not be sent or received are counted.
        open_io: Makes what serves the sockets that are connected to transceivers.

    Attributes:
        counters: See above.
        outbox: What the slow path sends goes through it: so it leaves before what comes later.
    """

    def __init__(
        self,
        cache: FlowCache,
        counters: Counter[str],
        open_io: Callable[[PacketBuffers], BatchIO] = open_batch_io,
    ) -> None:
        self.cache = cache
        self.counters = counters
        self._buffers = PacketBuffers(BATCH)
        self._io = open_io(self._buffers)
        self.outbox = Outbox(counters, open_io)
        self._receivers: dict[int, BatchReceiver] = {}  # by VIP socket
        self._senders: dict[int, BatchSender] = {}

    def add_vip(self, fd: int, family: int) -> None:
        """Serve the socket of a VIP of a family, too."""
        self._receivers[fd] = BatchReceiver(self._buffers, family)
        self._senders[fd] = BatchSender(self._buffers, family)

    def close(self) -> None:
        """Close what serves the upstream sockets; the VIPs' are their owner's."""
        self._io.close()
        self.outbox.close()

    def from_clients(self, vip_fd: int, slow_path: FromClient) -> bool:
        """Take a batch from the socket of a VIP.

        Args:
            vip_fd: The socket.
            slow_path: Given what is of no cached flow, one datagram after the other, and what is
                neither DTLS nor RTP.

        Returns:
            Whether there may be more.
        """
        receiver = self._receivers[vip_fd]
        try:
            count = receiver.receive(vip_fd)
        except OSError as error:
            count_failure(self.counters, error.errno)
            return False
        if not count:
            return False
        find = self.cache.by_client(vip_fd).get
        sources, sizes = receiver.sources(count), receiver.sizes(count)
        flows, first_bytes = list(map(find, sources)), self._buffers.first_bytes(count)
        tos = receiver.tos(count)
        done, version = 0, self.cache.version
        if not all(flows) or not _is_media(first_bytes):
            for slot, first_byte in enumerate(first_bytes):
                if version != self.cache.version:  # the slow path has changed it
                    flows[slot] = find(sources[slot])
                if flows[slot] is not None and first_byte in MEDIA:
                    continue
                if slot > done:
                    self._send_to_transceivers(
                        done, flows[done:slot], sizes[done:slot], tos[done:slot]
                    )
                done = slot + 1
                slow_path(self._buffers.copy(slot, sizes[slot]), sources[slot], tos[slot])
        self._send_to_transceivers(done, flows[done:], sizes[done:], tos[done:])
        return count == BATCH

    def from_transceivers(self, fds: Sequence[int], slow_path: FromTransceiver) -> None:
        """Take a datagram from each of some sockets, at most `BATCH`, where there is one.

        Args:
            fds: The sockets.
            slow_path: Given what is of no cached flow, one datagram after the other, and what no
                protocol begins with.
        """
        find = self.cache.by_upstream.get
        flows, sizes = list(map(find, fds)), self._io.receive(fds)
        first_bytes, tos = self._buffers.first_bytes(len(fds)), self._io.tos(len(fds))
        done, version = 0, self.cache.version
        if not all(flows) or min(sizes) < 0 or _has_control(first_bytes):
            for slot, size in enumerate(sizes):
                if version != self.cache.version:  # the slow path has changed it
                    flows[slot] = find(fds[slot])
                if size < 0:
                    flows[slot] = None
                    if size != -errno.EAGAIN:
                        count_failure(self.counters, -size)
                elif flows[slot] is None or (size and first_bytes[slot] in CONTROL):
                    if slot > done:
                        self._send_to_clients(
                            done, flows[done:slot], sizes[done:slot], tos[done:slot]
                        )
                    done = slot + 1
                    slow_path(self._buffers.copy(slot, size), fds[slot], tos[slot])
        self._send_to_clients(done, flows[done:], sizes[done:], tos[done:])

    def _send_to_transceivers(
        self, first: int, flows: Sequence[CachedFlow | None], sizes: Sequence[int], tos: bytes
    ) -> None:
        """Send the datagrams of the slots from `first` on to their transceivers."""
        if not flows:
            return
        self.outbox.flush()
        known = cast("Sequence[CachedFlow]", flows)
        for error in self._io.send(first, [cached.upstream_fd for cached in known], sizes, tos):
            count_failure(self.counters, error)
        self.cache.count_to_transceiver(known, sizes, time.monotonic())

    def _send_to_clients(
        self, first: int, flows: Sequence[CachedFlow | None], sizes: Sequence[int], tos: bytes
    ) -> None:
        """Send the datagrams of the slots from `first` on to their clients, where there is one."""
        slots, known = range(first, first + len(flows)), cast("Sequence[CachedFlow]", flows)
        going = [each for each in zip(slots, known, sizes, tos, strict=True) if each[1]]
        if going:
            self.outbox.flush()
        vip_fds = {cached.vip_fd for _, cached, _, _ in going}
        for vip_fd in vip_fds:
            mine = going
            if len(vip_fds) > 1:
                mine = [each for each in going if each[1].vip_fd == vip_fd]
            places, to, lengths, classes = zip(*mine, strict=True)
            clients, sender = [cached.client for cached in to], self._senders[vip_fd]
            for error in sender.send(vip_fd, places, clients, lengths, bytes(classes)):
                count_failure(self.counters, error)
            self.cache.count_to_client(to, lengths, time.monotonic())


def _is_media(first_bytes: bytes) -> bool:
    """Whether all of them begin DTLS or RTP."""
    return not first_bytes.translate(None, MEDIA)


def _has_control(first_bytes: bytes) -> bool:
    """Whether one of them begins what no protocol of RFC 7983 does."""
    return len(first_bytes.translate(None, CONTROL)) < len(first_bytes)
