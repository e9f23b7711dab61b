"""The RTCP of a call: what the client's packets change, and what we say when; free of IO."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from transceiver.media import ntp, rtcp, rtcpwrite
from transceiver.media.arrivals import Arrivals
from transceiver.media.errors import RtcpError
from transceiver.media.reception import Reception
from transceiver.media.rtcp import LastReport, ReportBlock
from transceiver.media.rtcptimer import RtcpTimer
from transceiver.media.sender import Sender
from transceiver.media.transportcc import Feedback

_BANDWIDTH = 64_000  # bits a second of the session's RTP, of which RTCP gets its share
_ROUND_TRIP = 0.1  # seconds, until one has been measured
_MAX_TIMES = 31  # times of the client's that wait for an answer
_RATE = 50  # datagrams a second that are read: one for each RTP packet, more than any client sends
_WEIGHT = 0.25  # of a new round trip


class RtcpSession:
    """Reads and writes reports and feedback.

    Args:
        ssrc: Ours.
        cname: Ours (RFC 7022: random, of one call only).
        sender: Whose reports these are.
        reception: Of the client's streams.
        chance: Gives random numbers from 0.0 up to 1.0.
        now: When the call begins.

    Attributes:
        arrivals: By transport-wide numbers; what is added is told.
        reduced: Whether feedback may come without a report before it (RFC 5506).
        counts: Of what the client sends, by name.
        round_trip: In seconds; None before the first was measured.
        lost_by_client: Packets of ours that it says are lost; None before its first report.
        jitter_at_client: Of our packets, in seconds; None before its first report.
    """

    def __init__(
        self,
        ssrc: int,
        cname: str,
        *,
        sender: Sender,
        reception: Reception,
        chance: Callable[[], float],
        now: float,
    ) -> None:
        self.arrivals = Arrivals(now)
        self.reduced = False
        self.counts: Counter[str] = Counter()
        self.round_trip: float | None = None
        self.lost_by_client: int | None = None
        self.jitter_at_client: float | None = None
        self._ssrc = ssrc
        self._description = rtcpwrite.description(ssrc, cname)
        self._sender = sender
        self._reception = reception
        self._timer = RtcpTimer(_BANDWIDTH, chance, now)
        self._times: dict[int, tuple[int, float]] = {}  # of the client's: middle bits, arrival
        self._tokens, self._filled = float(_RATE), now
        self._media = 0  # the stream that was heard last

    def heard(self, ssrc: int) -> None:
        """A stream of the client's sounds."""
        self._media = ssrc

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take an RTCP packet of the client's.

        Returns:
            RTP packets of ours that it asks for again.
        """
        if not self._has_token(now):
            self.counts["rtcp_too_many"] += 1
            return []
        self._timer.seen(len(data))
        try:
            found = rtcp.parse(data)
        except RtcpError:
            self.counts["rtcp_malformed"] += 1
            return []
        self.counts["rtcp"] += 1
        if found.broken:
            self.counts["rtcp_broken"] += found.broken
        if found.unknown:
            self.counts["rtcp_unknown"] += found.unknown
        again: list[bytes] = []
        for message in found.messages:
            self._take_report(message, now)
            again += self._take_feedback(message, now)
        return again

    def _has_token(self, now: float) -> bool:
        """Whether one more datagram may be read: a bucket that holds those of a second."""
        self._tokens = min(_RATE, self._tokens + (now - self._filled) * _RATE)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _take_report(self, message: rtcp.Message, now: float) -> None:
        match message:
            case rtcp.SenderReport():
                self._reception.sender_report(message.ssrc, message.ntp, now)
                self._take_blocks(message.blocks, now)
            case rtcp.ReceiverReport():
                self._take_blocks(message.blocks, now)
            case rtcp.ReferenceTime():
                if message.ssrc in self._times or len(self._times) < _MAX_TIMES:
                    self._times[message.ssrc] = ntp.middle(message.ntp), now
            case rtcp.LastReports():
                for each in message.reports:
                    if each.ssrc == self._ssrc:
                        self._measure(each.last_report, each.delay, now)
            case rtcp.Goodbye():
                # A stream that ends sends no more; one that sends on has not ended.
                self.counts["rtcp_bye"] += 1

    def _take_feedback(self, message: rtcp.Message, now: float) -> list[bytes]:
        match message:
            case rtcp.Nack():
                self.counts["rtcp_nack"] += 1
                if message.media == self._ssrc:
                    return self._sender.again(message.lost, self.round_trip or _ROUND_TRIP, now)
            case Feedback():
                self._sender.control.feedback(message, now)
            case rtcp.Remb():
                if not message.ssrcs or self._ssrc in message.ssrcs:
                    self._sender.control.remb(message.bitrate)
        return []

    def _take_blocks(self, blocks: Sequence[ReportBlock], now: float) -> None:
        for each in blocks:
            if each.ssrc != self._ssrc:
                continue
            self.lost_by_client = each.lost
            self.jitter_at_client = each.jitter / self._sender.rate
            self._sender.acknowledged = True
            self._sender.control.report(each.fraction_lost, now)
            self._measure(each.last_report, each.delay, now)

    def _measure(self, last_report: int, held: int, now: float) -> None:
        taken = ntp.round_trip(now, last_report, held)
        if taken is not None:
            before = taken if self.round_trip is None else self.round_trip
            self.round_trip = before + (taken - before) * _WEIGHT

    def packet(self, missing: Mapping[int, Sequence[int]], now: float) -> bytes | None:
        """What is to be said now, for each moment of the call.

        Args:
            missing: Sequence numbers to ask for again, by stream.
            now: The moment.

        Returns:
            A compound packet; None when nothing is due.
        """
        due = self._timer.due(now)
        parts = [
            rtcpwrite.nack(self._ssrc, ssrc, numbers)
            for ssrc, numbers in missing.items()
            if numbers
        ]
        if self.arrivals.due(now):
            feedback = self.arrivals.feedback(self._ssrc, self._media, now)
            parts.append(rtcpwrite.transport_feedback(feedback))
        if due:
            parts[:0] = self._report(now)
            self._timer.reported(1 + max(1, self._reception.streams), now)
        elif not parts:
            return None
        elif not self.reduced:
            # The shortest compound there is: a report about nothing (RFC 4585, section 3.1).
            empty = rtcpwrite.receiver_report(rtcp.ReceiverReport(self._ssrc, ()))
            parts[:0] = [empty, self._description]
        data = b"".join(parts)
        self._timer.seen(len(data))
        return data

    def goodbye(self, now: float) -> bytes:
        """The last packet: a report, and that our stream ends."""
        return b"".join([*self._report(now), rtcpwrite.goodbye(self._ssrc)])

    def _report(self, now: float) -> list[bytes]:
        """SR or RR, our name, and what is needed for round trips."""
        blocks = self._reception.blocks(now)
        sent = self._sender.report(now)
        if sent is not None:
            parts = [rtcpwrite.sender_report(sent._replace(blocks=blocks))]
        else:
            parts = [rtcpwrite.receiver_report(rtcp.ReceiverReport(self._ssrc, blocks))]
        parts.append(self._description)
        answers = [
            LastReport(ssrc, middle, ntp.delay(now - came))
            for ssrc, (middle, came) in self._times.items()
        ]
        self._times.clear()
        # Who sends measures by its own reports; who only listens has to ask (RFC 3611, 4.4).
        reference = None if sent is not None else ntp.timestamp(now)
        if answers or reference is not None:
            parts.append(rtcpwrite.extended_report(self._ssrc, reference, answers))
        return parts
