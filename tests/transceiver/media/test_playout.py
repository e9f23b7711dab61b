"""Real speech, coded with Opus, over a network in simulated time; or PCM where that is enough."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.bench.loss import material, score
from tests.bench.loss.material import Pcm
from tests.bench.loss.network import Arrival, Network
from transceiver.media.codec import Decoder, make_decoder, make_encoder
from transceiver.media.errors import CodecError
from transceiver.media.opus import OpusEncoder, has_fec
from transceiver.media.opussettings import OpusSettings
from transceiver.media.playout import Playout
from transceiver.media.red import Block
from transceiver.media.rtp import Packet
from transceiver.plan import Codec, Format

MS = 24
RATES = {111: 48_000, 0: 8_000, 96: 24_000}
FRAMES = 750


class Plain:
    """A codec that is none: the payload is the PCM."""

    def decode(self, payload: bytes) -> bytes:
        if len(payload) % 2:
            raise CodecError("half a sample")
        return payload

    def conceal(self, samples: int) -> bytes:
        return bytes(2 * samples)

    def carries(self, payload: bytes) -> int:  # noqa: ARG002
        return 0

    def recover(self, payload: bytes, samples: int) -> None: ...

    def is_silence(self, payload: bytes) -> bool:
        return len(payload) <= 2

    def duration(self, payload: bytes) -> int:
        return len(payload) // 2


def decoder_for(payload_type: int) -> Decoder | None:
    if payload_type == 96:
        return Plain()
    codec = {111: Codec.OPUS, 0: Codec.PCMU}.get(payload_type)
    return None if codec is None else make_decoder(codec)


def playout() -> Playout:
    return Playout(decoder_for, clock_rates=RATES)


@cache
def said() -> Pcm:
    return material.speech(FRAMES)


@cache
def sent() -> tuple[Packet, ...]:
    return tuple(material.packets(said()))


def plain(frames: int, size: int = 480) -> list[Packet]:
    """Speech as it is, in packets of so many samples."""
    pcm = material.speech(frames)
    return [
        Packet(96, number & 0xFFFF, start & 0xFFFF_FFFF, 1, pcm[start : start + size].tobytes())
        for number, start in enumerate(range(0, len(pcm), size))
    ]


class Heard:
    """What came out, and how it was going."""

    def __init__(self, player: Playout) -> None:
        self.playout = player
        self.delayed: list[float] = []  # milliseconds
        self.without_extra: list[float] = []
        self._frames: list[bytes] = []

    def add(self, frame: bytes) -> None:
        assert len(frame) == 960
        self._frames.append(frame)
        self.delayed.append(self.playout.delayed / MS)
        self.without_extra.append((self.playout.delayed - self.playout.delay.extra) / MS)

    @property
    def pcm(self) -> Pcm:
        return np.frombuffer(b"".join(self._frames), np.int16)

    @property
    def loudness(self) -> list[float]:
        """Of each frame."""
        return [
            float(np.sqrt(np.mean(np.frombuffer(f, "<i2").astype(float) ** 2)))
            for f in self._frames
        ]


def play(
    arrivals: Sequence[Arrival],
    frames: int = FRAMES,
    *,
    player: Playout | None = None,
    earlier: Mapping[int, Sequence[Block]] | None = None,
    clock: Callable[[int], float] = lambda index: 0.02 * index + 0.007,
) -> Heard:
    """Play what arrives, a frame at each tick of the clock."""
    heard = Heard(player or playout())
    next_one = 0
    for index in range(frames):
        now = clock(index)
        while next_one < len(arrivals) and arrivals[next_one].time <= now:
            packet = arrivals[next_one].packet
            along = (earlier or {}).get(packet.sequence, ())
            heard.playout.insert(packet, arrivals[next_one].time, along)
            next_one += 1
        heard.add(heard.playout.pull(now))
    return heard


def on_time(packets: Sequence[Packet], seconds: float = 0.02) -> list[Arrival]:
    return [Arrival(seconds * index, packet) for index, packet in enumerate(packets)]


def test_nothing_happens_where_nothing_is_wrong() -> None:
    heard = play(on_time(sent()))
    stats = heard.playout.stats
    assert stats["played"] >= FRAMES - 3
    assert stats["concealed"] == stats["recovered"] == stats["lengthened"] == 0
    assert stats["shortened"] < 20 * MS
    assert heard.delayed[-1] < 40


@pytest.mark.parametrize(("loss", "burst"), [(0.01, 1), (0.05, 1), (0.1, 1), (0.1, 3)])
@pytest.mark.parametrize("jitter", [0.0, 0.02, 0.06])
def test_losses_make_no_silence(loss: float, burst: int, jitter: float) -> None:
    network = Network(loss=loss, burst=burst, jitter=jitter)
    arrivals = network.carry(sent(), 5)
    heard = play(arrivals)
    found = score.delays(said(), heard.pcm)
    assert score.longest_silence(said(), heard.pcm, found) <= 0.04
    assert float(np.median(found.delays)) < 0.06 + 2 * jitter + 0.02
    stats = heard.playout.stats
    lost = (FRAMES - len(arrivals)) * 480
    assert stats["recovered"] + stats["concealed"] < 1.1 * lost + 0.02 * 480 * FRAMES
    if burst == 1 and loss > 0.03:
        assert stats["recovered"] > 0.3 * lost


def test_without_a_playout_that_conceals_the_measure_would_see_it() -> None:
    pcm = said().copy()
    for frame in range(100, 700, 10):
        pcm[480 * frame : 480 * frame + 1_440] = 0
    assert score.longest_silence(said(), pcm, score.delays(said(), pcm)) > 0.04


@pytest.mark.parametrize("jitter", [0.06, 0.1, 0.15])
@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_delay_grows_with_jitter_and_is_back_two_seconds_after_it(
    jitter: float, loss: float
) -> None:
    network = Network(loss=loss, episode=(5.0, 8.0), jitter_then=jitter)
    heard = play(network.carry(sent(), 3))
    undisturbed = play(Network(loss=loss).carry(sent(), 3))
    assert max(heard.delayed[300:400]) > 1_000 * jitter
    # The losses of the episode may have shown that there is forward error correction.
    assert max(heard.without_extra[500:550]) < max(undisturbed.without_extra[500:550]) + 20
    # By stretching, not by cuts.
    assert heard.playout.queue.skipped == 0
    assert heard.playout.stats["shortened"] > 500 * jitter * MS


@pytest.mark.parametrize("drift", [500e-6, -500e-6])
def test_clocks_drift_for_an_hour(drift: float) -> None:
    frames = 180_000
    packets = plain(750) * 240
    arrivals = []
    chance = random.Random(4)
    for index, packet in enumerate(packets):
        moved = Packet(96, index & 0xFFFF, 480 * index & 0xFFFF_FFFF, 1, packet.payload)
        arrivals.append(Arrival(0.02 * index * (1 + drift) + chance.uniform(0, 0.003), moved))
    arrivals.sort(key=lambda each: each.time)
    heard = play(arrivals, round(frames * 0.999))
    assert max(heard.delayed[100:]) < 60
    stats, queue = heard.playout.stats, heard.playout.queue
    assert queue.skipped == queue.restarts == 0
    assert queue.late < 10
    # The sender's hour is 1.8 s shorter or longer than ours.
    gained = stats["shortened"] - stats["lengthened"] - stats["concealed"]
    assert gained / 24_000 == pytest.approx(-1.8 * np.sign(drift), abs=0.1)
    assert stats["concealed"] < 0.001 * 480 * frames


def test_a_lost_packet_is_recovered_from_its_successor() -> None:
    lost = next(index for index in range(200, 400) if has_fec(sent()[index + 1].payload))
    arrivals = on_time(sent())
    del arrivals[lost]
    heard = play(arrivals, clock=lambda index: 0.02 * index + 0.0199)
    late = play(arrivals, clock=lambda index: 0.02 * index + 0.0001)
    assert heard.playout.stats["recovered"] + late.playout.stats["recovered"] >= 480
    for each in heard, late:
        assert each.playout.stats["recovered"] + each.playout.stats["concealed"] <= 960


def test_where_packets_get_lost_there_is_time_for_recovery_and_only_there() -> None:
    lossy = Network(loss=0.08).carry(sent()[:250], 2)
    rest = [Arrival(0.02 * index, sent()[index]) for index in range(250, FRAMES)]
    heard = play(lossy, 250)
    assert heard.playout.delay.extra == 480
    heard = play([*lossy, *rest])
    assert heard.playout.delay.extra == 0
    assert heard.delayed[-1] < 35


@pytest.mark.parametrize("frames", [2, 3])
def test_of_longer_packets_all_is_recovered_that_is_in_the_next(frames: int) -> None:
    """Of 40 and 60 ms: the next one has the whole of the one before (RFC 6716, section 2.1.7)."""
    encoder, size = OpusEncoder(OpusSettings(bitrate=32_000, fec=True, loss=20)), 480 * frames
    packets = [
        Packet(
            111, index, 960 * frames * index, 1, encoder.encode(said()[at : at + size].tobytes())
        )
        for index, at in enumerate(range(0, 480 * FRAMES, size))
    ]
    lost = range(50, len(packets) - 1, 10)
    arrivals = [
        Arrival(0.02 * frames * (index + 1), packet)
        for index, packet in enumerate(packets)
        if index not in lost
    ]
    heard = play(arrivals)
    stats = heard.playout.stats
    possible = size * sum(has_fec(packets[index + 1].payload) for index in lost)
    # Before it is known that there is something to wait for, the next one comes too late.
    assert possible > 0.4 * size * len(lost)
    assert stats["recovered"] >= possible - 4 * size
    assert heard.playout.delay.extra == size
    assert stats["recovered"] + stats["concealed"] < size * (len(lost) + 1)


class Loud(Plain):
    """Finds a lost frame in whatever it is given."""

    def carries(self, payload: bytes) -> int:  # noqa: ARG002
        return 480

    def recover(self, payload: bytes, samples: int) -> bytes:  # type: ignore[override]  # noqa: ARG002
        return np.full(samples, 30_000, np.int16).tobytes()


@pytest.mark.parametrize("changes", [True, False])
def test_what_another_codec_has_made_is_not_taken_for_recovery(changes: bool) -> None:
    player = Playout(lambda _: Loud(), clock_rates={96: 24_000, 97: 24_000})
    packets = plain(100)
    if changes:
        packets[51:] = [
            Packet(97, each.sequence, each.timestamp, 1, each.payload) for each in packets[51:]
        ]
    packets[50] = packets[51]  # which comes in time
    heard = play(on_time(packets), 100, player=player)
    assert (heard.playout.stats["recovered"] > 0) is not changes


def test_a_stream_that_begins_anew_has_lost_nothing() -> None:
    """Three losses that were recovered are long over; two new begins are no reason for delay."""
    lost = [index for index in range(20, 200) if has_fec(sent()[index + 1].payload)][:30:10]
    arrivals = []
    for index, packet in enumerate(sent()):
        number = packet.sequence + 20_000 * (index // 300) & 0xFFFF
        moved = Packet(111, number, packet.timestamp, 1, packet.payload)
        if index not in lost:
            arrivals.append(Arrival(0.02 * index, moved))
    heard = play(arrivals)
    assert heard.playout.queue.restarts == 2
    assert heard.playout.delay.extra == 0
    assert 0 <= heard.playout._loss < 0.01


def test_single_losses_are_nothing_where_packets_have_the_frame_before_along() -> None:
    plain_packets = material.packets(said(), OpusSettings(bitrate=24_000))
    earlier = {
        after.sequence: [Block(111, 960, before.payload)]
        for before, after in pairwise(plain_packets)
    }
    arrivals = Network(loss=0.1).carry(plain_packets, 2)
    lost = FRAMES - len(arrivals)
    with_it, without = play(arrivals, earlier=earlier), play(arrivals)
    assert without.playout.stats["recovered"] == 0
    assert with_it.playout.stats["recovered"] > 0.7 * 480 * lost
    assert with_it.playout.stats["concealed"] < 0.3 * without.playout.stats["concealed"]
    assert with_it.playout.delay.extra == 480, "there is time for it"


def test_packets_that_are_late_and_not_lost_are_no_reason_for_recovery() -> None:
    network = Network(episode=(5.0, 8.0), jitter_then=0.1)
    heard = play(network.carry(sent(), 3))
    assert heard.playout.queue.late > 5
    assert heard.delayed[450:] == heard.without_extra[450:]


def test_of_several_that_are_missing_each_that_comes_in_time_is_played() -> None:
    """The target is 60 ms; all three are overtaken, and the second and third come just in time."""
    arrivals = [
        Arrival(each.time + 0.05 * (each.packet.sequence % 7 == 0), each.packet)
        for each in on_time(plain(300))
        if not 200 <= each.packet.sequence < 203
    ]
    _, two, three = plain(300)[200:203]
    arrivals += [Arrival(0.02 * 201 + 0.07, two), Arrival(0.02 * 202 + 0.07, three)]
    heard = play(sorted(arrivals, key=lambda each: each.time), 300)
    assert heard.playout.queue.late == 1  # before the path was known


def test_a_long_hole_is_a_pause_although_what_follows_is_there() -> None:
    """On a path that needs 310 ms."""
    arrivals = [
        Arrival(each.time + 0.3 * (each.packet.sequence % 5 == 0), each.packet)
        for each in on_time(plain(400))
    ]
    arrivals.sort(key=lambda each: each.time)
    holed = [each for each in arrivals if not 201 <= each.packet.sequence < 213]
    whole, heard = play(arrivals, 400), play(holed, 400)
    assert heard.playout.stats["concealed"] == whole.playout.stats["concealed"]
    assert abs(heard.delayed[-1] - whole.delayed[-1]) < 25


class Sine(Plain):
    """Goes on with a sine of 165 Hz, whatever is missing."""

    def __init__(self) -> None:
        self.at = 0

    def decode(self, payload: bytes) -> bytes:
        self.at = int.from_bytes(payload, "big") * 480 + 480
        return sine(self.at - 480, 480)

    def conceal(self, samples: int) -> bytes:
        self.at += samples
        return sine(self.at - samples, samples)


def sine(start: int, samples: int) -> bytes:
    at = np.arange(start, start + samples) / 24_000
    pcm: bytes = (8_000 * np.sin(2 * np.pi * 165 * at)).astype("<i2").tobytes()
    return pcm


def test_a_late_packet_joins_what_stood_for_it_without_a_step() -> None:
    player = Playout(lambda _: Sine(), clock_rates=RATES)
    arrivals = [
        Arrival(
            0.02 * index + (0.05 if index >= 60 else 0),
            Packet(96, index, 480 * index, 1, index.to_bytes(2, "big")),
        )
        for index in range(100)
    ]
    heard = play(arrivals, 100, player=player)
    assert heard.playout.stats["concealed"] > 0
    steps = np.abs(np.diff(heard.pcm[4_800:].astype(int)))
    assert steps.max() < 1.3 * 8_000 * 2 * np.pi * 165 / 24_000


def test_a_short_pause_does_not_use_up_the_delay() -> None:
    """Of 100 ms, on a path that needs 80: what follows is held back as all the rest."""
    arrivals = []
    for index, packet in enumerate(plain(400)):
        pause = 0.1 * (index // 80)
        late = 0.08 if index % 5 == 2 else 0.0
        moved = Packet(96, index, 480 * index + round(pause * 24_000), 1, packet.payload)
        arrivals.append(Arrival(0.02 * index + pause + late, moved))
    heard = play(sorted(arrivals, key=lambda each: each.time), 400)
    # Those from before the path was known.
    assert heard.playout.queue.late <= 8
    assert heard.playout.stats["concealed"] <= 10 * 480


def test_a_packet_whose_turn_is_over_is_left_out() -> None:
    arrivals = on_time(sent())
    late = arrivals.pop(300)
    arrivals.insert(302, Arrival(0.02 * 302 + 0.004, late.packet))
    heard = play(arrivals)
    assert heard.playout.queue.late == 1
    assert heard.playout.stats["concealed"] + heard.playout.stats["recovered"] == 480


def test_a_stall_is_played_faster_and_not_dropped() -> None:
    arrivals = [
        Arrival(max(each.time, 4.5 if 4.0 < each.time < 4.5 else 0), each.packet)
        for each in on_time(sent())
    ]
    heard = play(arrivals)
    assert heard.playout.queue.late == heard.playout.queue.skipped == 0
    assert heard.delayed[400] < 60
    assert heard.playout.stats["shortened"] > 300 * MS


def test_a_pause_keeps_its_length_and_what_follows_is_whole() -> None:
    """DTX: numbers go on, time has a hole of 2 s."""
    packets = plain(300)
    arrivals = []
    for index, packet in enumerate(packets):
        pause = 2.0 if index >= 100 else 0.0
        moved = Packet(96, index, 480 * index + round(pause * 24_000), 1, packet.payload)
        arrivals.append(Arrival(0.02 * index + pause, moved))
    heard = play(arrivals, 400)
    assert heard.playout.stats["played"] >= 298
    assert heard.playout.stats["concealed"] <= 4_800
    assert 5 < heard.delayed[300] < 50
    assert max(heard.loudness[115:198]) == 0
    first = packets[100].payload + packets[101].payload
    assert first in heard.pcm.tobytes()


def test_announced_silence_is_filled_by_the_decoder() -> None:
    """A packet of one byte begins DTX; libopus goes on with comfort noise."""
    noise = np.random.default_rng(1).normal(0, 300, (150, 480)).astype(np.int16)
    encoder = OpusEncoder(OpusSettings(fec=True, loss=10))
    packets = [
        Packet(111, index, 960 * index, 1, encoder.encode(frame.tobytes()))
        for index, frame in enumerate(noise)
    ]
    stopped = play(on_time(packets), 250)
    assert max(stopped.loudness[-60:]) == 0
    packets.append(Packet(111, 150, 960 * 150, 1, bytes((packets[-1].payload[0] & 0xFC,))))
    announced = play(on_time(packets), 250)
    assert min(announced.loudness[-60:]) > 0


def test_a_stream_that_ends_fades() -> None:
    heard = play(on_time(sent()[:110]), 200)
    assert heard.playout.starving > 0
    assert max(heard.loudness[-60:]) == 0


def test_an_outage_ends_with_the_next_packets() -> None:
    arrivals = [each for each in on_time(plain(FRAMES)) if not 200 <= each.packet.sequence < 350]
    heard = play(arrivals)
    assert max(heard.loudness[220:349]) == 0
    assert arrivals[205].packet.payload in heard.pcm[353 * 480 :].tobytes()
    assert heard.delayed[-1] < 40


@pytest.mark.parametrize("leap", [0, 7_200, -7_200, 3_600 * 24_000, 1 << 31, -1_000_000])
@pytest.mark.parametrize("jump", [0, 60, 150, 20_000, 32_768, 50_000, 65_300])
def test_a_jump_plays_on_within_100_ms(jump: int, leap: int) -> None:
    arrivals = []
    for index, packet in enumerate(plain(200)):
        number, timestamp = index, 480 * index
        if index >= 100:
            number, timestamp = index + jump & 0xFFFF, timestamp + leap & 0xFFFF_FFFF
        tone = np.full(480, 1_000 if index < 100 else 2_000, np.int16).tobytes()
        arrivals.append(
            Arrival(0.02 * index, Packet(96, number, timestamp, 1, tone or packet.payload))
        )
    heard = play(arrivals, 200)
    loud = heard.loudness
    assert loud[105] == 2_000
    assert min(loud[105:]) == 2_000
    assert sum(each == 0 for each in loud[10:]) <= 2


def test_codecs_change_in_mid_stream() -> None:
    frames = [said()[480 * index : 480 * index + 480].tobytes() for index in range(300)]
    opus, mu_law = (
        make_encoder(Format(Codec.OPUS, 111)),
        make_encoder(Format(Codec.PCMU, 0)),
    )
    arrivals = []
    for index, frame in enumerate(frames):
        law = 100 <= index < 200
        payload = (mu_law if law else opus).encode(frame)
        stamp = index * (160 if law else 960)
        arrivals.append(Arrival(0.02 * index, Packet(0 if law else 111, index, stamp, 1, payload)))
    heard = play(arrivals, 300)
    assert heard.playout.stats["played"] >= 297
    assert heard.playout.stats["concealed"] <= 480
    found = score.delays(said()[: 480 * 300], heard.pcm)
    assert len(found.times) > 20
    assert found.delays.max() < 0.06


def test_packets_without_sound_are_no_holes() -> None:
    arrivals = on_time(sent())
    for index in range(200, 260, 2):
        before = arrivals[index].packet
        arrivals[index] = Arrival(arrivals[index].time, Packet(96, before.sequence, 0, 1, b""))
    shifted = []
    for place, arrival in enumerate(arrivals):
        packet = arrival.packet
        if packet.payload:
            shifted.append(arrival)
        else:
            kind = 101 if place % 4 else 96
            shifted.append(
                Arrival(
                    arrival.time,
                    Packet(kind, packet.sequence, 7, 1, b"" if kind == 96 else b"1234"),
                )
            )
    heard = play(shifted)
    # Each is a moment of which nothing is known: filled, and the delay does not grow.
    assert heard.playout.delay.target < 30 * MS
    assert heard.playout.queue.late == 0
    assert heard.delayed[-1] < 45


def test_garbage_costs_itself() -> None:
    arrivals = on_time(sent())
    for index in (200, 300, 301):
        packet = arrivals[index].packet
        arrivals[index] = Arrival(
            arrivals[index].time,
            Packet(111, packet.sequence, packet.timestamp, 1, b"\xff\xff\xff"),
        )
    heard = play(arrivals)
    assert heard.playout.stats["undecodable"] == 3
    assert heard.delayed[-1] < 45
    assert heard.playout.stats["played"] >= FRAMES - 6


@pytest.mark.parametrize("size", [60, 240, 960, 1_440, 2_880])
def test_packets_of_any_duration(size: int) -> None:
    packets = plain(600, size)
    arrivals = on_time(packets, size / 24_000)
    heard = play(arrivals, 600)
    assert heard.playout.stats["concealed"] == 0
    assert heard.playout.stats["played"] > 0.9 * len(packets)
    assert heard.delayed[-1] < 50 + size / MS


def test_an_uneven_clock_of_ours_is_no_reason_to_conceal() -> None:
    chance = random.Random(9)
    ticks = [0.02 * index + 0.003 + chance.uniform(0, 0.005) for index in range(FRAMES)]
    heard = play(on_time(sent()), clock=ticks.__getitem__)
    assert heard.playout.stats["concealed"] == 0


ANY = st.builds(
    Packet,
    st.sampled_from([111, 0, 96, 101]),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.just(1),
    st.binary(max_size=60),
)


@seed(13)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), ANY), max_size=40))
def test_no_packet_stops_it(strange: list[tuple[int, Packet]]) -> None:
    arrivals = on_time(sent()[:160])
    arrivals += [Arrival(0.02 * index + 0.001, packet) for index, packet in strange]
    arrivals.sort(key=lambda each: each.time)
    heard = play(arrivals, 160)
    assert max(heard.loudness[90:]) > 300
    assert len(heard.playout.queue.waiting) <= 201
