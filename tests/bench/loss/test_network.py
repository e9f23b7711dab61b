import pytest

from tests.bench.loss.network import Network
from transceiver.media.rtp import Packet

PACKETS = [Packet(111, index & 0xFFFF, 960 * index, 1, b"x") for index in range(50_000)]


@pytest.mark.parametrize("loss", [0.01, 0.1, 0.2])
@pytest.mark.parametrize("burst", [1, 3])
def test_as_much_is_lost_as_was_said_in_runs_of_that_length(loss: float, burst: int) -> None:
    arrivals = Network(loss, burst).carry(PACKETS, 1)
    assert 1 - len(arrivals) / len(PACKETS) == pytest.approx(loss, rel=0.1)
    there = {round(each.time / 0.02) for each in arrivals}
    runs = sum(index not in there and index - 1 in there for index in range(1, len(PACKETS)))
    assert (len(PACKETS) - len(there)) / runs == pytest.approx(burst / (1 - loss / burst), rel=0.1)


def test_jitter_has_the_mean_that_was_said_and_the_same_seed_gives_the_same() -> None:
    network = Network(jitter=0.06)
    arrivals = network.carry(PACKETS, 1)
    delays = [each.time - each.packet.timestamp / 48_000 for each in arrivals]
    assert sum(delays) / len(delays) == pytest.approx(0.06, rel=0.05)
    assert min(delays) >= 0
    assert max(delays) <= 0.1501
    assert arrivals == network.carry(PACKETS, 1)
    assert arrivals != network.carry(PACKETS, 2)


def test_an_episode_begins_and_ends() -> None:
    arrivals = Network(episode=(5.0, 8.0), jitter_then=0.1).carry(PACKETS[:600], 1)
    late = {each.packet.sequence: each.time - each.packet.sequence * 0.02 for each in arrivals}
    assert max(late[index] for index in (*range(250), *range(400, 600))) < 1e-9
    assert max(late[index] for index in range(250, 400)) > 0.1
