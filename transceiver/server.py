"""The transceiver: media socket, sessions and control API, started and stopped together."""

import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from relay.listen import bind_error, serve_http
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from transceiver import DEFAULT_CAPACITY
from transceiver.backend import BackendFactory, EchoBackend
from transceiver.control import ControlApi
from transceiver.mux import Mux
from transceiver.session import Sessions


@dataclass(frozen=True, slots=True)
class TransceiverConfig:
    """The settings of a transceiver.

    Attributes:
        listen: The UDP address of media, as relays reach it; port 0 takes any.
        control: The TCP address of the control API; port 0 takes any.
        target: Its cluster, slot and generation.
        keys: Sign its routes and verify announcements.
        capacity: The most sessions at a time.
        backend: Creates the backend of a session.
    """

    listen: Endpoint
    control: Endpoint
    target: Target
    keys: KeyRing
    capacity: int = DEFAULT_CAPACITY
    backend: BackendFactory = EchoBackend


class Transceiver:
    """A transceiver that serves while the context is entered.

    Args:
        config: What to serve.
        sock: A UDP socket that is already bound, instead of `config.listen`; it becomes ours.

    Attributes:
        address: Where media is served, once entered.
        control: Where the control API is served, once entered.

    Raises:
        BindError: On entering, when an address cannot be listened on.
    """

    def __init__(self, config: TransceiverConfig, sock: socket.socket | None = None) -> None:
        self.config = config
        self._given = sock
        self._stack = AsyncExitStack()
        self.address = config.listen
        self.control = config.control
        self.sessions: Sessions
        self.mux: Mux

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            sock = stack.enter_context(self._given or _bind(self.config.listen))
            sock.setblocking(False)
            self.address = Endpoint.of(sock.getsockname())
            self.mux = Mux(sock, self.config.keys, self.config.target)
            self.mux.open()
            stack.callback(self.mux.close)
            self.sessions = Sessions(
                self.mux,
                self.config.keys,
                self.config.target,
                capacity=self.config.capacity,
                backend=self.config.backend,
            )
            stack.push_async_callback(self.sessions.close)
            api = ControlApi(self.sessions, self.mux).application()
            self.control = await stack.enter_async_context(
                serve_http(api, self.config.control, "the control API")
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def _bind(listen: Endpoint) -> socket.socket:
    sock = socket.socket(listen.family, socket.SOCK_DGRAM)
    try:
        sock.bind(listen)
    except OSError as error:
        sock.close()
        raise bind_error(listen, "media", error) from None
    return sock
