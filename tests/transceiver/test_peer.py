"""The private names of aiortc that the transceiver relies on, and what it makes of them.

When an update of aiortc breaks one of the first tests, transceiver/peer.py and transport.py have
to follow it.
"""

import inspect
import re
import struct
from pathlib import Path
from typing import Any

import aiortc.rtcdtlstransport
import aiortc.rtcicetransport
import aiortc.rtcrtpsender
import aiortc.rtp
import pytest
from aiortc import RTCDtlsTransport, RTCIceGatherer, RTCIceTransport, RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import RtpPacket
from av import AudioFrame
from hypothesis import given
from hypothesis import strategies as st

from transceiver import peer
from transceiver.passthrough import PassThroughBuffer
from transceiver.transport import LiteGatherer, LiteTransport


def test_the_version_is_the_one_that_was_read() -> None:
    assert re.match(r"1\.16\.", aiortc.__version__)


async def test_a_peer_connection_has_the_names() -> None:
    connection = RTCPeerConnection()
    assert inspect.signature(getattr(connection, peer.CREATE_DTLS_TRANSPORT)).parameters == {}
    assert getattr(connection, peer.ICE_TRANSPORTS) == set()
    assert getattr(connection, peer.DTLS_TRANSPORTS) == set()
    for name in peer.STATE_UPDATES:
        getattr(connection, name)()
    await connection.close()


async def test_a_peer_connection_makes_its_transports_by_the_overridden_name() -> None:
    made = []

    class Spy(RTCPeerConnection):
        def create(self) -> RTCDtlsTransport:
            made.append(original(self))
            return made[-1]  # type: ignore[no-any-return]

    original = getattr(RTCPeerConnection, peer.CREATE_DTLS_TRANSPORT)
    setattr(Spy, peer.CREATE_DTLS_TRANSPORT, Spy.create)
    connection = Spy()
    connection.addTransceiver("audio")
    connection.createDataChannel("x")
    assert len(made) == 2
    receiver = connection.getReceivers()[0]
    assert isinstance(getattr(receiver, peer.JITTER_BUFFER), JitterBuffer)
    await connection.close()


def test_a_dtls_transport_has_the_methods_that_count() -> None:
    parameters = {
        "_handle_rtp_data": ["self", "data", "arrival_time_ms"],
        "_handle_rtcp_data": ["self", "data"],
        "_send_rtp": ["self", "data"],
    }
    for name, expected in parameters.items():
        method = getattr(RTCDtlsTransport, name)
        assert inspect.iscoroutinefunction(method)
        assert list(inspect.signature(method).parameters) == expected
        assert name in vars(peer.CountingDtlsTransport)


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_a_sender_asks_our_function_how_loud_a_frame_is(layout: str) -> None:
    assert "rtp.compute_audio_level_dbov(" in inspect.getsource(aiortc.rtcrtpsender.RTCRtpSender)
    assert vars(aiortc.rtcrtpsender)["rtp"] is aiortc.rtp
    assert aiortc.rtp.compute_audio_level_dbov.__module__ in {
        "transceiver.peer",
        "relay.caller.peer",
    }
    frame = AudioFrame(format="s16", layout=layout, samples=480)
    frame.planes[0].update(struct.pack("=h", 3277) * 480 * frame.layout.nb_channels)
    assert aiortc.rtp.compute_audio_level_dbov(frame) == -20


def test_all_that_aiortc_asks_of_an_ice_transport_is_there() -> None:
    """Reads aiortc's source for what it touches, so that a new use of a name is noticed."""
    folder = Path(inspect.getfile(aiortc)).parent
    connection = (folder / "rtcpeerconnection.py").read_text()
    dtls = (folder / "rtcdtlstransport.py").read_text()
    of_transport = set(re.findall(r"(?:iceTransport|transport\.transport)\.(\w+)", connection))
    of_transport |= set(re.findall(r"self\.transport\.(\w+)", dtls))
    of_gatherer = set(re.findall(r"iceGatherer\.(\w+)", connection))
    assert {"start", "stop", "_recv", "_send", "role"} <= of_transport
    assert "gather" in of_gatherer
    provided = set(dir(LiteTransport)) | {"iceGatherer", "state", "_role_set", "_connection"}
    assert of_transport - provided == set()
    assert of_gatherer - (set(dir(LiteGatherer)) | {"state"}) == set()


@pytest.mark.parametrize("name", ["start", "stop", "addRemoteCandidate"])
def test_the_transport_has_the_signatures_of_the_one_it_stands_for(name: str) -> None:
    ours, theirs = getattr(LiteTransport, name), getattr(RTCIceTransport, name)
    assert inspect.iscoroutinefunction(ours)
    assert len(inspect.signature(ours).parameters) == len(inspect.signature(theirs).parameters)


@pytest.mark.parametrize("name", ["gather", "getLocalCandidates", "getLocalParameters"])
def test_the_gatherer_has_the_signatures_of_the_one_it_stands_for(name: str) -> None:
    ours, theirs = getattr(LiteGatherer, name), getattr(RTCIceGatherer, name)
    assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs)
    assert len(inspect.signature(ours).parameters) == len(inspect.signature(theirs).parameters)


def test_the_audio_buffer_has_the_signature_of_the_one_it_stands_for() -> None:
    ours, theirs = inspect.signature(PassThroughBuffer.add), inspect.signature(JitterBuffer.add)
    assert list(ours.parameters) == list(theirs.parameters)
    source = inspect.getsource(RTCRtpReceiver)
    assert re.findall(r"jitter_buffer\.(\w+)", source) == ["add"], "only `add` is used"


# --- the audio buffer ---


def packet(sequence: int) -> Any:
    made: Any = RtpPacket(sequence_number=sequence % 65536, timestamp=sequence * 960 % (1 << 32))
    made._data = sequence.to_bytes(4, "big")
    return made


def played(sequences: list[int]) -> list[int]:
    buffer = PassThroughBuffer()
    frames = [buffer.add(packet(sequence)) for sequence in sequences]
    assert not any(wants_key_frame for wants_key_frame, _ in frames)
    return [int.from_bytes(frame.data, "big") for _, frame in frames if frame]


def test_every_packet_is_a_frame_at_once_and_a_loss_costs_only_itself() -> None:
    assert played([1, 2, 4, 5]) == [1, 2, 4, 5]


def test_late_and_repeated_packets_are_dropped() -> None:
    assert played([1, 3, 2, 3, 4]) == [1, 3, 4]


def test_sequence_numbers_wrap() -> None:
    assert played([65534, 65535, 65536, 65537]) == [65534, 65535, 65536, 65537]


def test_a_sender_that_starts_anew_is_heard() -> None:
    assert played([30000, 30001, 5, 6]) == [30000, 30001, 5, 6]


@given(st.lists(st.integers(0, 90), max_size=60))
def test_frames_come_out_in_order(sequences: list[int]) -> None:
    out = played(sequences)
    assert out == sorted(set(out))


def test_a_frame_carries_the_timestamp() -> None:
    _, frame = PassThroughBuffer().add(packet(7))
    assert isinstance(frame, JitterFrame)
    assert frame.timestamp == 7 * 960
