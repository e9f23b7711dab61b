"""Many transceivers of a fleet in one process: real muxes, each with some clients of its own."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from relay.core.flowtuple import FlowTuple
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, decode, mint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from transceiver.ice import IceAgent
from transceiver.mux import Mux
from transceiver.plan import Credentials
from transceiver.server import bind_media

PORT = 5_000
_PASSWORD = "password-of-24-characters"  # of nobody


def target(number: int) -> Target:
    """A transceiver's, from 0 on."""
    return Target(1, number + 1, 1)


def address(number: int) -> Endpoint:
    """Where it receives: each has an address of its own on the loopback."""
    return Endpoint(f"127.2.{number >> 8}.{number & 255}", PORT)


class _Session:
    """A call whose client is silent until it moves: it notes when its media came again."""

    def __init__(self, agent: IceAgent) -> None:
        self.agent = agent
        self.heard: float | None = None

    def datagram(self, _data: bytes, _source: Endpoint) -> None:
        """See `transceiver.mux.Handler`."""
        self.heard = self.heard or time.monotonic()

    def reachable(self) -> None:
        """See `transceiver.mux.Handler`."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Transceivers, and clients that had their flows at a relay that is no more.

    Attributes:
        keys: The cluster's.
        count: How many transceivers there are.
        clients: The clients' addresses; they have calls with the transceivers in turn.
        vip: Where they send to.
        now: When their calls began, Unix seconds.
    """

    keys: KeyRing
    count: int
    clients: Sequence[Endpoint]
    vip: Endpoint
    now: float

    def flows(self) -> list[FlowTuple]:
        """The flow that each client had."""
        return [self._flow(*each) for each in enumerate(self.clients)]

    def _flow(self, number: int, client: Endpoint) -> FlowTuple:
        there, nonce = number % self.count, number.to_bytes(4, "big")
        route = mint(target(there), self.keys, now=self.now, lifetime=3600.0, nonce=nonce)
        upstream = Endpoint(f"127.3.0.{1 + number // 10_000}", 10_000 + number % 10_000)
        return FlowTuple(client, self.vip, upstream, address(there), route.raw)


def serve(pipe: Connection, fleet: Fleet) -> None:
    """Be the transceivers of a fleet, until the pipe says so.

    Args:
        pipe: Is sent nothing when all serve; then, whenever it says true, when each client's media
            came (monotonic seconds, or None), and this process's time on a processor.
        fleet: Of whom.
    """
    asyncio.run(_serve(pipe, fleet))


async def _serve(pipe: Connection, fleet: Fleet) -> None:
    muxes = []
    for number in range(fleet.count):
        sock = bind_media(address(number))
        sock.setblocking(False)
        muxes.append(Mux(sock, fleet.keys, target(number)))
        muxes[-1].open()
    sessions = [
        _connect(muxes[number % fleet.count], flow, fleet.keys)
        for number, flow in enumerate(fleet.flows())
    ]
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), asked.set)
    began = time.process_time()
    pipe.send(None)
    while True:
        await asked.wait()
        if not pipe.recv():
            return
        asked.clear()
        pipe.send(([each.heard for each in sessions], time.process_time() - began))


def _connect(mux: Mux, flow: FlowTuple, keys: KeyRing) -> _Session:
    """A session whose client has a path behind a relay, as after its first check."""
    said = Announcement(flow.client, flow.vip, flow.upstream, flow.route, time.time())
    ufrag = decode(flow.route).ufrag
    session = _Session(IceAgent(Credentials(ufrag, _PASSWORD)))
    mux.bind(ufrag, session)
    mux.receive(said.serialize(keys), flow.upstream)
    request = Message(
        MessageClass.REQUEST,
        BINDING,
        flow.route[-12:],
        (
            (Attribute.USERNAME, f"{ufrag}:client".encode()),
            (Attribute.PRIORITY, bytes(4)),
            (Attribute.ICE_CONTROLLING, bytes(8)),
            (Attribute.USE_CANDIDATE, b""),
        ),
    )
    mux.receive(request.serialize(_PASSWORD.encode()), flow.upstream)
    return session
