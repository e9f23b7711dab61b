"""Whatever a client writes ends in an answer by the rules or in an OfferError, in linear time."""

import random
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transceiver.sdp.reader import check
from tests.transceiver.sdp.samples import (
    AUDIO,
    DATA,
    DIGEST,
    GROUP,
    LOCAL,
    OFFER,
    REAL,
    SESSION,
    TRANSPORT,
)
from transceiver.errors import OfferError
from transceiver.plan import Plan
from transceiver.sdp import MAX_SIZE, read_offer
from transceiver.sdp.syntax import MAX_SECTIONS

Lines = list[str]
ROUNDS = 100  # of each seed
ODD = [
    *("", " ", ":", "/", "-1", "0", "9" * 400, "65536", "\0", "\r", "\u2028", "\u0661", "\ud800"),
    *("a", "*", "x" * 5000, "=", "AA:" * 100, "%s%n", "\u00e4", "inactive", "72", "0.0.0.0", ";=;"),
]
_NUMBER = re.compile(r"[0-9]+")


def tried(text: str, previous: Plan | None = None) -> Plan | None:
    """The plan of an offer whose answer has been checked; None when it was refused."""
    try:
        offer = read_offer(text)
        plan = offer.plan(previous)
    except OfferError as error:
        words = str(error)
    else:
        words = ""
    if words:
        assert words.isprintable()
        assert words.isascii()
        assert len(words) < 400
        return None
    answer = offer.answer(plan, LOCAL)
    check(text, answer)
    assert offer.answer(offer.plan(plan), LOCAL, answer) == answer
    return plan


def emptied(lines: Lines, at: int) -> Lines:
    return [*lines[:at], lines[at].split(":")[0] + ":", *lines[at + 1 :]]


def without_value(lines: Lines, at: int) -> Lines:
    return [*lines[:at], lines[at].split(":")[0], *lines[at + 1 :]]


def to_session(lines: Lines, at: int) -> Lines:
    rest = [*lines[:at], *lines[at + 1 :]]
    first = next((index for index, line in enumerate(rest) if line.startswith("m=")), len(rest))
    return [*rest[:first], lines[at], *rest[first:]]


