import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.transceiver.agent.speech.sounds import mixed, music, noise, recorded, silence, speech
from transceiver.agent.speech.sphinx import MAX_SECONDS, Decoding, Sphinx


def around(said: bytes, level: float = 0.0) -> bytes:
    """A turn as an ear cuts it: padding before, silence after, noise over all."""
    turn = silence(0.3) + said + silence(0.5)
    return mixed(turn, noise(len(turn) / 48_000, level, seed=5)) if level else turn


@pytest.fixture(scope="module")
def decoding() -> Decoding:
    return Decoding()


def text(decoding: Decoding, pcm: bytes, *phrases: str) -> str:
    return decoding({"phrases": list(phrases)}, pcm)


@pytest.mark.parametrize(
    "sentence",
    [
        "what time is it",
        "what's the date",
        "set a timer for five minutes",
        "what is twelve times seven",
        "add three and four",
        "echo my voice",
        "how do you spell banana",
        "help",
        "hello",
        "goodbye",
        "what can you do",
    ],
)
def test_the_expected_words_come_out(decoding: Decoding, sentence: str) -> None:
    assert text(decoding, around(speech(sentence))) == sentence


@pytest.mark.parametrize(
    "sentence", ["what time is it", "set a timer for five minutes", "what can you do"]
)
def test_also_with_noise_and_by_another_voice(decoding: Decoding, sentence: str) -> None:
    assert text(decoding, around(speech(sentence), level=0.003)) == sentence
    assert text(decoding, around(speech(sentence, "espeak"))) == sentence


def test_a_pause_within_a_sentence_is_passed_over(decoding: Decoding) -> None:
    said = speech("set a timer") + silence(0.4) + speech("for five minutes")
    assert text(decoding, around(said)) == "set a timer for five minutes"


@pytest.mark.parametrize(
    "sentence",
    [
        "the quick brown fox jumps over the lazy dog",
        "I would like to buy a new car tomorrow",
        "where is the nearest restaurant",
        "tell me a joke",
        "call my mother",
        "my dog ate the homework",
    ],
)
def test_what_is_not_in_the_grammar_is_not_understood(decoding: Decoding, sentence: str) -> None:
    assert text(decoding, around(speech(sentence))) == ""


def test_few_words_for_a_long_turn_are_not_believed(decoding: Decoding) -> None:
    said = speech("hello")
    assert text(decoding, around(said + silence(1) + said)) != "hello"
    assert text(decoding, around(said + mixed(silence(3), noise(3, 0.02)))) == ""
    assert text(decoding, around(recorded())) == ""


@pytest.mark.parametrize("sound", [silence(2), noise(2, 0.05), music(2), b"", b"\x00\x01"])
def test_what_is_no_speech_is_not_understood(decoding: Decoding, sound: bytes) -> None:
    assert text(decoding, sound) == ""


def test_phrases_of_tools_are_understood_where_they_are_declared(decoding: Decoding) -> None:
    said = around(speech("what is the weather in Paris"))
    assert text(decoding, said) == ""
    assert text(decoding, said, "weather") == "what is the weather in paris"
    assert text(decoding, said, "weather", "xyzzy plugh") == "what is the weather in paris"


def test_many_grammars_are_made_and_forgotten(decoding: Decoding) -> None:
    said = around(speech("what is the weather"))
    for number in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"):
        assert text(decoding, said, "weather", number) == "what is the weather"
    assert text(decoding, around(speech("help"))) == "help"


@pytest_asyncio.fixture
async def sphinx() -> AsyncIterator[Sphinx]:
    recogniser = Sphinx(processes=2)
    await recogniser.open()
    yield recogniser
    await recogniser.close()


async def test_sessions_share_processes_and_the_event_loop_goes_on(sphinx: Sphinx) -> None:
    said = [around(speech(each)) for each in ("what time is it", "help", "goodbye")]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    heard = await asyncio.gather(*(sphinx.transcribe(each) for each in said))
    counting.cancel()
    assert heard == ["what time is it", "help", "goodbye"]
    assert turns > 100
    assert len(sphinx.pids) == 2
    assert os.getpid() not in sphinx.pids


async def test_the_end_of_a_very_long_turn_is_kept(sphinx: Sphinx) -> None:
    said = speech("help") + silence(MAX_SECONDS) + around(speech("what time is it"))
    assert await sphinx.transcribe(said + b"\x00") == "what time is it"
