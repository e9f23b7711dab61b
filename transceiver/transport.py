"""The ICE side of a peer connection, as aiortc wants to see it, over the shared socket.

aiortc's DTLS transport reads datagrams with `_recv`, writes them with `_send` and asks for `role`;
its peer connection gathers candidates, starts and stops. Here gathering is knowing the addresses
that the relay advertises, and starting is waiting for the client's first check.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace

from aiortc import RTCIceCandidate, RTCIceParameters
from pyee.asyncio import AsyncIOEventEmitter

from relay.wire.demux import Kind, classify
from relay.wire.transport import Candidate, Transport
from transceiver.ice import RESTART_GRACE, Credentials, IceAgent
from transceiver.mux import Mux

QUEUE_SIZE = 512  # datagrams waiting for DTLS; 10 s of a voice stream, so only a stall fills it
# Some clients drop a ClientHello that comes before they have nominated a path, and OpenSSL would
# repeat it only after 1 s. Whoever has it already ignores a repeated record (RFC 6347, 4.1.2.6).
FIRST_FLIGHT_REPEATS = (0.05, 0.1, 0.2, 0.4)  # seconds between, until the client answers
# What a priority is made of: type preferences (RFC 8445, section 5.1.2.1), and of TCP a direction
# preference beside the other one (RFC 6544, section 4.2), which puts it below UDP.
_HOST_PREFERENCE = 126
_PASSIVE_PREFERENCE = 4
_HIGHEST_OF_UDP, _HIGHEST_OF_TCP = (1 << 16) - 1, (1 << 13) - 1

CredentialSource = Callable[[], Credentials]


class LiteGatherer(AsyncIOEventEmitter):
    """Stands for aiortc's RTCIceGatherer.

    Args:
        candidates: The candidates of the answer, the preferred one first.
        credentials: What the answer says.
    """

    def __init__(self, candidates: Sequence[Candidate], credentials: Credentials) -> None:
        super().__init__()
        self.state = "new"
        self.credentials = credentials
        self._candidates = candidates

    async def gather(self) -> None:
        """Nothing is gathered; aiortc connects only after this."""
        if self.state == "new":
            self.state = "completed"
            self.emit("statechange")

    def getLocalCandidates(self) -> list[RTCIceCandidate]:  # noqa: N802  # aiortc calls it so
        """The host candidates; none before `gather`."""
        if self.state == "new":
            return []
        return [_host_candidate(index, each) for index, each in enumerate(self._candidates)]

    def getLocalParameters(self) -> RTCIceParameters:  # noqa: N802  # aiortc calls it so
        """The credentials, and that we are a lite agent."""
        return RTCIceParameters(
            usernameFragment=self.credentials.ufrag,
            password=self.credentials.password,
            iceLite=True,
        )


def _host_candidate(index: int, candidate: Candidate) -> RTCIceCandidate:
    is_tcp = candidate.transport is Transport.TCP
    preference = (
        (_PASSIVE_PREFERENCE << 13) + _HIGHEST_OF_TCP - index if is_tcp else _HIGHEST_OF_UDP - index
    )
    return RTCIceCandidate(
        component=1,
        foundation=str(index),
        ip=candidate.address.host,
        port=candidate.address.port,
        priority=(_HOST_PREFERENCE << 24) + (preference << 8) + 255,
        protocol=candidate.transport.value,
        tcpType="passive" if is_tcp else None,
        type="host",
    )


class LiteTransport(AsyncIOEventEmitter):
    """Stands for aiortc's RTCIceTransport; a handler of the mux.

    Args:
        mux: The shared socket.
        candidates: The candidates of the answer.
        credentials: Makes a new ufrag and password on each call.
    """

    role = "controlled"  # a lite agent is never the controlling one

    def __init__(
        self, mux: Mux, candidates: Sequence[Candidate], credentials: CredentialSource
    ) -> None:
        super().__init__()
        self._mux = mux
        self._make_credentials = credentials
        self.iceGatherer = LiteGatherer(candidates, self._bind_new())
        self.agent = IceAgent(self.iceGatherer.credentials)
        self.state = "new"
        self._role_set = True  # keeps aiortc from choosing one
        self._connection = SimpleNamespace(ice_controlling=False)
        self._reachable = asyncio.Event()  # a path was selected, or there will be none
        self._begun = False  # something has been sent, and the first thing is DTLS
        self._answered = False  # DTLS has been received
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_SIZE)

    def restart(self) -> None:
        """Take new credentials; the old ones stay valid for a while."""
        old = self.agent.credentials
        self.iceGatherer.credentials = self._bind_new()
        self.agent.restart(self.iceGatherer.credentials, self._mux.clock())
        asyncio.get_running_loop().call_later(RESTART_GRACE, self._mux.unbind, old.ufrag, self)

    def datagram(self, data: bytes) -> None:
        """Queue DTLS or media for the DTLS transport; drop it when that is far behind."""
        self._answered = self._answered or classify(data) is Kind.DTLS
        try:
            self._inbox.put_nowait(data)
        except asyncio.QueueFull:
            self._mux.counters.refuse("session_behind")

    def reachable(self) -> None:
        """The first path lets DTLS start."""
        if self.state in ("new", "checking"):
            self._reachable.set()
            self._set_state("completed")

    async def start(self, remote: RTCIceParameters) -> None:  # noqa: ARG002  # lite: never checks
        """Return when the client can be reached, or the transport was stopped."""
        if self.state == "new":
            self._set_state("checking")
        await self._reachable.wait()

    async def stop(self) -> None:
        """End for ever."""
        if self.state == "closed":
            return
        self._mux.release(self)
        self._set_state("closed")
        self._reachable.set()
        if self._inbox.full():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)
        self.iceGatherer.remove_all_listeners()
        self.remove_all_listeners()

    async def addRemoteCandidate(self, candidate: RTCIceCandidate | None) -> None:  # noqa: N802
        """A lite agent has no use for the client's candidates."""

    async def _recv(self) -> bytes:
        data = await self._inbox.get()
        if data is None:
            raise ConnectionError("the transport is closed")
        return data

    async def _send(self, data: bytes) -> None:
        if self.state == "closed":
            raise ConnectionError("the transport is closed")
        if not self._begun:
            self._begun = True
            self._repeat_later(data, FIRST_FLIGHT_REPEATS)
        self._transmit(data)

    def _transmit(self, data: bytes) -> None:
        destination = self.agent.destination(self._mux.clock())
        if destination is None:
            self._mux.counters.count("no_consent")
        else:
            self._mux.send(data, destination)

    def _repeat_later(self, data: bytes, delays: tuple[float, ...]) -> None:
        def repeat() -> None:
            if not self._answered and self.state != "closed":
                self._transmit(data)
                self._repeat_later(data, delays[1:])

        if delays:
            asyncio.get_running_loop().call_later(delays[0], repeat)

    def _bind_new(self) -> Credentials:
        while True:  # a ufrag has 32 random bits: two sessions may draw the same
            credentials = self._make_credentials()
            if self._mux.bind(credentials.ufrag, self):
                return credentials

    def _set_state(self, state: str) -> None:
        self.state = state
        self.emit("statechange")
