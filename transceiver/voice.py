"""The audio of a call: between its transport, its back end and the clock."""

from collections.abc import Callable
from typing import Any

from transceiver.backend import Backend
from transceiver.clock import Datagram
from transceiver.media.audiopath import AudioPath
from transceiver.plan import AudioPlan
from transceiver.transport import Transport

Broke = Callable[[str, Exception], None]  # what has raised, and how


class Voice:
    """Takes packets as they come, and has a turn every 20 ms.

    Args:
        path: Its RTP path.
        transport: Over which it sends.
        backend: What hears and speaks.
        broke: Told what raises: ``audio`` or ``back end``.

    Attributes:
        heard_at: When the client's last authentic packet of RTP came; None before the first.
        spoke_at: When the first packet of RTP was sent to it; None before.
    """

    def __init__(
        self, path: AudioPath, transport: Transport, backend: Backend, broke: Broke
    ) -> None:
        self.heard_at: float | None = None
        self.spoke_at: float | None = None
        self._path = path
        self._transport = transport
        self._backend = backend
        self._broke = broke
        self._tell_delay()

    def update(self, plan: AudioPlan, transport: Transport, now: float) -> None:
        """Go on by another plan."""
        self._path.update(plan, now)
        self._transport = transport

    def receive_rtp(self, packet: bytes, now: float) -> None:
        """Take an authentic RTP packet."""
        self.heard_at = now
        try:
            self._path.receive_rtp(packet, now)
        except Exception as error:  # noqa: BLE001  # it costs the packet
            self._broke("audio", error)

    def receive_rtcp(self, packet: bytes, now: float) -> list[Datagram]:
        """Take an authentic RTCP packet; returns what the client wants to have again."""
        try:
            again = self._path.receive_rtcp(packet, now)
        except Exception as error:  # noqa: BLE001  # it costs the packet
            self._broke("audio", error)
            return []
        self._tell_delay()
        sent = (self._transport.protected(each, now) for each in again)
        return [each for each in sent if each is not None]

    def tick(self, now: float, out: list[Datagram]) -> None:
        """Hear, ask the back end, speak and report; what is to be sent goes to `out`."""
        if not self._transport.is_connected:
            return
        try:
            heard = self._path.hear(now)
        except Exception as error:  # noqa: BLE001  # it costs the frame
            self._broke("audio", error)
            return
        frame = self._ask(heard.frame, heard.events)
        try:
            packet = self._path.speak(frame, now)
            report = self._path.rtcp(now)
        except Exception as error:  # noqa: BLE001  # it costs the frame
            self._broke("audio", error)
            return
        protected = packet and self._transport.protected(packet, now)
        if protected:
            out.append(protected)
            if self.spoke_at is None:
                self.spoke_at = now
        reported = report and self._transport.protected_rtcp(report, now)
        if reported:
            out.append(reported)

    def _ask(self, frame: bytes, keys: tuple[Any, ...]) -> bytes | None:
        """What the back end says to what was heard."""
        try:
            for press in keys:
                self._backend.digit(press)
            if self.heard_at is not None:
                self._backend.hear(frame)
            return self._backend.speak()
        except Exception as error:  # noqa: BLE001  # it costs the frame
            self._broke("back end", error)
            return None

    def _tell_delay(self) -> None:
        try:
            self._backend.late(self._path.delay)
        except Exception as error:  # noqa: BLE001  # it costs the estimate
            self._broke("back end", error)

    def goodbye(self, now: float) -> Datagram | None:
        """The last packet of RTCP."""
        if not self._transport.is_connected:
            return None
        return self._transport.protected_rtcp(self._path.goodbye(now), now)

    def stats(self) -> dict[str, Any]:
        """See `AudioPath.stats`."""
        return self._path.stats()
