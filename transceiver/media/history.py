"""Packets that were sent, for a client that asks for some again (RFC 4585, generic NACK).

They are sent as they were, byte by byte, under the same number: without a retransmission format
(RFC 4588), which no voice client offers, that is what libwebrtc does too. SRTP allows it because
the same plain text gets the same cipher text. It makes sense only while the client can still wait:
a packet whose time is over is not sent again.
"""

from collections.abc import Iterable

_KEPT = 32  # packets: 640 ms
_USELESS = 0.25  # seconds after the first sending, and a round trip: no voice is held back longer
_MOST = 2  # times that a packet is sent again


class History:
    """Keeps the last packets."""

    def __init__(self) -> None:
        self._packets: list[_Sent | None] = [None] * _KEPT

    def keep(self, sequence: int, packet: bytes, now: float) -> None:
        """A packet is sent."""
        self._packets[sequence % _KEPT] = _Sent(sequence, packet, now)

    def again(self, sequences: Iterable[int], round_trip: float, now: float) -> list[bytes]:
        """The packets to send again.

        Args:
            sequences: Numbers that the client asks for.
            round_trip: In seconds. Within it a repeated request is about the same loss, and half of
                it is how long a packet takes.
            now: Of the request.
        """
        found = []
        for sequence in sequences:
            sent = self._packets[sequence % _KEPT]
            if sent is None or sent.sequence != sequence or sent.times == _MOST:
                continue
            if now - sent.first + round_trip / 2 > _USELESS:
                continue
            if sent.times and now - sent.last < round_trip:
                continue
            sent.times += 1
            sent.last = now
            found.append(sent.packet)
        return found


class _Sent:
    """A packet, when it was sent first and last, and how often again."""

    __slots__ = ("first", "last", "packet", "sequence", "times")

    def __init__(self, sequence: int, packet: bytes, now: float) -> None:
        self.sequence = sequence
        self.packet = packet
        self.first = self.last = now
        self.times = 0
