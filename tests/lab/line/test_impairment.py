"""A line delays, loses by its seed, and keeps the order."""

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from tests.lab.line.impairment import Impairment, Settings

MAC = "02:00:00:00:00:01"  # given, so that nobody is asked for it
OUT, BACK = 0, 1


def datagram(number: int) -> bytes:
    return bytes(
        Ether(dst=MAC) / IP(dst="203.0.113.10") / UDP(sport=2000, dport=3478) / str(number)
    )


def survivors(seed: int, count: int = 2000) -> list[int]:
    line = Impairment(Settings(loss=0.05, seed=seed))
    frames = {datagram(number): number for number in range(count)}
    for frame in frames:
        line.enter(frame, OUT, 0.0)
    return [frames[frame] for _, frame in line.leaving(0.0)]


def test_a_frame_takes_as_long_as_it_is_told() -> None:
    line = Impairment(Settings(delay=0.05))
    line.enter(b"one", OUT, 1.0)
    line.enter(b"two", BACK, 1.0)
    line.enter(b"three", OUT, 1.01)
    assert line.leaving(1.049) == []
    assert line.wait(1.04) is not None
    assert abs((line.wait(1.04) or 0) - 0.01) < 1e-9
    assert line.leaving(1.051) == [(OUT, b"one"), (BACK, b"two")]
    assert line.leaving(1.061) == [(OUT, b"three")]
    assert line.wait(2.0) is None


def test_the_share_that_is_lost_is_that_of_the_settings_and_the_seed_says_which() -> None:
    assert survivors(1) == survivors(1) != survivors(2)
    assert 0.035 < 1 - len(survivors(1)) / 2000 < 0.065


def test_tcp_is_never_lost() -> None:
    line = Impairment(Settings(loss=1.0))
    tcp = bytes(Ether(dst=MAC) / IP(dst="198.51.100.2") / TCP(dport=8080))
    line.enter(tcp, OUT, 0.0)
    line.enter(datagram(0), OUT, 0.0)
    assert line.leaving(0.0) == [(OUT, tcp)]


def test_a_change_leaves_what_is_under_way_alone() -> None:
    line = Impairment(Settings(delay=0.05))
    line.enter(b"slow", OUT, 0.0)
    line.change(Settings(loss=1.0))
    line.enter(b"fast", OUT, 0.0)
    assert line.leaving(0.0) == [(OUT, b"fast")]
    assert line.leaving(0.05) == [(OUT, b"slow")]


def test_a_rebinding_changes_the_port_of_the_client() -> None:
    line = Impairment(Settings())
    line.change(Settings(rebindings=1))
    line.enter(datagram(0), OUT, 0.0)
    ((_, frame),) = line.leaving(0.0)
    assert frame != datagram(0)
