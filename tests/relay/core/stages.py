"""Two stages: an edge, and the relay of the cluster that it forwards to."""

from relay.config.registry import Registry, RemoteCluster, Transceiver
from relay.core.admission import Admission
from relay.core.flow import Announce, Command, Flow, SendToClient, SendToTransceiver
from relay.core.flowtuple import Source
from relay.core.limits import Limits
from relay.wire.announcement import Announcement, is_announcement
from relay.wire.edgekeys import EdgeKeys
from relay.wire.endpoint import Endpoint
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role
from relay.wire.route import Target
from tests.relay.conftest import ALICE, VIP, Scene

FAR = Target(2, 1, 1)
FAR_VIP = Endpoint("198.51.100.10", 3478)
MEDIA = Endpoint("192.0.2.9", 5000)
CLUSTER_KEYS = KeyRing({0: bytes(range(32))}, 0)
EDGE_RING = KeyRing({0: bytes(32)}, 0)


class Stages:
    """An edge, the cluster's relay, and what reaches both ends.

    Args:
        edge_keys: What the edge has been given.
        limits: The edge's.
        admission: The gates of the cluster's relay.
    """

    def __init__(
        self,
        edge_keys: EdgeKeys | None = None,
        *,
        limits: Limits | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.given = edge_keys or EdgeKeys([CLUSTER_KEYS.exported(FAR.cluster, Role.EDGE)])
        self.cluster = Scene(
            keys=CLUSTER_KEYS,
            registry=Registry((Transceiver(FAR, MEDIA),)),
            vip=FAR_VIP,
            admission=admission,
        )
        self.edge = self.new_edge("198.51.100.1", limits)

    def new_edge(self, upstream: str, limits: Limits | None = None) -> Scene:
        """An edge whose upstream address this is."""
        remote = (RemoteCluster(FAR.cluster, (FAR_VIP,)),)
        return Scene(
            keys=EDGE_RING,
            registry=Registry((), remote=remote),
            upstream=upstream,
            edge_keys=self.given,
            limits=limits,
        )

    def request(self, nonce: bytes = b"abcd") -> bytes:
        """A check of a client who calls the cluster."""
        return self.cluster.request(self.cluster.ufrag(FAR, nonce=nonce))

    def from_client(
        self, data: bytes, client: Endpoint = ALICE, edge: Scene | None = None
    ) -> list[bytes]:
        """What reaches the transceiver when a client sends this."""
        edge = edge or self.edge
        return self.through_edge(edge, edge.table.from_client(data, Source(client, VIP), edge.now))

    def through_edge(self, edge: Scene, commands: list[Command]) -> list[bytes]:
        """What reaches the transceiver when an edge does this."""
        edge.done(commands)
        arrived: list[bytes] = []
        for data, flow in sent(edge, commands):
            source = Source(flow.addresses.upstream, flow.addresses.transceiver)
            done = self.cluster.table.from_client(data, source, self.cluster.now)
            self.cluster.done(done)
            arrived += [each for each, _ in sent(self.cluster, done)]
        return arrived

    def from_transceiver(self, data: bytes, edge: Scene | None = None) -> list[bytes]:
        """What reaches the client when the transceiver answers on the newest flow."""
        edge, flow = edge or self.edge, list(self.cluster.table)[-1]
        done = self.cluster.table.from_transceiver(data, flow, self.cluster.now)
        self.cluster.done(done)
        return self.to_edge(done, edge)

    def to_edge(self, commands: list[Command], edge: Scene | None = None) -> list[bytes]:
        """What reaches the client when the cluster's relay does this."""
        edge = edge or self.edge
        arrived: list[bytes] = []
        for command in commands:
            if isinstance(command, SendToClient):
                there = command.flow.addresses.client
                (flow,) = (each for each in edge.table if each.addresses.upstream == there)
                back = edge.table.from_transceiver(command.data, flow, edge.now)
                edge.done(back)
                arrived += [each.data for each in back if isinstance(each, SendToClient)]
        return arrived

    def connect(self, edge: Scene | None = None) -> list[bytes]:
        """A check and its success; what the transceiver got."""
        request = self.request()
        got = self.from_client(request, edge=edge)
        self.from_transceiver(self.cluster.answer(request), edge)
        return got

    def goodbye(self, client: Endpoint = ALICE) -> bytes:
        """What the transceiver says when the call ends."""
        flow = list(self.cluster.table)[-1]
        said = Goodbye(flow.addresses.route, client, flow.addresses.upstream)
        return said.serialize(CLUSTER_KEYS)


def sent(scene: Scene, commands: list[Command]) -> list[tuple[bytes, Flow]]:
    """The datagrams that go upstream."""
    found: list[tuple[bytes, Flow]] = []
    for command in commands:
        if isinstance(command, SendToTransceiver):
            found.append((command.data, command.flow))
        elif isinstance(command, Announce):
            told = scene.table.announcement(command)
            found += [] if told is None else [(told, command.flow)]
    return found


def announced(datagrams: list[bytes]) -> list[Announcement]:
    """What the transceiver was told of clients."""
    return [Announcement.parse(each, CLUSTER_KEYS) for each in datagrams if is_announcement(each)]
