"""What a call does with what raises, and with its end; a client that is real on the wire."""

import gc
import json
import random
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.tone import tone
from transceiver.backend import EchoBackend, Wanted
from transceiver.call import MAX_FAULTS, Call
from transceiver.calls import CallRequest
from transceiver.dtls import Identity, fingerprint
from transceiver.errors import OfferError
from transceiver.sdp import read_offer
from transceiver.server import Transceiver

Until = Callable[[Callable[[], Any]], Awaitable[None]]


class Caller:
    """A client and its call."""

    def __init__(self, client: ThinClient, call: Call) -> None:
        self.client = client
        self.call = call
        self.words = tone(seconds=0.2)

    def talk(self) -> None:
        for word in self.words:
            self.client.speak(word)


@pytest.fixture
async def dial(transceiver: Transceiver) -> AsyncIterator[Callable[..., Awaitable[Caller]]]:
    """Connects clients to the transceiver."""
    usual, generator, made = new_identity(), random.Random(3), []

    async def place(
        *,
        data: bool = True,
        negotiated: int | None = None,
        identity: Identity = usual,
        offer: Callable[[str], str] = str,
    ) -> Caller:
        client = ThinClient(identity, generator, data=data)
        where = [Candidate(transceiver.address)]
        call, answer = transceiver.calls.create(
            CallRequest(offer(client.offer), where, "a client", negotiated)
        )
        made.append(client)
        await client.connect(answer)
        return Caller(client, call)

    yield place
    for each in made:
        each.close(goodbye=False)


Dial = Callable[..., Awaitable[Caller]]


def breaking(*_: object) -> None:
    raise ZeroDivisionError


async def test_it_counts_its_steps_and_ends_once(
    transceiver: Transceiver, dial: Dial, until: Until
) -> None:
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    caller.talk()
    await until(lambda: caller.client.heard.rtp > 5)
    stats = caller.call.stats()
    assert list(stats["steps"]) == ["answer", "first_check", "dtls", "first_audio"]
    assert stats["rtp"]["received"] == len(caller.words)
    caller.call.end("hung up")
    caller.call.end("hung up again")
    assert caller.call.stats()["state"] == "ended"
    assert len(transceiver.calls) == 0
    assert transceiver.calls.load()["sessions"] == 0
    assert transceiver.mux.sources == 0
    assert not transceiver.mux._by_ufrag
    await until(lambda: caller.client.dtls.state.name == "CLOSED")


def without_srtp() -> Identity:
    """What offers no profile of SRTP in its handshake."""
    made = new_identity()
    made.context = SSL.Context(SSL.DTLS_METHOD)
    made.context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    made.context.use_certificate(certificate)
    made.context.use_privatekey(key)
    made.fingerprint = fingerprint(certificate, "sha-256")
    return made


async def test_audio_without_a_profile_of_srtp_ends_with_a_reason(dial: Dial, until: Until) -> None:
    caller = await dial(identity=without_srtp())
    await until(lambda: caller.call.state == "ended")
    reason = caller.call.stats()["reason"]
    assert reason.startswith("DTLS failed: no SRTP profile in common")
    assert "SRTP_AES128_CM_SHA1_80" in reason
    await until(lambda: caller.client.dtls.state.name == "CLOSED")


async def test_data_channels_need_no_srtp_and_audio_cannot_be_added_to_them(
    dial: Dial, until: Until
) -> None:
    def data_alone(sdp: str) -> str:
        return sdp.replace("m=audio 9 ", "m=audio 0 ")

    caller = await dial(identity=without_srtp(), offer=data_alone)
    await until(lambda: caller.call.state == "connected")
    with pytest.raises(OfferError, match="no SRTP"):
        caller.call.answer(read_offer(caller.client.offer))
    assert caller.call.state == "connected"


