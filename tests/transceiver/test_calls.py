"""Real calls over loopback, placed through the control API, without a relay."""

import asyncio
import json
import random
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aioice import Connection
from aiortc import RTCCertificate, RTCRtpSender, RTCSessionDescription
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target, open_ufrag
from relay.wire.transport import Candidate, Transport
from transceiver.calls import CallRequest
from transceiver.server import Transceiver

MakeCaller = Callable[..., Any]
Until = Callable[[Callable[[], Any]], Awaitable[None]]
Rewrite = Callable[[str], str]


async def test_a_call_hears_itself(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(50))
    stats = await client.stats()
    assert stats["state"] == "connected"
    assert stats["client"] is None, "no relay has announced it"
    assert stats["rtp"]["received"] >= 50
    assert stats["rtp"]["lost"] == 0
    assert stats["rtp"]["sent"] >= 50
    assert 0 < stats["setup_seconds"] < stats["age_seconds"]


async def test_the_answer_names_only_the_given_candidates_and_a_route_to_us(
    caller: MakeCaller, keys: KeyRing, target: Target
) -> None:
    client, vip = caller(), Endpoint("203.0.113.10", 3478)
    over_tcp = [Candidate(vip._replace(port=port), Transport.TCP) for port in (3478, 443)]
    await client.call(vip, *over_tcp)
    lines = client.answer.splitlines()
    candidates = [line for line in lines if line.startswith("a=candidate:")]
    # A priority is that of the example in RFC 6544, appendix B, but for the place in the list.
    expected = [
        "a=candidate:0 1 udp 2130706431 203.0.113.10 3478 typ host",
        "a=candidate:1 1 tcp 2124414719 203.0.113.10 3478 typ host tcptype passive",
        "a=candidate:2 1 tcp 2124414463 203.0.113.10 443 typ host tcptype passive",
    ]
    assert candidates[:3] == expected
    assert set(candidates) == set(expected)
    assert "c=IN IP4 203.0.113.10" in lines
    assert lines[next(n for n, line in enumerate(lines) if line[:2] == "m=")].startswith(
        "m=audio 3478 "
    )
    assert "a=ice-lite" in lines
    (ufrag,) = {line.partition(":")[2] for line in lines if line.startswith("a=ice-ufrag:")}
    assert open_ufrag(ufrag, keys).target == target
    (password,) = {line.partition(":")[2] for line in lines if line.startswith("a=ice-pwd:")}
    assert len(password) >= 24


async def test_the_events_channel_speaks_first_and_answers(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: len(client.messages) == 1)
    created = json.loads(client.messages[0])
    assert created["type"] == "session.created"
    assert created["session"]["id"] == client.id

    client.channel.send(
        json.dumps({"type": "session.update", "session": {"voice": "x", "id": "y"}})
    )
    await until(lambda: len(client.messages) == 2)
    updated = json.loads(client.messages[1])
    assert updated["type"] == "session.updated"
    assert updated["session"]["voice"] == "x"
    assert updated["session"]["id"] == client.id, "a client cannot rename its session"
    assert updated["event_id"] != created["event_id"]

    client.channel.send("not an event")
    await until(lambda: client.messages[2:] == ["not an event"])


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ('{"type": "session.update"}', "error"),
        ('{"type": "session.update", "session": {"x": "%s"}}' % ("y" * 70_000), "error"),
        ('{"type": "session.update", "session": {}}', "session.updated"),
        ('{"type": "response.create"}', "response.create"),
    ],
)
async def test_events_are_answered(
    transceiver: Transceiver, caller: MakeCaller, until: Until, message: str, kind: str
) -> None:
    client = caller(audio=False)
    await client.call(transceiver.address)
    await until(lambda: client.messages)
    client.channel.send("[" * 100_000)  # deeper than a JSON parser goes
    client.channel.send(message)
    await until(lambda: len(client.messages) == 3)
    assert json.loads(client.messages[2])["type"] == kind


