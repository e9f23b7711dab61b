import numpy as np
import pytest

from tests.transceiver.agent.speech.sounds import (
    dtmf,
    frames,
    mixed,
    music,
    noise,
    silence,
    speech,
    tone,
)
from transceiver.agent.speech.activity import load
from transceiver.agent.speech.ear import Ear
from transceiver.agent.speech.levels import level_of
from transceiver.agent.speech.turns import (
    CHUNK_MS,
    EarEvent,
    SpeechStarted,
    SpeechStopped,
    WentIdle,
)

SERVER = {"type": "server_vad"}
SENTENCES = ["What time is it?", "Set a timer for five minutes, please.", "Twelve times seven."]


def ear(**settings: object) -> Ear:
    return Ear(SERVER | settings, load().detector())


def heard(by: Ear, sound: bytes) -> list[EarEvent]:
    return [event for frame in frames(sound) for event in by.feed(frame)]


def milliseconds(sound: bytes) -> float:
    return len(sound) / 48


@pytest.mark.parametrize("voice", ["hibari", "espeak"])
@pytest.mark.parametrize("text", SENTENCES)
@pytest.mark.parametrize("level", [0.0, 0.003])
def test_a_sentence_is_one_turn(voice: str, text: str, level: float) -> None:
    said = speech(text, voice)
    whole = silence(1) + said + silence(1.5)
    events = heard(ear(), mixed(whole, noise(milliseconds(whole) / 1000, level)))
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    start, stop = events
    assert isinstance(start, SpeechStarted)
    assert isinstance(stop, SpeechStopped)
    # The padding covers the first sounds, which are quieter than what is found.
    assert 1000 - 300 - CHUNK_MS <= start.start_ms <= 1000
    assert stop.end_ms - 500 == pytest.approx(1000 + milliseconds(said), abs=200)


@pytest.mark.parametrize("silence_ms", [200, 500, 1000])
def test_the_end_is_told_as_soon_as_the_silence_is_over(silence_ms: int) -> None:
    """However long is waited, the same silence begins at the same place, and no frame is lost."""
    said = silence(0.5) + speech("What time is it?") + silence(2)
    hears = ear(silence_duration_ms=silence_ms)
    told, stopped = 0.0, 0
    for number, frame in enumerate(frames(said)):
        for event in hears.feed(frame):
            if isinstance(event, SpeechStopped):
                told, stopped = 20.0 * (number + 1), event.end_ms
    reference = heard(ear(silence_duration_ms=1), said)[-1]
    assert isinstance(reference, SpeechStopped)
    assert stopped - silence_ms == pytest.approx(reference.end_ms - 1, abs=0)
    assert 0 <= told - stopped < CHUNK_MS + 20


def test_a_pause_within_a_turn_ends_it_only_if_it_is_long() -> None:
    said = silence(0.5) + speech("Set a timer.") + silence(0.45) + speech("For five minutes.")
    said += silence(1.5)
    patient, eager = ear(silence_duration_ms=800), ear(silence_duration_ms=200)
    assert len(heard(patient, said)) == 2
    assert len(heard(eager, said)) == 4


def test_milliseconds_count_all_sound_over_turns_of_a_session() -> None:
    hears = ear()
    one = silence(1) + speech("What time is it?") + silence(1)
    events = heard(hears, one * 4)
    starts = [event.start_ms for event in events if isinstance(event, SpeechStarted)]
    assert np.diff(starts) == pytest.approx([milliseconds(one)] * 3, abs=CHUNK_MS)
    assert 0 <= milliseconds(one * 4) - hears.position_ms < 2 * CHUNK_MS


def test_pieces_of_any_size_are_heard_alike() -> None:
    said = silence(0.5) + speech("What time is it?") + silence(1)
    whole = ear().feed(said)
    assert whole == heard(ear(), said)
    hears = ear()
    odd = [event for at in range(0, len(said), 333) for event in hears.feed(said[at : at + 333])]
    assert odd == whole


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(silence(20), id="silence"),
        pytest.param(noise(20, 0.003), id="noise, quiet"),
        pytest.param(noise(20, 0.1), id="noise, loud"),
        pytest.param(tone(20, 440), id="tone"),
        pytest.param(tone(20, 200, 400, 600), id="hum"),
        pytest.param(dtmf("159#0" * 20), id="keys"),
        pytest.param(music(20), id="music"),
    ],
)
def test_what_is_no_voice_is_hardly_ever_taken_for_one(sound: bytes) -> None:
    events = heard(ear(), sound + silence(2))
    starts = [event.start_ms for event in events if isinstance(event, SpeechStarted)]
    stops = [event.end_ms for event in events if isinstance(event, SpeechStopped)]
    assert len(starts) == len(stops), "no turn lasts for ever"
    # Of each turn, 300 ms are padding and 500 ms the silence.
    taken = sum(stop - start - 800 for start, stop in zip(starts, stops, strict=True))
    assert taken < 1_000


def test_the_threshold_of_the_settings_counts() -> None:
    quiet = mixed(silence(6), silence(1) + speech("What time is it?"), 0.02)
    said = mixed(quiet, noise(6, 0.003))
    assert len(heard(ear(threshold=0.3), said)) >= len(heard(ear(threshold=0.95), said))


def test_its_own_voice_coming_back_is_no_turn_and_a_user_over_it_is() -> None:
    """An echo at half the level, 200 ms late, as a loudspeaker makes it."""
    agent = b"".join(speech(text) + silence(0.2) for text in SENTENCES * 3)
    echo = mixed(silence(milliseconds(agent) / 1000), silence(0.2) + agent, 0.4)
    user_from = 8.0
    user = silence(user_from) + speech("Stop it now, please stop.", "espeak")
    for over, expected in ((echo, []), (mixed(echo, user, 2.5), [SpeechStarted])):
        hears = ear()
        events = []
        for sent, came in zip(frames(agent), frames(over), strict=True):
            hears.while_speaking(level_of(sent))
            events += hears.feed(came)
        assert [type(event) for event in events][:1] == expected
    started = next(event for event in events if isinstance(event, SpeechStarted))
    assert started.start_ms + 300 == pytest.approx(1000 * user_from, abs=600)


def test_the_same_sound_without_the_agent_is_a_turn() -> None:
    """So it is the threshold above that keeps the echo out, and nothing else."""
    agent = b"".join(speech(text) + silence(0.2) for text in SENTENCES)
    echo = mixed(silence(milliseconds(agent) / 1000), silence(0.2) + agent, 0.4)
    assert heard(ear(), echo)


def test_manual_turns_are_not_looked_for_but_time_goes_on() -> None:
    said = silence(0.5) + speech("What time is it?") + silence(1)
    hears = Ear(None, load().detector())
    assert heard(hears, said) == []
    assert hears.position_ms == milliseconds(said) // CHUNK_MS * CHUNK_MS
    hears.configure(SERVER)
    events = heard(hears, said)
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    assert isinstance(events[0], SpeechStarted)
    assert events[0].start_ms > milliseconds(said)


def test_who_says_nothing_after_the_agent_is_idle() -> None:
    hears = ear(idle_timeout_ms=5000)
    for frame in frames(speech("Yes.")):
        hears.while_speaking(level_of(frame))
        hears.feed(bytes(len(frame)))
    events = heard(hears, noise(8, 0.001))
    assert [type(event) for event in events] == [WentIdle]


def test_a_turn_that_was_committed_is_forgotten() -> None:
    hears = ear()
    heard(hears, silence(0.5) + speech("What time is it?"))
    assert hears.is_speech
    hears.forget()
    assert not hears.is_speech
    assert heard(hears, silence(1)) == []
