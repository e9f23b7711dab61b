"""The question begins and ends in quiet, and speech is found in sound."""

from tests.bench.turn.question import first_loud, is_loud, quiet, spoken
from transceiver.media.codec import FRAME_BYTES


def test_the_question_is_between_two_quiets() -> None:
    frames = spoken()
    assert {len(each) for each in frames} == {FRAME_BYTES}
    assert 0.5 < 0.02 * len(frames) < 2
    loud = [is_loud(each) for each in frames]
    assert any(loud)
    assert not loud[0]
    assert not loud[-1]
    assert frames == spoken(), "it is the same each time"


def test_speech_is_found_where_it_begins() -> None:
    sound = bytearray(quiet(1) + quiet(2))
    assert first_loud(sound) is None
    sound[1000:1002] = (2000).to_bytes(2, "little")
    sound[1400:1402] = (-2000).to_bytes(2, "little", signed=True)
    assert first_loud(sound) == 1000
    assert first_loud(sound, 1002) == 1400
    assert first_loud(sound[:1401], 1002) is None, "half a sample"