async def test_hanging_up_ends_the_session_on_both_sides(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(5))
    status, stats = await client.request("DELETE", f"/v1/sessions/{client.id}")
    assert (status, stats["state"]) == (200, "ended")
    assert stats["rtp"]["sent"] > 0
    await until(lambda: client.pc.connectionState == "closed")
    assert (await client.request("GET", f"/v1/sessions/{client.id}"))[0] == 404
    assert (await client.request("DELETE", f"/v1/sessions/{client.id}"))[0] == 404
    assert transceiver.mux.sources == 0


async def test_a_client_that_closes_ends_the_session(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(5))
    await client.pc.close()
    await until(lambda: len(transceiver.calls) == 0)
    assert transceiver.mux.sources == 0


async def test_a_client_that_never_comes_ends_the_session(
    transceiver: Transceiver,
    caller: MakeCaller,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transceiver.admission.FIRST_CHECK", 0.1)
    await caller().call(Endpoint("127.0.0.1", 9))
    assert len(transceiver.calls) == 1
    await until(lambda: len(transceiver.calls) == 0)


async def test_a_session_that_breaks_leaves_nothing_and_harms_nobody(
    transceiver: Transceiver,
    caller: MakeCaller,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, other = caller(), caller()
    await client.call(transceiver.address)
    await other.call(transceiver.address)
    await until(lambda: client.hears(5) and other.hears(5))
    broken, _ = transceiver.calls

    def breaks(_: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(broken, "look", breaks)
    await until(lambda: len(transceiver.calls) == 1)
    await until(lambda: other.hears(50))
    assert transceiver.mux.counters.as_dict()["session_broke"] == 1
    await until(lambda: transceiver.mux.sources == 1)  # it has let go of its addresses
    (said,) = [
        each
        for each in caplog.records
        if each.name == "transceiver.server" and each.levelname == "ERROR"
    ]
    assert "a session failed: ZeroDivisionError" in said.getMessage()


async def test_a_session_has_no_task_and_leaves_none(
    transceiver: Transceiver, caller: MakeCaller
) -> None:
    client = caller()
    await client.pc.setLocalDescription(await client.pc.createOffer())
    before = asyncio.all_tasks()
    offer, candidate = client.pc.localDescription.sdp, Endpoint("127.0.0.1", 9)
    session, _ = transceiver.calls.create(CallRequest(offer, [Candidate(candidate)]))
    assert asyncio.all_tasks() == before
    transceiver.calls.end(session.id)
    assert asyncio.all_tasks() == before


async def test_a_client_that_vanishes_ends_the_session(
    transceiver: Transceiver,
    caller: MakeCaller,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(5))
    monkeypatch.setattr("transceiver.call.CONSENT_LIFETIME", 0.5)
    await client.pc.getSenders()[0].transport.transport.stop()  # no DTLS close_notify
    await until(lambda: len(transceiver.calls) == 0)


async def test_without_consent_nothing_is_sent_but_media_keeps_the_session(
    transceiver: Transceiver,
    caller: MakeCaller,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(5))
    monkeypatch.setattr("transceiver.consent.CONSENT_LIFETIME", 0.0)
    monkeypatch.setattr("transceiver.call.CONSENT_LIFETIME", 2.0)
    counted = transceiver.mux.counters.as_dict
    await until(lambda: counted().get("no_consent", 0) > 150)  # 3 s of media
    heard = len(client.loudness)
    assert (await client.stats())["state"] == "connected"
    await until(lambda: counted()["no_consent"] > 200)
    assert len(client.loudness) == heard


async def test_a_lost_packet_is_counted_and_costs_no_frame(
    transceiver: Transceiver, caller: MakeCaller, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(20))
    (session,) = transceiver.calls
    (transport,) = session._parts.transports
    deliver = transport.datagram

    def lose_one_rtp_packet(data: bytes, source: Endpoint) -> None:
        if data[0] > 127 and not 192 <= data[1] < 224:
            monkeypatch.undo()
        else:
            deliver(data, source)

    monkeypatch.setattr(transport, "datagram", lose_one_rtp_packet)
    await until(lambda: session.stats()["rtp"]["lost"] == 1)
    heard = len(client.loudness)
    await until(lambda: len(client.loudness) > heard + 30)

    def answers_at_once() -> bool:
        rtp = session.stats()["rtp"]
        return bool(rtp["received"] - rtp["sent"] <= 3)

    # With aiortc's own buffer, 14 frames would be missing for the rest of the call.
    await until(answers_at_once)
    assert session.stats()["rtp"]["lost"] == 1


async def test_two_calls_at_once_stay_apart(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    clients = [caller(), caller()]
    for number, client in enumerate(clients):
        await client.call(transceiver.address)
        await until(lambda client=client: client.messages)  # type: ignore[misc]
        client.channel.send(f"I am {number}")
    for number, client in enumerate(clients):
        await until(lambda client=client: client.hears(20))  # type: ignore[misc]
        assert client.messages[1:] == [f"I am {number}"]
    await clients[0].pc.close()
    heard = len(clients[1].loudness)
    await until(lambda: len(clients[1].loudness) > heard + 10)


# --- what clients offer ---


@pytest.mark.parametrize(
    ("offered", "answered"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")]
)
async def test_every_dtls_setup_of_an_offer_leads_to_audio(
    transceiver: Transceiver,
    caller: MakeCaller,
    until: Until,
    offered: str,
    answered: str,
) -> None:
    client = caller()
    offer = setup_attribute(offered)
    await client.call(transceiver.address, offer=offer)
    assert f"a=setup:{answered}" in client.answer
    await until(lambda: client.hears(10))


@pytest.mark.parametrize("name", ["opus", "PCMU", "PCMA"])
async def test_every_codec_is_echoed(
    transceiver: Transceiver, caller: MakeCaller, until: Until, name: str
) -> None:
    client = caller()
    codecs = RTCRtpSender.getCapabilities("audio").codecs
    wanted = [codec for codec in codecs if codec.name == name]
    client.pc.getTransceivers()[0].setCodecPreferences(wanted)
    await client.call(transceiver.address)
    await until(lambda: client.hears(10))


@pytest.mark.parametrize(
    ("offered", "answered"), [("sendonly", "recvonly"), ("recvonly", "sendonly")]
)
async def test_a_client_that_only_sends_or_only_listens_is_connected(
    transceiver: Transceiver, caller: MakeCaller, until: Until, offered: str, answered: str
) -> None:
    client = caller()
    client.pc.getTransceivers()[0].direction = offered
    await client.call(transceiver.address)
    assert f"a={answered}" in client.answer
    await until(lambda: client.messages)
    assert client.loudness == []


@pytest.mark.parametrize("setup", ["actpass", "passive"])
async def test_a_client_with_an_rsa_certificate_hears_itself(
    transceiver: Transceiver, caller: MakeCaller, until: Until, setup: str
) -> None:
    client = caller()
    certificate = rsa_certificate()
    client.pc._RTCPeerConnection__certificates = [certificate]
    for sender in client.pc.getSenders():
        sender.transport._RTCDtlsTransport__local_certificate = certificate
    await client.call(transceiver.address, offer=setup_attribute(setup))
    await until(lambda: client.hears(10))


async def test_an_offer_without_bundle_gets_a_transport_for_each_section(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    def without_group(sdp: str) -> str:
        return "".join(
            line for line in sdp.splitlines(keepends=True) if not line.startswith("a=group")
        )

    client = caller()
    await client.call(transceiver.address, offer=without_group)
    assert "a=group" not in client.answer
    ufrags = {line for line in client.answer.splitlines() if line.startswith("a=ice-ufrag:")}
    assert len(ufrags) == 2
    await until(lambda: client.hears(10) and client.messages)


async def test_video_is_rejected_and_the_rest_works(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    client = caller()
    client.pc.addTransceiver("video")

    def without_video(answer: str) -> str:
        # aiortc cannot read an answer that rejects a section, so its client gets the rest as if
        # it had been inactive.
        sections = answer.split("m=")
        audio = sections[1]
        video = next(i for i, section in enumerate(sections) if section.startswith("video 0 "))
        ice = [line for line in audio.splitlines() if line.split(":")[0] in TRANSPORT_ATTRIBUTES]
        sections[video] += "\r\n".join([*ice, "a=rtcp-mux", "a=rtpmap:97 VP8/90000", ""])
        return "m=".join(sections).replace("BUNDLE 0 2", "BUNDLE 0 1 2")

    await client.call(transceiver.address, answer=without_video)
    assert "m=video 0 " in client.answer
    assert "a=group:BUNDLE 0 2" in client.answer
    await until(lambda: client.hears(10) and client.messages)


def setup_attribute(value: str) -> Rewrite:
    """Rewrites a=setup in a description."""
    return lambda sdp: "".join(
        f"a=setup:{value}\r\n" if line.startswith("a=setup:") else line
        for line in sdp.splitlines(keepends=True)
    )


TRANSPORT_ATTRIBUTES = {"a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup"}


def rsa_certificate() -> RTCCertificate:
    """A certificate as GStreamer makes it, in a context that can use it."""

    class RsaCertificate(RTCCertificate):
        def _create_ssl_context(self, srtp_profiles: Any) -> SSL.Context:
            context = super()._create_ssl_context(srtp_profiles)
            # As server it can only use the second one, as client it takes ours with the first.
            context.set_cipher_list(b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
            return context

    key = rsa.generate_private_key(65537, 2048)
    ours = RTCCertificate.generateCertificate()._cert
    builder = x509.CertificateBuilder(ours.issuer, ours.subject, key.public_key())
    certificate = (
        builder.serial_number(1)
        .not_valid_before(ours.not_valid_before_utc)
        .not_valid_after(ours.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    return RsaCertificate(key, certificate)  # type: ignore[arg-type]  # aiortc names EC keys only


# --- ICE restart ---


async def test_an_ice_restart_keeps_the_audio(
    transceiver: Transceiver, caller: MakeCaller, until: Until
) -> None:
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(20))
    before = await client.stats()
    await restart(client)
    heard = len(client.loudness)
    await until(lambda: len(client.loudness) > heard + 50)
    after = await client.stats()
    assert client.hears(50)
    assert after["ufrag"] != before["ufrag"]
    assert after["path"] != before["path"], "the media goes to the client's new socket"
    assert after["rtp"]["lost"] == 0
    client.channel.send("still there")
    await until(lambda: "still there" in client.messages)


async def restart(client: Any) -> None:
    """What aiortc cannot do by itself: move its client to a new ICE connection."""
    ice = client.pc.getSenders()[0].transport.transport
    old, new = ice._connection, Connection(ice_controlling=True)
    await new.gather_candidates()
    ice.iceGatherer._connection = ice._connection = new
    ice.iceGatherer._remote_candidates_end = False
    await client.pc.setLocalDescription(await client.pc.createOffer())
    body = {"sdp": client.pc.localDescription.sdp}
    status, reply = await client.request("POST", f"/v1/sessions/{client.id}/offer", body)
    assert status == 200, reply
    await client.pc.setRemoteDescription(RTCSessionDescription(reply["sdp"], "answer"))
    lines = dict(
        line.split(":", 1)
        for line in reply["sdp"].splitlines()
        if line.startswith("a=ice-") and ":" in line
    )
    new.remote_username, new.remote_password = lines["a=ice-ufrag"], lines["a=ice-pwd"]
    new.remote_is_lite = True
    await new.connect()
    ice._send = new.send

    async def pump() -> None:
        # The client's DTLS transport goes on waiting for the old connection's queue.
        try:
            while True:
                old._queue.put_nowait((await new.recv(), 1))
        except ConnectionError:
            await old.close()

    client._tasks.add(asyncio.ensure_future(pump()))
    old._query_consent_task.cancel()


# --- junk ---


async def test_junk_leaves_nothing_behind_and_the_next_call_works(
    transceiver: Transceiver, caller: MakeCaller, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="transceiver")
    generator = random.Random(3)
    counted = transceiver.mux.counters.as_dict
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        for _ in range(1000):
            attacker.sendto(generator.randbytes(generator.randrange(1, 1400)), transceiver.address)
        client_hello = bytes([22, 254, 255]) + secrets.token_bytes(200)
        attacker.sendto(client_hello, transceiver.address)
        await until(lambda: sum(counted().values()) >= 1001)
        attacker.settimeout(0.1)
        with pytest.raises(TimeoutError):
            attacker.recv(2048)
    assert transceiver.mux.sources == 0
    assert len(transceiver.calls) == 0
    assert len(caplog.records) < 20
    client = caller()
    await client.call(transceiver.address)
    await until(lambda: client.hears(10))
