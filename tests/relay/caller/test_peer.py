"""The peer against another one, and what it relies on that aiortc does not document."""

import asyncio
import inspect
import struct
from collections.abc import AsyncIterator

import aioice.ice
import aiortc.rtcrtpsender
import aiortc.rtp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcrtpsender import RTCRtpSender
from av import AudioFrame

from relay.caller.audio import PacedTrack
from relay.caller.errors import CallError, Failure
from relay.caller.peer import Peer
from tests.relay.conftest import eventually

SILENCE = [bytes(1920)]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    created = Peer(PacedTrack(SILENCE))
    yield created
    await created.close()


@pytest.fixture
async def other() -> AsyncIterator[RTCPeerConnection]:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    yield connection
    await connection.close()


async def answered_by(other: RTCPeerConnection, peer: Peer) -> str:
    await other.setRemoteDescription(RTCSessionDescription(await peer.create_offer(), "offer"))
    other.addTrack(PacedTrack(SILENCE))
    await other.setLocalDescription(await other.createAnswer())
    sdp: str = other.localDescription.sdp
    return sdp


async def test_two_peers_count_each_other_exactly(peer: Peer, other: RTCPeerConnection) -> None:
    await peer.set_answer(await answered_by(other, peer))
    await peer.wait_connected(within=5)
    assert peer.alive
    assert peer.remote is not None
    assert peer.ice_completed is not None
    assert peer.dtls_connected is not None
    assert peer.ice_completed <= peer.dtls_connected
    await eventually(lambda: peer.received.packets > 5, "packets come")
    await peer.stop_sending()
    sent = peer.sent.packets
    await peer.wait_reported(within=5)
    assert peer.report_is_final
    assert peer.receiver_report is not None
    assert peer.receiver_report.packets_lost == 0
    assert sent > 0
    await asyncio.sleep(0.1)
    assert peer.sent.packets == sent  # it really stopped, and reports are not counted


async def test_one_connection_carries_everything(peer: Peer) -> None:
    offer = await peer.create_offer()
    ufrags = {line for line in offer.splitlines() if line.startswith("a=ice-ufrag:")}
    assert len(ufrags) == 1
    assert "m=application" in offer


async def test_nobody_behind_the_candidate_is_an_ice_failure(
    peer: Peer, other: RTCPeerConnection
) -> None:
    answer = await answered_by(other, peer)
    await other.close()  # or its own checks would show where it is
    lines = [line for line in answer.splitlines() if not line.startswith("a=candidate")]
    silent = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"
    at = next(number for number, line in enumerate(lines) if line.startswith("a=mid:"))
    lines.insert(at, silent)
    await peer.set_answer("\r\n".join(lines) + "\r\n")
    with pytest.raises(CallError, match=r"127\.0\.0\.1:9") as caught:
        await peer.wait_connected(within=0.3)
    assert caught.value.failure is Failure.ICE_FAILED


async def test_another_certificate_than_promised_is_a_dtls_failure(
    peer: Peer, other: RTCPeerConnection
) -> None:
    answer = await answered_by(other, peer)
    lines = [
        line[:-2] + ("00" if line[-2:] != "00" else "11") if "fingerprint:" in line else line
        for line in answer.splitlines()
    ]
    await peer.set_answer("\r\n".join(lines) + "\r\n")
    with pytest.raises(CallError, match="DTLS") as caught:
        await peer.wait_connected(within=5)
    assert caught.value.failure is Failure.DTLS_FAILED


@pytest.mark.parametrize("answer", ["", "hello", "v=0\r\nm=audio", "v=0\r\n"])
async def test_an_answer_that_is_none_is_refused(peer: Peer, answer: str) -> None:
    await peer.create_offer()
    with pytest.raises(CallError, match="cannot be used") as caught:
        await peer.set_answer(answer)
    assert caught.value.failure is Failure.SIGNALING_REFUSED


async def test_a_host_without_a_network_reaches_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [])
    lonely = Peer(PacedTrack(SILENCE))
    offer = await lonely.create_offer()
    assert " 127.0.0.1 " in next(line for line in offer.splitlines() if "a=candidate" in line)
    await lonely.close()


def test_the_private_names_are_where_the_peer_expects_them() -> None:
    assert "self.transport._recv()" in inspect.getsource(RTCDtlsTransport)
    assert "self.transport._send(data)" in inspect.getsource(RTCDtlsTransport._send_rtp)
    assert "recipient._handle_rtcp_packet" in inspect.getsource(RTCDtlsTransport)
    assert "self._ssrc" in inspect.getsource(RTCRtpSender.__init__)
    assert "self.__rtp_exited = asyncio.Event()" in inspect.getsource(RTCRtpSender.__init__)
    assert "self._connection" in inspect.getsource(RTCIceTransport.__init__)
    assert "self._nominated" in inspect.getsource(aioice.ice.Connection.__init__)
    gather = inspect.signature(aioice.ice.Connection.get_component_candidates)
    assert list(gather.parameters) == ["self", "component", "addresses", "timeout"]


def test_a_sender_asks_our_function_how_loud_a_frame_is() -> None:
    assert "rtp.compute_audio_level_dbov(" in inspect.getsource(RTCRtpSender)
    frame = AudioFrame(format="s16", layout="mono", samples=480)
    frame.planes[0].update(struct.pack("=h", 3277) * 480)
    assert vars(aiortc.rtcrtpsender)["rtp"] is aiortc.rtp
    assert aiortc.rtp.compute_audio_level_dbov(frame) == -20
    assert aiortc.rtp.compute_audio_level_dbov.__module__ == "relay.caller.peer"
