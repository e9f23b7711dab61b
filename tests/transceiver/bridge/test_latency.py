"""How long clients wait for a service."""

from tests.transceiver.bridge.dialogue import Dialogue
from transceiver.bridge.core import Bridge
from transceiver.bridge.latency import Latencies, TurnClock
from transceiver.bridge.settings import SessionSettings

SPEECH = "input_audio_buffer.speech_"


class Timed(Dialogue):
    """A dialogue whose waits are measured."""

    def __init__(self) -> None:
        super().__init__()
        self.latencies = Latencies()
        self.bridge = Bridge(lambda: "event_b", SessionSettings({}, ""), TurnClock(self.latencies))


def test_a_turn_lasts_from_the_end_of_speech_to_the_first_sound_that_is_played() -> None:
    talk = Timed()
    talk.service(f"{SPEECH}started")
    talk.now = 2.0
    talk.service(f"{SPEECH}stopped")
    talk.now = 2.1
    talk.begins()
    talk.now = 2.35
    talk.sounds(3)
    talk.sounds(3)
    talk.now = 2.4
    talk.plays(4)
    assert (talk.latencies.turn.count, round(talk.latencies.turn.sum, 6)) == (1, 0.4)
    assert (talk.latencies.response.count, round(talk.latencies.response.sum, 6)) == (1, 0.25)


def test_a_response_that_nobody_asked_for_by_voice_is_no_turn() -> None:
    talk = Timed()
    talk.begins()
    talk.sounds(2)
    talk.plays(2)
    assert (talk.latencies.turn.count, talk.latencies.response.count) == (0, 1)


def test_who_speaks_again_waits_no_more_for_what_was_not_answered() -> None:
    talk = Timed()
    for kind in ("started", "stopped", "started"):
        talk.service(f"{SPEECH}{kind}")
    talk.begins()
    talk.sounds(2)
    talk.plays(2)
    assert talk.latencies.turn.count == 0
