"""For how long a flow's media was silent, and how much of it was lost. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.bench.failover.recorder import Arrival, Flow

_BEFORE = 0.3  # seconds before something happens, in which a flow must have been heard
_NUMBERS = 1 << 16


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a flow, around what happened.

    Attributes:
        silence: The longest time between two packets that followed each other, in seconds; that is
            20 ms of a voice where nothing is lost.
        lost: Packets that did not arrive, of those sent between the first and last that did; what
            had been sent before that and comes very late is not looked at.
    """

    silence: float
    lost: int


@dataclass(frozen=True, slots=True)
class Gap:
    """What a flow has borne.

    Attributes:
        before: The relay that it came through.
        after: That of its last packet.
        to_transceiver: What its transceiver heard.
        to_client: What its client heard.
    """

    before: str
    after: str
    to_transceiver: Way
    to_client: Way

    @property
    def silence(self) -> float:
        """The longer of both."""
        return max(self.to_transceiver.silence, self.to_client.silence)

    @property
    def lost(self) -> int:
        """Of both together."""
        return self.to_transceiver.lost + self.to_client.lost


def way(arrivals: Sequence[Arrival], since: float, until: float) -> Way:
    """Judge one direction.

    Args:
        arrivals: What has arrived.
        since: When something happened.
        until: To when it is looked at; a flow that is silent then has been since its last packet.
    """
    looked_at = sorted(each for each in arrivals if since - _BEFORE <= each.at <= until)
    if not looked_at:
        return Way(until - since, 0)
    times = [each.at for each in looked_at] + [until]
    silence = max(after - before for before, after in pairwise(times))
    first = looked_at[0].number
    # Numbers wrap. Those before the first one were overtaken by it, or waited in a socket of a
    # relay that stood still, from long before what is looked at.
    half = _NUMBERS // 2
    ahead = {(each.number - first + half) % _NUMBERS - half for each in looked_at}
    numbers = {number for number in ahead if number >= 0}
    return Way(silence, max(numbers) + 1 - len(numbers))


def gaps(flows: Mapping[int, Flow], since: float, until: float) -> list[Gap]:
    """What all flows have borne that were heard right before something happened."""
    return [
        Gap(before, flow.to_transceiver[-1].relay, *_ways(flow, since, until))
        for flow in flows.values()
        if (before := _last(flow.to_transceiver, since)) is not None
    ]


def quantile(values: Iterable[float], share: float) -> float:
    """The least of them that so large a share does not exceed; 0 of none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _ways(flow: Flow, since: float, until: float) -> tuple[Way, Way]:
    return way(flow.to_transceiver, since, until), way(flow.to_client, since, until)


def _last(arrivals: Sequence[Arrival], before: float) -> str | None:
    heard = [each for each in arrivals if before - _BEFORE <= each.at < before]
    return max(heard).relay if heard else None
