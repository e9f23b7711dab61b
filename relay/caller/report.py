"""The report of a call: measurements, as JSON and as a table."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class SetupTimes:
    """When each step of the set-up was completed, in milliseconds from the start; None if never.

    Attributes:
        offer: The offer was complete.
        answer: The SDP answer was received.
        ice: ICE had a nominated pair.
        dtls: DTLS was complete, so that media could flow.
        first_audio: The first RTP packet arrived.
        data_channel: The data channel was open.
    """

    offer: float | None = None
    answer: float | None = None
    ice: float | None = None
    dtls: float | None = None
    first_audio: float | None = None
    data_channel: float | None = None


@dataclass(slots=True)
class Received:
    """What was received, by RTP sequence numbers.

    Attributes:
        packets: Packets without duplicates.
        lost: Packets missing between the first and the last one.
        duplicates: Packets received again.
        reordered: Packets received after a later one.
        longest_loss: The most packets missing in a row.
        longest_pause_ms: The longest time between two packets.
        energy: The `totalAudioEnergy` of WebRTC: mean square times seconds, full scale being 1.
        seconds: How much audio was decoded.
    """

    packets: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    longest_loss: int = 0
    longest_pause_ms: float = 0.0
    energy: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True)
class FarEnd:
    """What the other side reports of the call.

    Attributes:
        rtcp_lost: Packets lost, by its last RTCP receiver report.
        rtcp_final: That report covers our last packet.
        received: Packets that it received, by the session statistics at hang-up.
        lost: Packets that it missed, by the same.
        sent: Packets that it sent, by the same.
        session: The session statistics as a whole.
    """

    rtcp_lost: int | None = None
    rtcp_final: bool = False
    received: int | None = None
    lost: int | None = None
    sent: int | None = None
    session: dict[str, Any] | None = None


@dataclass(slots=True)
class RoundTrip:
    """Round-trip times in milliseconds; None where there is no measurement.

    Attributes:
        rtcp: By sender and receiver reports (RFC 3550 section 6.4.1), smoothed.
        data_channel: From an event on the data channel to its answer.
    """

    rtcp: float | None = None
    data_channel: float | None = None


@dataclass(slots=True)
class Report:
    """The report of a call.

    Attributes:
        url: Where it was placed.
        call_id: The id that signaling gave it.
        remote: The transport address that ICE selected at the other side.
        seconds: How long audio was sent.
        sent: RTP packets sent.
        lost_to_server: Packets sent that the other side did not receive, by its own count.
        lost_to_client: Packets that it sent, by its own count, and that were not received here.
        interrupted: A signal ended the call before its time.
        error: Why the call failed; None for a good one.
    """

    url: str
    call_id: str | None = None
    remote: str | None = None
    seconds: float = 0.0
    setup_ms: SetupTimes = field(default_factory=SetupTimes)
    sent: int = 0
    received: Received = field(default_factory=Received)
    far_end: FarEnd = field(default_factory=FarEnd)
    lost_to_server: int | None = None
    lost_to_client: int | None = None
    round_trip_ms: RoundTrip = field(default_factory=RoundTrip)
    interrupted: bool = False
    error: dict[str, str | int] | None = None

    def add_session(self, session: dict[str, Any]) -> None:
        """Add the session statistics of the other side, and compare its counts with ours."""
        self.far_end.session = session
        rtp = session.get("rtp")
        counts = rtp if isinstance(rtp, dict) else {}
        received, lost, sent = (_count(counts, name) for name in ("received", "lost", "sent"))
        self.far_end.received, self.far_end.lost, self.far_end.sent = received, lost, sent
        if received is not None:
            self.lost_to_server = self.sent - received
        if sent is not None:
            self.lost_to_client = sent - self.received.packets

    def as_json(self) -> dict[str, Any]:
        """The report as an object for machines; `ok` says whether the call was good."""
        return {"ok": self.error is None, **asdict(self)}

    def rows(self) -> Iterator[tuple[str, str]]:
        """The report as names and values for people."""
        setup, received = self.setup_ms, self.received
        steps = {
            "answer": setup.answer,
            "ICE": setup.ice,
            "DTLS": setup.dtls,
            "first audio": setup.first_audio,
        }
        yield "Set-up", ", ".join(f"{name} {_ms(value)}" for name, value in steps.items())
        yield "Remote address", self.remote or "none"
        yield "Sent", f"{self.sent} packets in {self.seconds:.1f} s"
        yield "  arrived there", _arrived(self.far_end.received, self.lost_to_server)
        lost = f"{received.packets} packets, {received.lost} lost"
        yield "Received", f"{lost}, {received.reordered} reordered, {received.duplicates} twice"
        yield "  sent from there", _arrived(self.far_end.sent, self.lost_to_client)
        yield "  longest pause", f"{received.longest_pause_ms:.0f} ms"
        yield "  audio", f"{received.seconds:.1f} s, energy {received.energy:.3g}"
        trips = self.round_trip_ms
        yield "Round trip", f"RTCP {_ms(trips.rtcp)}, data channel {_ms(trips.data_channel)}"


def _count(counts: dict[str, Any], name: str) -> int | None:
    value = counts.get(name)
    return value if isinstance(value, int) else None


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _arrived(packets: int | None, lost: int | None) -> str:
    return "not reported" if packets is None else f"{packets} packets, {lost} lost"
