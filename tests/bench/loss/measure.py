"""Runs the grid of losses and jitters, and one episode of jitter, through both playouts."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.bench.loss import material, neteq, ours, score
from tests.bench.loss.network import Arrival, Network
from tests.bench.loss.played import Played

OURS, NETEQ = "Icelane", "NetEQ"
_LOSSES = ((0.0, 1), (0.01, 1), (0.05, 1), (0.1, 1), (0.2, 1), (0.05, 3), (0.1, 3), (0.2, 3))
_JITTERS = (0.0, 0.02, 0.06)
_EPISODE = (8.0, 11.0)  # seconds
_JITTER_THEN = 0.1
_ALLOWED = 0.02  # seconds above what was before, that count as back
_AT_ONCE = 6  # calls side by side: libwebrtc plays in real time

GRID = (
    *(Network(loss, burst, jitter) for jitter in _JITTERS for loss, burst in _LOSSES),
    *(Network(loss, 1, 0.0, _EPISODE, _JITTER_THEN) for loss in (0.0, 0.05)),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What one playout made of one network: medians of several runs.

    Attributes:
        network: Its name.
        playout: `OURS` or `NETEQ`.
        concealed: Share of samples that were made up; what FEC brought back is not.
        silence: The longest one in speech in any run, in seconds.
        delay: From a sample's sending to its playing, without the network's least, in seconds.
        back: Seconds from the end of the episode until the delay was that of before, or up to
            20 ms more; None without one.
        score: PLCMOS, a mean; None without a judge.
        microseconds: Of processor time for each 20 ms, decoding included; None for NetEQ.
    """

    network: str
    playout: str
    concealed: float
    silence: float
    delay: float
    back: float | None
    score: float | None
    microseconds: float | None


class Measurement:
    """Plays speech over networks.

    Args:
        frames: Of 20 ms in a run.
        runs: For each network, each with other losses.
        judge: Gives scores, if there is one.
        say: Told what is going on.
    """

    def __init__(
        self,
        frames: int,
        runs: int,
        judge: score.Judge | None,
        say: Callable[[str], object],
    ) -> None:
        self._frames = frames
        self._runs = runs
        self._judge = judge
        self._say = say
        self._said = material.speech(frames)
        self._packets = material.packets(self._said)

    def _arrivals(self, networks: Sequence[Network]) -> list[tuple[Network, list[Arrival]]]:
        return [
            (network, network.carry(self._packets, seed))
            for network in networks
            for seed in range(self._runs)
        ]

    def ours(self, networks: Sequence[Network]) -> list[Result]:
        """Through this transceiver's receiver."""
        self._say(f"{OURS}: {len(networks)} networks")
        found = [
            (network, ours.play(arrivals, self._frames))
            for network, arrivals in self._arrivals(networks)
        ]
        return self._judged(OURS, networks, found)

    def neteq(self, networks: Sequence[Network]) -> list[Result]:
        """Through libwebrtc's, in real time.

        Raises:
            ImportError: When `wrtc` is not installed.
            BenchError: When a call cannot be set up, or the machine is too busy.
        """
        found: list[tuple[Network, Played]] = []
        todo = self._arrivals(networks)
        for start in range(0, len(todo), _AT_ONCE):
            self._say(
                f"{NETEQ}: calls {start + 1} to {min(start + _AT_ONCE, len(todo))} of {len(todo)}"
            )
            part = todo[start : start + _AT_ONCE]
            played = neteq.play_all([arrivals for _, arrivals in part], self._frames)
            found += zip((network for network, _ in part), played, strict=True)
        return self._judged(NETEQ, networks, found)

    def _judged(
        self, name: str, networks: Sequence[Network], found: Sequence[tuple[Network, Played]]
    ) -> list[Result]:
        return [
            self._result(name, network, [played for each, played in found if each == network])
            for network in networks
        ]

    def _result(self, name: str, network: Network, runs: Sequence[Played]) -> Result:
        delays = [score.delays(self._said, played.pcm) for played in runs]
        silences = [
            score.longest_silence(self._said, played.pcm, each)
            for played, each in zip(runs, delays, strict=True)
        ]
        back = None
        if network.jitter_then:
            start, end = network.episode
            back = statistics.median(
                each.return_after(end, each.until(start) + _ALLOWED) for each in delays
            )
        times = [played.microseconds for played in runs if played.microseconds is not None]
        return Result(
            network=network.name,
            playout=name,
            concealed=statistics.median(played.concealed for played in runs),
            silence=max(silences),
            delay=statistics.median(float(np.median(each.delays)) for each in delays),
            back=back,
            score=self._score(runs),
            microseconds=statistics.median(times) if times else None,
        )

    def _score(self, runs: Sequence[Played]) -> float | None:
        if self._judge is None:
            return None
        return statistics.fmean(self._judge.score(played.pcm) for played in runs)