# What is done to each line of each real offer.
CHANGES: dict[str, Callable[[Lines, int], Lines]] = {
    "left out": lambda lines, at: [*lines[:at], *lines[at + 1 :]],
    "twice": lambda lines, at: [*lines[: at + 1], *lines[at:]],
    "a hundred times": lambda lines, at: [*lines[:at], *[lines[at]] * 100, *lines[at + 1 :]],
    "emptied": emptied,
    "without its value": without_value,
    "cut": lambda lines, at: [*lines[:at], lines[at][: len(lines[at]) // 2], *lines[at + 1 :]],
    "the text ends in it": lambda lines, at: [*lines[:at], lines[at][:-1]],
    "huge": lambda lines, at: [*lines[:at], lines[at] + "9a:" * 5000, *lines[at + 1 :]],
    "to the session": to_session,
    "to the last section": lambda lines, at: [*lines[:at], *lines[at + 1 :], lines[at]],
    "numbers changed": lambda lines, at: [
        *lines[:at],
        _NUMBER.sub(lambda found: str(int(found[0]) + 64), lines[at]),
        *lines[at + 1 :],
    ],
    "in capitals": lambda lines, at: [
        *lines[:at],
        lines[at][:2] + lines[at][2:].upper(),
        *lines[at + 1 :],
    ],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", REAL)
def test_each_line_of_a_real_offer_is_changed(name: str, change: str) -> None:
    lines = REAL[name].split("\r\n")[:-1]
    first = tried(REAL[name])
    for at in range(len(lines)):
        text = "".join(f"{line}\r\n" for line in CHANGES[change](lines, at))
        tried(text)
        tried(text, first)


def mutated(lines: Lines, rng: random.Random) -> Lines:
    at = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:  # a line of another client
            other = REAL[rng.choice(list(REAL))].split("\r\n")
            return [*lines[:at], rng.choice(other), *lines[at:]]
        case 1:  # a word that is odd
            words = re.split(r"([ :/=;])", lines[at])
            words[rng.randrange(len(words))] = rng.choice(ODD)
            return [*lines[:at], "".join(words), *lines[at + 1 :]]
        case 2:  # two lines change places
            with_other = list(lines)
            other_at = rng.randrange(len(lines))
            with_other[at], with_other[other_at] = lines[other_at], lines[at]
            return with_other
        case 3:  # a piece is said twice
            end = rng.randrange(at, min(at + 30, len(lines)) + 1)
            return [*lines[:end], *lines[at:end], *lines[end:]]
        case 4:  # a piece is missing
            return [*lines[:at], *lines[at + rng.randrange(1, 10) :]] or lines
        case _:
            return CHANGES[rng.choice(list(CHANGES))](lines, at) or lines


@pytest.mark.parametrize("seed", range(20))
def test_offers_and_later_offers_are_changed_at_random(seed: int) -> None:
    rng = random.Random(seed)
    taken = 0
    for _ in range(ROUNDS):
        lines = REAL[rng.choice(list(REAL))].split("\r\n")[:-1]
        previous: Plan | None = None
        for _ in range(rng.randrange(1, 5)):
            lines = mutated(lines, rng)
            plan = tried(rng.choice(["\r\n", "\n"]).join(lines), previous)
            taken += plan is not None
            previous = plan or previous
    assert taken > ROUNDS / 10  # it tests answers, too


@given(text=st.text(max_size=300))
def test_any_text(text: str) -> None:
    for offer in (text, SESSION + text, OFFER + text, OFFER + "a=" + text, SESSION + "m=" + text):
        tried(offer)


def many(count: int, line: str) -> str:
    return "".join(line.replace("%", str(index)) + "\r\n" for index in range(count))


LARGE: dict[str, Callable[[int], str]] = {
    "lines": lambda count: OFFER + many(count, "x"),
    "attributes": lambda count: SESSION + many(count, "a=a%:1") + AUDIO,
    "encodings": lambda count: SESSION + AUDIO + many(count, "a=rtpmap:111 opus/48000/2"),
    "parameters": lambda count: SESSION + AUDIO + "a=fmtp:111 " + "a=1;b%;" * count,
    "parameter lines": lambda count: SESSION + AUDIO + many(count, "a=fmtp:111 x%=1"),
    "formats": lambda count: SESSION + AUDIO.replace("F 111", "F 111" + " 111 96" * count),
    "extensions": lambda count: SESSION + AUDIO + many(count, "a=extmap:% urn:x"),
    "feedback": lambda count: SESSION + AUDIO + many(count, "a=rtcp-fb:% nack"),
    "groups": lambda count: SESSION + many(count, "a=group:BUNDLE % 0 1") + AUDIO + DATA,
    "names": lambda count: SESSION + GROUP.strip() + " x" * count + "\r\n" + AUDIO + DATA,
    "ice options": lambda count: SESSION + AUDIO + "a=ice-options:" + "x, " * count,
    "base64": lambda count: OFFER + "a=sctp-init:" + "AAAA" * count,
    "levels": lambda count: SESSION + TRANSPORT + many(count, "a=x") + AUDIO,
    "a digest": lambda count: SESSION + AUDIO + f"a=fingerprint:sha-256 {DIGEST}" + ":AB" * count,
    "spaces": lambda count: SESSION + AUDIO + "m=audio 9 X " + " " * count + "\0\r\n",
    "line ends": lambda count: SESSION + "\r" * count + AUDIO,
}


def calls(text: str) -> int:
    """How many functions Python enters, its own and those of C, to read and plan an offer."""
    count = 0

    def counting(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counting)
    try:
        read_offer(text).plan()
    except OfferError:
        pass
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", LARGE)
def test_work_grows_with_the_length_and_no_faster(kind: str) -> None:
    small, large = LARGE[kind](500), LARGE[kind](2000)
    assert len(large) <= MAX_SIZE
    assert calls(large) < 4.4 * calls(small) + 100
    tried(large)


def test_as_many_sections_as_there_may_be() -> None:
    few, many_of_them = (
        SESSION
        + "a=group:BUNDLE "
        + " ".join(map(str, range(count)))
        + "\r\n"
        + "".join(f"m=audio 9 RTP/SAVPF 1\r\na=mid:{index}\r\n" for index in range(count))
        for count in (MAX_SECTIONS // 4, MAX_SECTIONS)
    )
    assert calls(many_of_them) < 4.4 * calls(few)