@pytest.mark.parametrize("part", ["audio", "back end"])
async def test_a_part_that_goes_on_raising_ends_the_call_with_a_reason(
    dial: Dial, until: Until, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    caplog.set_level("INFO", logger="transceiver")
    caller, other = await dial(), await dial()
    await until(lambda: caller.call.state == other.call.state == "connected")
    for _ in range(MAX_FAULTS - 1):
        caller.call.broke(part, ZeroDivisionError())
    assert caller.call.state == "connected"
    caller.call.broke(part, ZeroDivisionError())
    assert caller.call.state == "ended"
    assert f"ended: its {part} broke" in caplog.text
    assert caplog.text.count("ZeroDivisionError") == 1
    assert other.call.state == "connected"


async def test_data_that_goes_on_raising_ends_the_data_only(dial: Dial, until: Until) -> None:
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    for _ in range(MAX_FAULTS):
        caller.call.data_broke(ZeroDivisionError())
    assert caller.call.state == "connected"
    caller.talk()
    await until(lambda: caller.client.heard.rtp > 5)
    caller.client.send_data(bytes(40))  # to nobody
    caller.talk()
    await until(lambda: caller.client.heard.rtp > 12)


@pytest.mark.parametrize("name", ["channel", "message"])
async def test_what_a_back_end_raises_costs_what_it_was_told(
    transceiver: Transceiver, dial: Dial, until: Until, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    caller = await dial(negotiated=0)
    monkeypatch.setattr(EchoBackend, name, breaking)
    await until(lambda: caller.call.state == "connected")
    channel: Any = None
    caller.call.channel(channel)
    caller.call.message(channel, "x")
    counted = transceiver.mux.counters.as_dict()
    assert counted["session_part_broke"] >= 1
    assert caller.call.state == "connected"


async def test_who_looks_on_has_no_channel_of_the_clients(
    dial: Dial, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    monkeypatch.setattr(EchoBackend, "channel", breaking)
    onlooker: Any = Channel()
    assert caller.call.attach(onlooker)
    caller.call.message(onlooker, "x")
    assert [json.loads(onlooker.sent[0])["type"], *onlooker.sent[1:]] == ["session.created", "x"]


class Channel:
    """A channel that keeps what is sent."""

    label = "beside"
    longest = 0
    is_open = True

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: str | bytes) -> bool:
        self.sent.append(message)
        return True

    def close(self) -> None:
        self.is_open = False


async def test_an_end_that_raises_somewhere_is_an_end(
    transceiver: Transceiver, dial: Dial, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    monkeypatch.setattr(EchoBackend, "close", breaking)
    monkeypatch.setattr(caller.call, "_say_goodbye", breaking)
    caller.call.end("hung up")
    assert (len(transceiver.calls), transceiver.mux.sources) == (0, 0)


async def test_a_refused_offer_leaves_nothing_and_a_refused_later_one_changes_nothing(
    transceiver: Transceiver, dial: Dial, until: Until
) -> None:
    with pytest.raises(OfferError):
        transceiver.calls.create(CallRequest("v=0\r\n", [Candidate(Endpoint("127.0.0.1", 9))]))
    assert transceiver.calls.load()["sessions"] == 0
    assert not transceiver.mux._by_ufrag
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    before, ufrags = caller.call.stats()["ufrag"], set(transceiver.mux._by_ufrag)
    without = caller.client.offer.replace("a=fingerprint:", "a=thumbprint:")
    with pytest.raises(OfferError):
        caller.call.answer(read_offer(without))
    assert caller.call.stats()["ufrag"] == before
    assert set(transceiver.mux._by_ufrag) == ufrags
    caller.talk()
    await until(lambda: caller.client.heard.rtp > 5)


async def test_a_client_that_holds_hears_nothing_and_resumes(dial: Dial, until: Until) -> None:
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    caller.talk()
    await until(lambda: caller.client.heard.rtp > 5)
    held = caller.client.offer.replace("a=sendrecv", "a=inactive")
    assert "a=inactive" in caller.call.answer(read_offer(held))
    assert "a=sendrecv" in caller.call.answer(read_offer(caller.client.offer))
    heard = caller.client.heard.rtp
    caller.talk()
    await until(lambda: caller.client.heard.rtp > heard + 5)


async def test_time_outs_are_looked_at(
    dial: Dial, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    caller.call.look(caller.call._mux.clock())
    assert caller.call.state == "connected"
    monkeypatch.setattr("transceiver.call.CONSENT_LIFETIME", 0.0)
    caller.call.look(caller.call._mux.clock() + 1.0)
    assert caller.call.state == "ended"


async def test_an_ended_call_frees_its_memory_without_the_garbage_collector(
    transceiver: Transceiver, dial: Dial, until: Until
) -> None:
    caller = await dial()
    await until(lambda: caller.call.state == "connected")
    await caller.client.sctp.associate()
    caller.talk()
    await until(lambda: caller.client.heard.rtp > 5)
    parts = caller.call._parts
    assert parts.voice is not None
    assert parts.association is not None
    left = [
        weakref.ref(each)
        for each in (caller.call, parts, parts.voice, parts.association, *parts.transports)
    ]
    gc.collect()
    gc.disable()
    try:
        caller.call.end("hung up")
        del caller.call, parts
        await until(lambda: not any(each() for each in left))
    finally:
        gc.enable()
    assert len(transceiver.calls) == 0


@pytest.mark.parametrize(
    ("resume", "end", "kept"),
    [
        (None, lambda calls, call: calls.end(call.id), False),
        (None, lambda calls, call: calls.end(call.id, kept=True), True),
        (None, lambda _, call: call.closed("closed by the client"), False),
        (None, lambda _, call: call.look(time.monotonic() + 1000), False),
        ("r" * 43, lambda _, call: call.look(time.monotonic() + 1000), True),
    ],
)
async def test_the_back_end_is_told_whether_somebody_may_go_on(
    transceiver: Transceiver,
    monkeypatch: pytest.MonkeyPatch,
    resume: str | None,
    end: Callable[..., Any],
    kept: bool,
) -> None:
    told = []
    monkeypatch.setattr(EchoBackend, "close", lambda _, *, kept: told.append(kept))
    offer = ThinClient(new_identity(), random.Random(3)).offer
    wanted = CallRequest(offer, [Candidate(transceiver.address)], wanted=Wanted(resume=resume))
    call, _ = transceiver.calls.create(wanted)
    end(transceiver.calls, call)
    assert (told, call.state) == ([kept], "ended")


async def test_a_client_that_fell_silent_and_a_transceiver_that_stops_may_go_on(
    transceiver: Transceiver, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(EchoBackend, "close", lambda _, *, kept: told.append(kept))
    first = await dial()
    first.call.look(time.monotonic() + 1000)
    assert first.call.stats()["reason"] == "consent lost"
    await dial()
    await transceiver.calls.close()
    assert told == [True, True]
