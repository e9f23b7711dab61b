"""Who clients of edges are: to a cluster's relay, each comes from an upstream address of an edge.

An edge announces its clients as a relay does to a transceiver. What is announced is remembered
until the flow begins, and belongs to the flow from then on. Nothing is compared with this host's
time: what is news is a matter of the order among what is said of one upstream address.
"""

from collections import OrderedDict

from relay.core.flow import Flow, Instant
from relay.core.flowtuple import Source
from relay.wire.announcement import Announcement
from relay.wire.edgekeys import ClusterSide
from relay.wire.endpoint import Endpoint
from relay.wire.errors import AnnouncementError
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.route import decode

LIFETIME = 30.0  # seconds from an announcement to the flow's first check
MOST = 8_192  # that wait for a flow; a client without one is taken for the edge's address
NOTED_FOR = 30.0  # seconds until the dataplane, which may be another by then, is told of it again
MOST_EDGES = 1_024  # addresses; as many as the program has room for


class Introductions:
    """What edges have said of clients.

    Args:
        keys: The cluster's.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._signers = ClusterSide(keys)
        # By `Source`, with when they came, monotonic seconds.
        self._waiting: OrderedDict[bytes, tuple[Announcement, float]] = OrderedDict()
        self._flows: dict[bytes, Flow] = {}  # confirmed ones, by the call of their client
        self._noted: OrderedDict[str, float] = OrderedDict()  # when, by an edge's address

    def hear(
        self, data: bytes, source: Source, latest: Announcement | None, now: Instant
    ) -> Announcement | str:
        """Take an announcement of an edge; a text says why it is refused, as it is counted.

        Args:
            data: The datagram.
            source: Where it came from.
            latest: What was said of the client of the flow from there.
            now: The time.
        """
        try:
            said = Announcement.parse(data, self._keys, self._signers)
        except AnnouncementError:
            return "introduction_forged"
        # Overheard and sent again from elsewhere, it would make that address the client's.
        if said.upstream.packed != source.packed_client:
            return "introduction_of_another"
        waiting, _ = self._waiting.get(source, (None, 0.0))
        if not all(_is_news(said, known) for known in (waiting, latest) if known is not None):
            return "introduction_old"
        self._waiting[source] = said, now.monotonic
        self._waiting.move_to_end(source)
        self._forget(now)
        return said

    def is_noted(self, edge: Endpoint, now: Instant) -> bool:
        """Whether the dataplane has been told lately that an edge is at an address; it is now."""
        at = self._noted.get(edge.host)
        if at is not None and now.monotonic - at < NOTED_FOR:
            return True
        self._noted[edge.host] = now.monotonic
        self._noted.move_to_end(edge.host)
        if len(self._noted) > MOST_EDGES:
            self._noted.popitem(last=False)
        return False

    def of(self, source: bytes, route: bytes, now: Instant) -> Announcement | None:
        """What was said of a new flow's client, by its `Source` and for this very route."""
        said, at = self._waiting.get(source, (None, 0.0))
        if said is None or said.route != route or now.monotonic - at > LIFETIME:
            return None
        return said

    def confirmed(self, flow: Flow) -> None:
        """A flow is confirmed from now on."""
        if flow.introduced is not None:
            self._flows[_call_of(flow.introduced)] = flow

    def note(self, flow: Flow, said: Announcement) -> None:
        """An agent before this one was told this of a confirmed flow."""
        self.gone(flow)
        flow.introduced = said
        self.confirmed(flow)

    def gone(self, flow: Flow) -> None:
        """A flow is no more."""
        if flow.introduced is None:
            return
        call = _call_of(flow.introduced)
        if self._flows.get(call) is flow:
            del self._flows[call]

    def moved(self, said: Announcement) -> Flow | None:
        """The flow that a client had through another edge, or another port, before this one.

        Only a higher epoch moves it: two edges that both believe to have a client do not fight.
        """
        flow = self._flows.get(_call_of(said))
        if flow is None or flow.introduced is None:
            return None
        return flow if flow.introduced.epoch < said.epoch else None

    def goodbye(self, flow: Flow, client: Endpoint) -> bytes:
        """What tells the edge of a flow that the call of this client has ended."""
        route = decode(flow.addresses.route)
        said = Goodbye(route.raw, client, flow.addresses.client)
        # An edge has the key that the route names, unless that one has left meanwhile.
        slot = route.key_slot if route.key_slot in self._keys.slots else self._keys.signing_slot
        return said.signed(self._signers, slot)

    def _forget(self, now: Instant) -> None:
        while self._waiting:
            _, at = next(iter(self._waiting.values()))
            if now.monotonic - at <= LIFETIME and len(self._waiting) <= MOST:
                break
            self._waiting.popitem(last=False)


def _is_news(said: Announcement, known: Announcement) -> bool:
    """Whether an announcement came after what is known of its source.

    An edge that was started again on a machine whose clock was set back says an earlier time.
    """
    later = said.epoch > known.epoch and _call_of(said) == _call_of(known)
    return later or said.time > known.time


def _call_of(said: Announcement) -> bytes:
    """Which client it is, and on which call: the same at whatever edge of a VIP it arrives."""
    return said.client.packed + said.vip.packed + said.transport.encode() + said.route
