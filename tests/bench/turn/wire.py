"""When packets of sound pass a client's interface."""

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.bench.errors import BenchError
from tests.lab.capture import FrameCapture
from tests.lab.config import VIP
from tests.lab.frame import parse
from transceiver.media import rtp

_SILENCE = 127  # dB below full scale


class SoundWire(FrameCapture):
    """Watches an interface of a client that calls alone, while entered.

    Args:
        host: The client's.
        interface: Its interface.
        server: Where the client sends to.
        level: The number of the header extension that tells how loud a packet is (RFC 6464), which
            SRTP leaves readable.

    Attributes:
        came: When packets of RTP came to the client that are not silent, in seconds since 1970.
        went: When those that it sent left, by sequence number; the last of a number counts.
    """

    def __init__(
        self, host: Host, interface: str, server: Endpoint = VIP, *, level: int = 1
    ) -> None:
        self.came: list[float] = []
        self.went: dict[int, float] = {}
        self._server = server
        self._level = level
        super().__init__(host, interface, self._keep)

    def first_after(self, moment: float) -> float | None:
        """When the first packet came at or after a moment; None before it does."""
        return next((at for at in self.came if at >= moment), None)

    def _keep(self, frame: bytes, at: float, _outgoing: bool) -> None:
        datagram = parse(frame)
        if datagram is None or datagram.rtp is None:
            return
        if datagram.source == self._server:
            level = rtp.parse(datagram.payload).extensions.get(self._level)
            if level is None:
                raise BenchError("packets do not tell how loud they are")
            if level[0] & 0x7F != _SILENCE:
                self.came.append(at)
        elif datagram.destination == self._server:
            self.went[datagram.rtp[1]] = at
