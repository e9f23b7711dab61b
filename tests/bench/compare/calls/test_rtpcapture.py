"""RTP statistics of calls, from frames."""

import struct

import pytest

from tests.bench.compare.calls.rtpcapture import RtpCapture

CLIENT, VIP = 40_000, 3478  # ports


def frame(source: int, destination: int, payload: bytes, protocol: int = 17) -> bytes:
    ip = bytes([0x45]) + bytes(8) + bytes([protocol]) + bytes(10)
    udp = struct.pack("!HHHH", source, destination, 8 + len(payload), 0)
    return bytes(12) + b"\x08\x00" + ip + udp + payload


AUDIO = b"\x80\x6f" + bytes(10)


def test_packets_and_pauses_are_counted_by_call() -> None:
    capture = RtpCapture(begun=10.0)
    capture.take(frame(CLIENT, VIP, AUDIO), 10.00, outgoing=True)
    capture.take(frame(VIP, CLIENT, AUDIO), 10.02, outgoing=False)
    capture.take(frame(VIP, CLIENT, AUDIO), 10.09, outgoing=False)
    capture.take(frame(VIP, CLIENT + 1, AUDIO), 10.05, outgoing=False)
    capture.stop(10.10)
    first, second = capture.calls[CLIENT], capture.calls[CLIENT + 1]
    assert (first.sent, first.received) == (1, 2)
    assert first.pause == pytest.approx(0.07)
    assert (second.sent, second.received) == (0, 1)
    assert second.pause == pytest.approx(0.05)


def test_audio_in_a_channel_of_turn_is_counted() -> None:
    capture = RtpCapture(begun=10.0)
    capture.take(frame(VIP, CLIENT, b"\x40\x00\x00\x0c" + AUDIO), 10.0, outgoing=False)
    assert capture.calls[CLIENT].received == 1


@pytest.mark.parametrize(
    "other",
    [
        frame(VIP, CLIENT, b"\x80\xc8" + bytes(10)),  # RTCP
        frame(VIP, CLIENT, b"\x16\xfe" + bytes(10)),  # DTLS
        frame(VIP, CLIENT, AUDIO, protocol=6),
        bytes(60),
        b"",
    ],
)
def test_what_is_no_audio_is_not_counted(other: bytes) -> None:
    capture = RtpCapture(begun=10.0)
    capture.take(other, 10.0, outgoing=False)
    assert capture.calls == {}
