"""The parts of the thin client that need no server; that it connects is shown where it is used."""

from random import Random

import pytest

from tests.lab.mutations import KINDS, Item
from tests.lab.thinclient import Answer
from tests.lab.thinsctp import chunk, packet, parse
from tests.lab.tone import loudness, tone
from tests.lab.usage import Usage
from tests.transceiver.sdp.samples import LOCAL, OFFER
from transceiver.sdp import read_offer


def test_an_answer_is_read() -> None:
    offer = read_offer(OFFER)
    answer = Answer.parse(offer.answer(offer.plan(), LOCAL))
    assert (answer.ufrag, answer.password) == (
        LOCAL.credentials[0].ufrag,
        LOCAL.credentials[0].password,
    )
    assert answer.address == LOCAL.candidates[0].address
    assert set(answer.fingerprints) == {LOCAL.fingerprint}


def test_a_packet_of_chunks_is_read_back() -> None:
    made = packet(7, chunk(1, 2, b"abc") + chunk(3, 0, b"") + chunk(4, 0, b"", length=0))
    assert list(parse(made)) == [(1, 2, b"abc"), (3, 0, b"")]


@pytest.mark.parametrize("kind", KINDS)
def test_mutations_are_repeatable_kept_and_of_all_sorts(kind: str) -> None:
    made, again = ([KINDS[kind](each) for _ in range(300)] for each in (Random(1), Random(1)))
    assert made == again
    assert [Item.load(item.dump()) for item in made] == made
    assert len(set(made)) > 200
    assert max(len(item.content) for item in made) < 2100


def test_a_tone_is_loud_and_junk_is_not() -> None:
    head = bytes((0x80, 111)) + bytes(10)
    packets = [head + payload for payload in tone()]
    assert min(loudness(packets)[5:]) > 4000
    assert loudness([b"", head, head + b"\xff" * 20, b"\x80\x63" + bytes(20)]) == [0.0] * 4


def test_the_least_of_two_moments() -> None:
    assert Usage(5, 2, 7, 900).least(Usage(4, 3, 6, 950)) == Usage(4, 2, 6, 900)
    assert Usage(5, 2, None, 900).least(Usage(4, 3, 6, 950)).tasks is None
