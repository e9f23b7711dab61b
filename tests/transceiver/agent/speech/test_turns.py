import pytest

from transceiver.agent.speech.detection import Detection
from transceiver.agent.speech.turns import (
    CHUNK_MS,
    ONSET_OVER_PLAYBACK_MS,
    EarEvent,
    SpeechStarted,
    SpeechStopped,
    Turns,
    WentIdle,
)

S, N, M = 0.9, 0.05, 0.4  # speech, none, and what is between the two thresholds


def heard(turns: Turns, *runs: tuple[float, int], over_playback: bool = False) -> list[EarEvent]:
    """What comes of runs of (probability, chunks)."""
    events = []
    for probability, count in runs:
        for _ in range(count):
            event = turns.hear(probability, over_playback=over_playback)
            if event is not None:
                events.append(event)
    return events


def test_a_turn_begins_with_its_padding_and_ends_with_its_silence() -> None:
    turns = Turns(Detection(prefix_padding_ms=300, silence_duration_ms=500))
    events = heard(turns, (N, 20), (S, 10), (N, 30))
    assert events == [SpeechStarted(640 - 300), SpeechStopped(960 + 500)]
    assert not turns.speaking


@pytest.mark.parametrize("silence", [1, 32, 100, 200, 500, 1200])
def test_the_end_is_told_within_a_chunk_of_the_silence(silence: int) -> None:
    turns = Turns(Detection(silence_duration_ms=silence))
    heard(turns, (S, 10))
    told = [turns.position_ms for _ in range(60) if turns.hear(N) is not None]
    assert 0 <= told[0] - (320 + silence) < CHUNK_MS


def test_padding_reaches_neither_before_the_start_nor_into_the_last_turn() -> None:
    turns = Turns(Detection(prefix_padding_ms=1000, silence_duration_ms=64))
    events = heard(turns, (S, 3), (N, 4), (S, 3), (N, 4))
    assert events[0] == SpeechStarted(0)
    assert events[1] == SpeechStopped(96 + 64)
    assert events[2] == SpeechStarted(96 + 64)


def test_one_chunk_alone_is_a_click() -> None:
    assert heard(Turns(Detection()), *[(S, 1), (N, 3)] * 20) == []


def test_a_gap_of_one_chunk_in_an_onset_is_passed_over() -> None:
    assert heard(Turns(Detection(prefix_padding_ms=0)), (N, 2), (S, 1), (N, 1), (S, 1)) == [
        SpeechStarted(64)
    ]


def test_between_the_thresholds_a_turn_neither_begins_nor_ends() -> None:
    turns = Turns(Detection())
    assert heard(turns, (M, 100)) == []
    assert len(heard(turns, (S, 5), (M, 100))) == 1


def test_a_pause_shorter_than_the_silence_ends_nothing() -> None:
    events = heard(Turns(Detection(silence_duration_ms=500)), *[(S, 5), (N, 15)] * 5, (N, 5))
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]


@pytest.mark.parametrize(("silence", "patience"), [(500, 200), (1200, 200), (200, 100), (32, 16)])
def test_a_silence_is_a_pause_before_it_ends_the_turn(silence: int, patience: int) -> None:
    turns = Turns(Detection(silence_duration_ms=silence))
    heard(turns, (S, 5))
    began, ended = turns.position_ms, False
    while turns.pause_ms is None and not ended:
        ended = bool(heard(turns, (N, 1)))
    assert turns.position_ms - began <= patience + CHUNK_MS
    assert turns.pause_ms == (None if ended else began)
    assert ended == (silence <= CHUNK_MS)


def test_a_pause_is_over_with_speech_and_with_the_turn() -> None:
    turns = Turns(Detection())
    heard(turns, (N, 20))
    assert turns.pause_ms is None, "nobody has said anything"
    heard(turns, (S, 5), (N, 10))
    assert turns.pause_ms == 800
    heard(turns, (S, 1))
    assert turns.pause_ms is None
    assert len(heard(turns, (N, 20))) == 1
    assert turns.pause_ms is None


def test_the_threshold_is_that_of_the_settings() -> None:
    assert heard(Turns(Detection(threshold=0.95)), (S, 50)) == []
    assert heard(Turns(Detection(threshold=0.3)), (M, 50)) != []


def test_over_playback_it_takes_longer_to_interrupt() -> None:
    needed = ONSET_OVER_PLAYBACK_MS // CHUNK_MS
    assert heard(Turns(Detection()), (S, needed - 1), over_playback=True) == []
    assert heard(Turns(Detection()), (S, needed), over_playback=True) == [SpeechStarted(0)]


def test_what_is_forgotten_belongs_to_no_later_turn() -> None:
    turns = Turns(Detection())
    heard(turns, (S, 10))
    turns.forget()
    assert heard(turns, (N, 100)) == []
    assert heard(turns, (S, 3)) == [SpeechStarted(turns.position_ms - 96 - 300)]
    turns.forget()
    assert heard(turns, (S, 3)) == [SpeechStarted(turns.position_ms - 96)]


def test_who_says_nothing_after_the_agent_is_idle_once() -> None:
    turns = Turns(Detection(idle_timeout_ms=5000))
    assert heard(turns, (N, 400)) == [], "the agent has not spoken yet"
    heard(turns, (N, 10), over_playback=True)
    spoken = turns.position_ms
    events = heard(turns, (N, 400))
    assert events == [WentIdle(spoken, spoken + 5024)]


def test_who_speaks_is_not_idle() -> None:
    turns = Turns(Detection(idle_timeout_ms=5000))
    heard(turns, (N, 10), over_playback=True)
    events = heard(turns, (N, 100), (S, 10), (N, 400))
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
