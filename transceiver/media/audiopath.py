"""The RTP path of a call: authenticated packets in and out, frames of PCM in and out; free of IO.

```
receive_rtp ──> rtp ──> reception, arrivals ──> receiver ─> hear: a frame, and keys
                                          └───> events
receive_rtcp ─> rtcp ─> bitrate, history ──> packets to send again
rtcp <───────── reports, feedback, NACK
speak <──────── sender <── a frame
```

Nothing that a client sends raises here: it is counted, and costs what it is about.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from transceiver.media import red, rtp, transportcc
from transceiver.media.codec import Decoder, clock_rate, make_decoder
from transceiver.media.errors import RtpError
from transceiver.media.events import KeyPress, KeyReceiver
from transceiver.media.libopus import library
from transceiver.media.noise import ComfortNoise
from transceiver.media.receiver import Receiver
from transceiver.media.reception import Reception
from transceiver.media.rtcpsession import RtcpSession
from transceiver.media.sender import Sender
from transceiver.plan import AudioPlan, Codec

_ROUND_TRIP = 0.1  # seconds, until one has been measured
# What a client waits before it plays a packet: NetEQ's delay in docs/design/transceiver.md (38 ms
# without jitter, 89 at 20, 154 at 60), by the jitter that the client reports.
_PLAYOUT, _PLAYOUT_OF_JITTER = 0.04, 2.0
_MAX_KEYS = 32  # that wait to be heard, 20 ms each: nobody presses more


class Random(Protocol):
    """The part of `random.Random` that is used here."""

    def random(self) -> float:
        """From 0.0 up to 1.0."""

    def getrandbits(self, k: int, /) -> int:
        """So many bits."""


class Heard(NamedTuple):
    """What came in 20 ms.

    Attributes:
        frame: 960 bytes of PCM.
        events: Keys that were pressed and released.
    """

    frame: bytes
    events: tuple[KeyPress, ...]


class AudioPath:
    """Receives and sends the audio of a call.

    Args:
        plan: What the offer and its answer have agreed on.
        ssrc: Of what we send.
        cname: Our canonical name.
        random: Where numbers begin, and when reports go.
        now: When the call begins. All times are seconds of one monotonic clock.

    Raises:
        MissingCodecError: When this machine has no libopus and the plan has Opus.
    """

    def __init__(
        self, plan: AudioPlan, *, ssrc: int, cname: str, random: Random, now: float
    ) -> None:
        self._ssrc = ssrc
        self._sender = Sender(plan, ssrc, random.getrandbits, now)
        self._reception = Reception()
        self._rtcp = RtcpSession(
            ssrc,
            cname,
            sender=self._sender,
            reception=self._reception,
            chance=random.random,
            now=now,
        )
        self._keys = KeyReceiver()
        self._pressed: list[KeyPress] = []
        self._counts: Counter[str] = Counter()
        self._rates: dict[int, int] = {}  # of all payload types
        self._sounds: dict[int, int] = {}  # of those with sound
        self._decoders: dict[int, Callable[[], Decoder]] = {}
        self._read(plan)
        # Without a way back to here, so that the path's memory is free when its call lets go of it.
        self._receiver = Receiver(partial(_decoder_for, self._decoders), clock_rates=self._sounds)

    def update(self, plan: AudioPlan, now: float) -> None:
        """Go on by another plan, after a new offer of the same call.

        Raises:
            MissingCodecError: As for a new path.
        """
        self._read(plan)
        self._sender.update(plan, now)

    def _read(self, plan: AudioPlan) -> None:
        """Take what receiving needs of a plan."""
        decoders: dict[int, Callable[[], Decoder]] = {
            each.payload_type: partial(make_decoder, each.codec) for each in plan.formats
        }
        rates = {each.payload_type: clock_rate(each.codec) for each in plan.formats}
        if any(each.codec is Codec.OPUS for each in plan.formats):
            library()  # while it can be said, not with the first packet
        if plan.noise is not None:
            decoders[plan.noise], rates[plan.noise] = ComfortNoise, clock_rate(Codec.PCMU)
        self._events = {kind: rate for rate, kind in plan.events.items()}
        # The receiver holds on to these very dictionaries.
        self._decoders.clear()
        self._decoders.update(decoders)
        self._sounds.clear()
        self._sounds.update(rates)
        self._rates = {**self._events, **rates}
        self._redundant: int | None = None
        if plan.redundancy is not None:
            self._redundant = plan.redundancy.payload_type
            self._rates[self._redundant] = rates[plan.redundancy.of]
        self._asks = "nack" in plan.feedback
        self._receives = plan.receive
        self._rtcp.reduced = plan.reduced_rtcp
        self._number = (
            plan.extensions.get(transportcc.URI) if "transport-cc" in plan.feedback else None
        )

    def receive_rtp(self, data: bytes, now: float) -> None:
        """Take an RTP packet, after SRTP has authenticated it."""
        try:
            packet = rtp.parse(data)
        except RtpError:
            self._counts["rtp_malformed"] += 1
            return
        if packet.ssrc == self._ssrc:
            # It cannot be told apart from what we send (RFC 3550, section 8.2).
            self._counts["rtp_our_ssrc"] += 1
            return
        rate = self._rates.get(packet.payload_type, 0)
        if self._number is not None:
            self._arrived(packet, self._number, now)
        new = self._reception.add(packet.ssrc, packet.sequence, packet.timestamp, rate, now)
        if not new:
            return
        packet, earlier = self._opened(packet)
        rate = self._rates.get(packet.payload_type, 0)
        if not rate:
            self._counts["rtp_unknown_payload_type"] += 1
        elif not self._receives:
            self._counts["rtp_on_hold"] += 1
            return
        elif packet.payload_type in self._events:
            self._press(self._keys.receive(packet, rate, now))
        self._rtcp.heard(packet.ssrc)
        # A packet without sound goes there too: its number is not missing.
        self._receiver.insert(packet, now, earlier)

    def _opened(self, packet: rtp.Packet) -> tuple[rtp.Packet, Sequence[red.Block]]:
        """A packet as it would be without redundancy, and the frames that came along."""
        # Clients measure the path with packets of padding alone.
        if packet.payload_type != self._redundant or not packet.payload:
            return packet, ()
        try:
            *earlier, own = red.split(packet.payload)
        except RtpError:
            self._counts["rtp_red_malformed"] += 1
            own, earlier = red.Block(packet.payload_type, 0, b""), []
        self._counts["rtp_redundant"] += bool(earlier)
        return (
            rtp.Packet(
                own.payload_type,
                packet.sequence,
                packet.timestamp,
                packet.ssrc,
                own.payload,
                marker=packet.marker,
            ),
            earlier,
        )

    def _arrived(self, packet: rtp.Packet, extension: int, now: float) -> None:
        """Note when a packet came, by its transport-wide number."""
        number = packet.extensions.get(extension)
        if number is None or len(number) != 2:
            self._counts["rtp_without_transport_number"] += 1
        else:
            self._rtcp.arrivals.add(int.from_bytes(number, "big"), now)

    def _press(self, press: KeyPress | None) -> None:
        if press is None:
            return
        if len(self._pressed) < _MAX_KEYS:
            self._pressed.append(press)
        else:
            self._counts["keys_too_many"] += 1

    def receive_rtcp(self, data: bytes, now: float) -> list[bytes]:
        """Take an RTCP packet, after SRTP has authenticated it.

        Returns:
            RTP packets that the client asks for again, to be sent as they are: they were
            encrypted before under the same numbers, so SRTP needs `allow_repeat_tx`.
        """
        return self._rtcp.receive(data, now)

    def hear(self, now: float) -> Heard:
        """What is to be heard in these 20 ms; to be called that often."""
        self._press(self._keys.expire(now))
        events = tuple(self._pressed)
        self._pressed.clear()
        return Heard(self._receiver.pull(now), events)

    def speak(self, frame: bytes | None, now: float) -> bytes | None:
        """Say something in these 20 ms; to be called that often.

        Args:
            frame: 960 bytes of PCM; None for silence that is not sent.
            now: The moment.

        Returns:
            An RTP packet, to be encrypted; None when there is none to send now.
        """
        return self._sender.speak(frame, now)

    def press(self, key: str, duration: float) -> bool:
        """Press a key, in place of what is spoken, after those that are not yet done.

        Args:
            key: One of `events.KEYS`.
            duration: Seconds.

        Returns:
            Whether the client understands keys.
        """
        return self._sender.press(key, duration)

    @property
    def delay(self) -> float:
        """Seconds until the client hears what is spoken now, as far as its reports tell."""
        way = (self._rtcp.round_trip or _ROUND_TRIP) / 2
        return way + _PLAYOUT + _PLAYOUT_OF_JITTER * (self._rtcp.jitter_at_client or 0.0)

    def rtcp(self, now: float) -> bytes | None:
        """A compound packet when one is due, to be encrypted; to be called every 20 ms."""
        missing: dict[int, tuple[int, ...]] = {}
        if self._asks:
            missing = self._receiver.missing(self._rtcp.round_trip or _ROUND_TRIP, now)
        return self._rtcp.packet(missing, now)

    def goodbye(self, now: float) -> bytes:
        """The last RTCP packet of the call, to be encrypted."""
        return self._rtcp.goodbye(now)

    def stats(self) -> dict[str, float | int | bool | None]:
        """Counts and figures by name.

        ``received``, ``lost``, ``duplicates``: packets of the client's, by their numbers;
        ``sent``, ``resent``: of ours; ``lost_by_client``: of ours, as it says; times in seconds;
        ``playout_...``: what the receiver counts; ``concealed_share``: how much of what was heard
        was made up, from 0 to 1; further names count what was refused.
        """
        settings, playout = self._sender.control.settings, self._receiver.stats
        return {
            "received": self._reception.received,
            "lost": self._reception.lost,
            "duplicates": self._reception.duplicates,
            "streams": self._reception.streams,
            "sent": self._sender.packets,
            "resent": self._sender.resent,
            "lost_by_client": self._rtcp.lost_by_client,
            "jitter": self._reception.jitter,
            "jitter_at_client": self._rtcp.jitter_at_client,
            "round_trip": self._rtcp.round_trip,
            "bitrate": settings.bitrate,
            "fec": settings.fec,
            "events_unknown": self._keys.unknown,
            "concealed_share": _share(playout.get("concealed", 0), playout.get("sounded", 0)),
            **{f"playout_{name}": value for name, value in playout.items()},
            **self._counts,
            **self._rtcp.counts,
        }


def _share(part: float, rest: float) -> float | None:
    """How much a part is of it and the rest, from 0 to 1; None of nothing."""
    return round(part / (part + rest), 4) if part + rest else None


def _decoder_for(
    decoders: Mapping[int, Callable[[], Decoder]], payload_type: int
) -> Decoder | None:
    """A new decoder; None for a payload type that has no sound."""
    make = decoders.get(payload_type)
    return None if make is None else make()
