"""What a call is made of, by its offers: made before an answer is written, dropped if none is."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from relay.supervision import Faults
from relay.wire.endpoint import Endpoint
from relay.wire.transport import Candidate
from tests.lab.thinclient import ThinClient, new_identity
from transceiver.backend import EchoBackend
from transceiver.clock import Clock
from transceiver.dtls import Identity
from transceiver.errors import OfferError
from transceiver.media.audiopath import AudioPath
from transceiver.parts import Owner, Parts, Surroundings
from transceiver.plan import Credentials
from transceiver.quality import Quality
from transceiver.sdp import read_offer
from transceiver.server import Transceiver
from transceiver.steps import Steps
from transceiver.transport import MAX_RESTARTS

OWNER = cast("Owner", SimpleNamespace(broke=None, data_broke=None))
WHERE = [Candidate(Endpoint("192.0.2.9", 5000))]


@pytest.fixture
async def parts(transceiver: Transceiver) -> AsyncIterator[Parts]:
    numbers = iter(range(1000))
    identity = Identity.generate(datetime.now(UTC))
    around = Surroundings(
        transceiver.mux,
        Clock(transceiver.mux.send_many, transceiver.mux.backlog.note_turn),
        Faults(),
        Steps(),
        Quality(),
        lambda: Credentials(f"ufrag{next(numbers)}", "password-of-24-characters"),
        lambda: identity,
    )
    made = Parts(around, WHERE, EchoBackend("rtc_x"), None)
    yield made
    for each in made.transports:
        each.close()
    assert not transceiver.mux._by_ufrag


@pytest.fixture
def offer() -> str:
    return ThinClient(new_identity(), random.Random(1), data=True).offer


def ufrags(transceiver: Transceiver) -> set[bytes]:
    return set(transceiver.mux._by_ufrag)


async def test_an_offer_makes_what_it_has(parts: Parts, offer: str) -> None:
    answer = parts.answer(read_offer(offer), OWNER)
    assert len(parts.transports) == 1
    assert parts.voice is not None
    assert parts.association is not None
    assert "a=ice-ufrag:ufrag0" in answer
    assert not parts.are_connected
    assert not parts.begin()


async def test_sections_that_are_not_bundled_have_a_transport_each(
    parts: Parts, offer: str
) -> None:
    answer = parts.answer(read_offer(offer.replace("a=group:BUNDLE 0 1\r\n", "")), OWNER)
    assert len(parts.transports) == 2
    assert "a=ice-ufrag:ufrag0" in answer
    assert "a=ice-ufrag:ufrag1" in answer


async def test_a_later_offer_keeps_what_is_there_and_its_answer_counts_up(
    parts: Parts, offer: str
) -> None:
    first = parts.answer(read_offer(offer), OWNER)
    voice, association, transports = parts.voice, parts.association, list(parts.transports)
    assert parts.answer(read_offer(offer), OWNER) == first
    held = parts.answer(read_offer(offer.replace("a=sendrecv", "a=recvonly")), OWNER)
    assert (parts.voice, parts.association, parts.transports) == (voice, association, transports)
    versions = [each.splitlines()[1].split()[2] for each in (first, held)]
    assert versions == ["1", "2"]


async def test_new_credentials_of_the_client_are_a_restart(
    parts: Parts, offer: str, transceiver: Transceiver
) -> None:
    parts.answer(read_offer(offer), OWNER)
    again = ThinClient(new_identity(), random.Random(2), data=True).offer
    fingerprint = next(each for each in offer.splitlines() if each.startswith("a=fingerprint"))
    again = "\r\n".join(
        fingerprint if each.startswith("a=fingerprint") else each for each in again.splitlines()
    )
    assert "a=ice-ufrag:ufrag1" in parts.answer(read_offer(again), OWNER)
    assert ufrags(transceiver) == {b"ufrag0", b"ufrag1"}  # the old one for a while


@pytest.mark.parametrize("breaks", [OfferError("no"), ZeroDivisionError()])
async def test_what_fails_while_it_is_made_leaves_nothing(
    parts: Parts,
    offer: str,
    transceiver: Transceiver,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Exception,
) -> None:
    def raises(*_: object, **__: object) -> None:
        raise breaks

    with monkeypatch.context() as patched:
        patched.setattr(AudioPath, "__init__", raises)
        with pytest.raises(type(breaks)):
            parts.answer(read_offer(offer), OWNER)
    assert (parts.transports, parts.voice, ufrags(transceiver)) == ([], None, set())
    assert "a=ice-ufrag" in parts.answer(read_offer(offer), OWNER)


async def test_a_refused_restart_leaves_the_old_credentials_alone(
    parts: Parts, offer: str, transceiver: Transceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.answer(read_offer(offer), OWNER)
    changed = offer.replace("a=ice-pwd:", "a=ice-pwd:0")

    def raises(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("transceiver.sdp.Offer.answer", raises)
        with pytest.raises(ZeroDivisionError):
            parts.answer(read_offer(changed), OWNER)
    assert ufrags(transceiver) == {b"ufrag0"}


async def test_data_that_ends_may_begin_again(parts: Parts, offer: str) -> None:
    parts.answer(read_offer(offer), OWNER)
    first = parts.association
    parts.answer(read_offer(offer.replace("m=application 9", "m=application 0")), OWNER)
    assert parts.association is None
    parts.answer(read_offer(offer), OWNER)
    assert parts.association is not None
    assert parts.association is not first


NEW = ("newUFRAG", "new-password-of-the-client".replace("-", "+"))


async def test_a_restart_without_an_offer_tells_the_ice_of_the_answer(
    parts: Parts, offer: str, transceiver: Transceiver
) -> None:
    answer = parts.answer(read_offer(offer), OWNER)
    assert parts.ice_session == "ufrag0"
    fragment = parts.restart(*NEW)
    assert fragment is not None
    assert "a=ice-ufrag:ufrag1" in fragment
    assert set(fragment.splitlines()) - set(answer.splitlines()) == {"a=ice-ufrag:ufrag1"}
    assert parts.ice_session == "ufrag1"
    assert ufrags(transceiver) == {b"ufrag0", b"ufrag1"}  # the old one for a while


async def test_an_offer_after_a_restart_sees_what_the_restart_has_changed(
    parts: Parts, offer: str
) -> None:
    parts.answer(read_offer(offer), OWNER)
    parts.restart(*NEW)
    lines = [
        next(
            (
                f"a={name}:{value}"
                for name, value in zip(("ice-ufrag", "ice-pwd"), NEW, strict=True)
                if each.startswith(f"a={name}:")
            ),
            each,
        )
        for each in offer.splitlines()
    ]
    again = parts.answer(read_offer("\r\n".join(lines)), OWNER)
    assert "a=ice-ufrag:ufrag1" in again, "it is no restart: these are the credentials of now"
    assert again.splitlines()[1].split()[2] == "1", "the answer says what the fragment said"


async def test_credentials_of_now_and_of_before_restart_nothing(parts: Parts, offer: str) -> None:
    parts.answer(read_offer(offer), OWNER)
    first = parts.plan.transports[0]
    assert parts.restart(first.ufrag, first.password) is None
    assert parts.restart(*NEW) is not None
    assert parts.restart(*NEW) is None
    assert parts.restart(first.ufrag, first.password) is None, "a fragment that came late"
    assert parts.ice_session == "ufrag1"


@pytest.mark.parametrize(
    ("change", "credentials", "code"),
    [
        ("a=group:BUNDLE 0 1\r\n", NEW, "not_bundled"),
        ("", ("abc", NEW[1]), "invalid_sdp"),
        ("", (NEW[0], "short"), "invalid_sdp"),
    ],
)
async def test_a_restart_that_cannot_be_is_refused_and_changes_nothing(
    *,
    parts: Parts,
    offer: str,
    transceiver: Transceiver,
    change: str,
    credentials: tuple[str, str],
    code: str,
) -> None:
    parts.answer(read_offer(offer.replace(change, "")), OWNER)
    before = ufrags(transceiver), parts.plan
    with pytest.raises(OfferError) as refused:
        parts.restart(*credentials)
    assert refused.value.code == code
    assert (ufrags(transceiver), parts.plan) == before


async def test_restarts_are_bounded(parts: Parts, offer: str, transceiver: Transceiver) -> None:
    parts.answer(read_offer(offer), OWNER)
    for number in range(MAX_RESTARTS):
        assert parts.restart(f"ufrag{number}", NEW[1]) is not None
    with pytest.raises(OfferError) as refused:
        parts.restart(*NEW)
    assert refused.value.code == "too_many_restarts"
    assert len(ufrags(transceiver)) == MAX_RESTARTS + 1
