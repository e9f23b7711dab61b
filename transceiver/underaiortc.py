"""What aiortc's association stands on here: transport, timers, and who runs its coroutines."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc import RTCSctpTransport

from transceiver.plan import DtlsRole


class Below:
    """Stands for aiortc's RTCDtlsTransport.

    Args:
        role: Ours in the DTLS handshake.
        send: Sends a packet.
    """

    def __init__(self, role: DtlsRole, send: Callable[[bytes], None]) -> None:
        self.state = "connected"
        self._role = "client" if role is DtlsRole.CLIENT else "server"
        self._send = send

    async def _send_data(self, data: bytes) -> None:
        self._send(data)

    def _register_data_receiver(self, _: RTCSctpTransport) -> None:
        pass

    def _unregister_data_receiver(self, _: RTCSctpTransport) -> None:
        pass


class Timers:
    """Stands for an event loop where timers are set: what they raise is told."""

    def __init__(self, broke: Callable[[Exception], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._broke = broke

    def call_later(
        self, delay: float, callback: Callable[..., None], *args: Any
    ) -> asyncio.TimerHandle:
        """See `asyncio.loop.call_later`."""

        def run() -> None:
            try:
                callback(*args)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is of this association
                self._broke(error)

        return self._loop.call_later(delay, run)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing to its end."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits for something")
