import random

from transceiver.agent.speech.echo import FIRST_GAIN, HOLD_MS, MAX_GAIN, EchoGate
from transceiver.agent.speech.turns import CHUNK_MS


def played(gate: EchoGate, sent: float, heard: float, chunks: int) -> list[bool]:
    """What passes while the agent is heard at one level, and something comes back at another."""
    passed = []
    for _ in range(chunks):
        gate.sent(sent)
        passed.append(gate.passes(heard))
    return passed


def test_without_the_agent_all_passes() -> None:
    gate = EchoGate()
    assert gate.is_open
    assert all(gate.passes(0.0001) for _ in range(100))


def test_an_echo_is_held_back_and_learnt() -> None:
    gate = EchoGate()
    assert not any(played(gate, 0.1, 0.03, 100))
    assert abs(gate.gain - 0.3) < 0.03
    chance = random.Random(3)
    for _ in range(500):
        level = chance.uniform(0.05, 0.15)
        assert not any(played(gate, level, level * 0.3, 1))


def test_whoever_is_louder_than_the_echo_passes() -> None:
    gate = EchoGate()
    played(gate, 0.1, 0.03, 50)
    assert not any(played(gate, 0.1, 0.04, 3))
    assert all(played(gate, 0.1, 0.1, 10))


def test_a_line_without_echo_is_learnt_in_a_second() -> None:
    gate = EchoGate()
    assert gate.gain == FIRST_GAIN
    played(gate, 0.1, 0.0005, 1000 // CHUNK_MS)
    assert all(played(gate, 0.1, 0.02, 8)), "a quiet user can interrupt"


def test_a_loud_echo_is_learnt_although_it_passes_at_first() -> None:
    gate = EchoGate()
    assert played(gate, 0.1, 0.09, 1) == [True]
    assert not any(played(gate, 0.1, 0.09, 200)[-20:])
    played(gate, 0.01, 1.0, 1000)
    assert gate.gain <= MAX_GAIN


def test_an_echo_comes_late() -> None:
    gate = EchoGate()
    played(gate, 0.1, 0.03, 50)
    later = [gate.passes(0.03) for _ in range(HOLD_MS // CHUNK_MS)]
    assert not any(later[:-1]), "on its way back from the client's loudspeaker"
    assert all(gate.passes(0.03) for _ in range(20))
    assert gate.is_open
