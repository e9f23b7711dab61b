"""A datagram that the agent cannot cope with costs itself, and not those that came with it."""

import logging

import pytest

from relay.core.flow import Flow
from relay.core.flowtuple import Source
from relay.run.receiver import Guarded
from relay.supervision import Faults
from tests.relay.conftest import ALICE, RTP, VIP, Scene
from tests.relay.forwarding.tos import CE, EF


class Fragile:
    """Breaks at some datagrams, and takes the others."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.ended: list[Flow] = []

    def from_client(self, data: bytes, source: Source, tos: int = 0) -> None:
        assert (source.client, tos) == (ALICE, EF)
        self._take(data)

    def from_transceiver(self, flow: Flow, data: bytes, tos: int) -> None:
        assert (flow.addresses.client, tos) == (ALICE, CE)
        self._take(data)

    def at_upstream(self, upstream: bytes) -> Flow | None:
        raise KeyError(upstream)

    def disconnected(self, flow: Flow) -> None:
        raise KeyError(flow)

    def _take(self, data: bytes) -> None:
        if data == b"bad":
            raise ValueError("bad")
        self.taken.append(data)


def test_whatever_is_raised_costs_one_datagram_and_a_line(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    fragile, faults = Fragile(), Faults()
    guarded, flow = Guarded(fragile, faults), scene.connect()
    for data in (RTP, b"bad", RTP, b"bad"):
        guarded.from_client(data, Source(ALICE, VIP), EF)
        guarded.from_transceiver(flow, data, CE)
    guarded.disconnected(flow)
    assert guarded.at_upstream(b"") is None
    assert fragile.taken == [RTP] * 4
    assert faults.counters == {
        "a client's datagram": 2,
        "a transceiver's datagram": 2,
        "a connection's end": 1,
        "a look for a flow": 1,
    }
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 4  # one of each kind
