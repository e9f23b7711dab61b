"""Asks transceivers whose a client is, where no mirror can tell it: see `relay.wire.question`."""

import asyncio
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from relay.config.directory import Directory
from relay.config.registry import Transceiver
from relay.core.flowtuple import FlowTuple, Source
from relay.core.throttle import TokenBucket
from relay.forwarding.mmsg import BatchSender, PacketBuffers, to_sockaddr
from relay.forwarding.udp import bind_udp, count_failure
from relay.mirror.asked import MOST, Asked
from relay.wire.endpoint import Endpoint
from relay.wire.errors import QuestionError
from relay.wire.keys import KeyRing
from relay.wire.question import ANSWER_SIZE, NONCE_SIZE, Answer, Question

# Datagrams a second. With 200 transceivers that is a hundred clients a second, and a tenth of a
# processor's time; who comes later is asked for with its next packet, or sends a check.
RATE = 20_000
ANSWER_WITHIN = 2.0  # seconds for which an answer is waited for
# Nobody answers but whoever has the client, so no answer may also be a datagram that was lost.
AGAIN_AFTER = (0.25, 1.0)
_AT_ONCE = 64  # datagrams of a system call, and answers that are read before others have their turn

Found = Callable[[FlowTuple, int, Sequence[bytes]], None]  # the flow, its epoch, what waited for it


class Asker:
    """Asks all transceivers of the clusters whose a client is.

    Each client is asked for once in a while (see `Asked`), with one datagram to each transceiver,
    and again when there is no answer.
    Questions leave from ports of their own, for whose answers the kernel's program has no limit.

    Args:
        keys: The clusters' keys.
        directory: The transceivers.
        hosts: The addresses to ask from, by address family; one of each is used.
        counters: Where what happens is counted.
        randbytes: Gives random bytes.
        found: Told of a flow that a transceiver has.
    """

    def __init__(
        self,
        keys: KeyRing,
        directory: Directory,
        hosts: Mapping[int, Sequence[str]],
        counters: Counter[str],
        *,
        randbytes: Callable[[int], bytes],
        found: Found,
    ) -> None:
        self._keys = keys
        self._directory = directory
        self._hosts = hosts
        self._counters = counters
        self._randbytes = randbytes
        self._found = found
        self._asked = Asked(AGAIN_AFTER)
        self._bucket = TokenBucket(RATE, RATE)
        self._waiting: OrderedDict[bytes, tuple[float, Source]] = OrderedDict()  # by nonce
        self._known: Sequence[Transceiver] = ()
        self._groups: dict[tuple[int, int], list[Endpoint]] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._buffers = PacketBuffers(_AT_ONCE)
        self._senders: dict[int, BatchSender] = {}
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Bind the sockets.

        Raises:
            BindError: An address cannot be had.
        """
        for family, (host, *_) in self._hosts.items():
            self._sockets[family] = udp = bind_udp(Endpoint(host, 0))
            self._senders[family] = BatchSender(self._buffers, family)
            self._loop.add_reader(udp, self._read, udp)

    def close(self) -> None:
        """Close them."""
        for udp in self._sockets.values():
            self._loop.remove_reader(udp)
            udp.close()
        self._sockets.clear()

    def ask(self, source: Source, data: bytes) -> None:
        """Ask for the flow of a client that is not known, from which a datagram came."""
        now = time.monotonic()
        groups = self._grouped()
        if not groups or not self._asked.ask(source, data, now):  # an edge has nobody to ask
            return
        if not self._bucket.take(now, len(self._known)):
            self._counters["question_limited"] += 1
            self._asked.forget(source)
            return
        nonce = self._randbytes(NONCE_SIZE)
        self._waiting[nonce] = now + ANSWER_WITHIN, source
        while len(self._waiting) > MOST or next(iter(self._waiting.values()))[0] <= now:
            self._waiting.popitem(last=False)
        self._counters["question"] += 1
        for (cluster, family), transceivers in groups.items():
            asker = Endpoint.of(self._sockets[family].getsockname())
            question = Question(nonce, cluster, source.client, source.vip, asker)
            self._send(question.serialize(self._keys), family, transceivers)

    def _grouped(self) -> Mapping[tuple[int, int], Sequence[Endpoint]]:
        """Where the transceivers are, by cluster and address family."""
        known = self._directory.transceivers
        if known is not self._known:
            self._known, self._groups = known, {}
            for each in known:
                cluster = each.target.cluster
                # Of a cluster that the registry file has got since the start there may be no keys.
                if each.address.family in self._sockets and cluster in self._directory.clusters:
                    key = cluster, int(each.address.family)
                    self._groups.setdefault(key, []).append(each.address)
        return self._groups

    def _send(self, data: bytes, family: int, destinations: Sequence[Endpoint]) -> None:
        """Send one datagram to many, out of one place in memory."""
        self._buffers.views[0][: len(data)] = data
        fd = self._sockets[family].fileno()
        for first in range(0, len(destinations), _AT_ONCE):
            places = [_sockaddr(each) for each in destinations[first : first + _AT_ONCE]]
            slots, sizes = [0] * len(places), [len(data)] * len(places)
            for number in self._senders[family].send(fd, slots, places, sizes, bytes(len(places))):
                count_failure(self._counters, number)

    def _read(self, udp: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, sender = udp.recvfrom(ANSWER_SIZE + 1)
            except BlockingIOError:
                return
            except OSError as error:
                count_failure(self._counters, error.errno)
                return
            self._take(data, sender)

    def _take(self, data: bytes, sender: tuple[str, int]) -> None:
        try:
            answer = Answer.parse(data, self._keys)
        except QuestionError:
            self._counters["answer_forged"] += 1
            return
        told = self._transceiver_at(answer, sender)
        _, source = self._waiting.pop(answer.nonce, (0.0, None)) if told else (0.0, None)
        if told is None or source is None:
            self._counters["answer_to_nothing"] += 1
            return
        self._counters["answer"] += 1
        flow = FlowTuple(source.client, source.vip, answer.upstream, told.address, answer.route)
        self._found(flow, answer.epoch, self._asked.answer(source))

    def _transceiver_at(self, answer: Answer, sender: tuple[str, int]) -> Transceiver | None:
        """Who answers, if that is whom the route leads to."""
        told = self._directory.find(answer.target)
        return told if told is not None and told.address == Endpoint.of(sender) else None


@lru_cache(1024)
def _sockaddr(destination: Endpoint) -> bytes:
    return to_sockaddr(destination.packed)
