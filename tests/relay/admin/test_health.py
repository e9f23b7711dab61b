"""Liveness and readiness over HTTP, as whoever watches a relay asks for them."""

from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from relay.admin.metrics import RelayCollector, listen, serving
from relay.loopturns import HUNG_AFTER, LoopTurns
from relay.wire.endpoint import Endpoint


class Relay:
    """A relay's health, which a test changes."""

    forwarder = "xdp"

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = LoopTurns(lambda: self.now)
        self.troubles: list[str] = []
        self.states: dict[str, dict[str, Any]] = {"sweep": {"state": "running"}}

    @property
    def clock_ahead(self) -> float:
        return 0.0

    def unready(self) -> list[str]:
        return self.troubles

    def tasks(self) -> dict[str, dict[str, Any]]:
        return self.states

    def failures(self) -> dict[str, int]:
        return {"sweep": 2}


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def endpoint(relay: Relay) -> Iterator[Endpoint]:
    with serving(
        listen(Endpoint("127.0.0.1", 0)),
        RelayCollector(
            agent=dict, dataplane=dict, flows=dict, changes=dict, used=dict, limits=dict
        ),
        relay,
    ) as endpoint:
        yield endpoint


def test_whoever_asks_is_told_what_forwards(endpoint: Endpoint) -> None:
    for path in ("healthz", "readyz"):
        with urlopen(f"http://{endpoint}/{path}", timeout=5) as answer:
            assert answer.headers["Icelane-Dataplane"] == "xdp"


def ask(endpoint: Endpoint, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://{endpoint}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_relay_that_works_lives_and_is_ready(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/healthz") == (200, "ok\n")
    assert ask(endpoint, "/readyz") == (200, "ok\n")


def test_an_essential_task_that_fails_makes_it_unready_and_not_dead(
    endpoint: Endpoint, relay: Relay
) -> None:
    relay.troubles = ["sweep fails"]
    assert ask(endpoint, "/readyz") == (503, "sweep fails\n")
    assert ask(endpoint, "/healthz") == (200, "ok\n")


def test_a_loop_that_hangs_is_neither(endpoint: Endpoint, relay: Relay) -> None:
    relay.turns.begin()
    relay.now += HUNG_AFTER + 3
    said = "the event loop hangs for 8 s\n"
    assert ask(endpoint, "/healthz") == (503, said)
    assert ask(endpoint, "/readyz") == (503, said)


def test_metrics_tell_tasks_turns_and_the_dataplane(endpoint: Endpoint, relay: Relay) -> None:
    relay.states = {"sweep": {"state": "failing"}, "mirror": {"state": "running"}}
    relay.troubles = ["sweep fails"]
    relay.turns.begin()
    relay.now += 0.015
    relay.turns.end()
    _, text = ask(endpoint, "/metrics")
    lines = text.splitlines()
    for line in (
        'icelane_relay_dataplane{name="xdp"} 1.0',
        'icelane_relay_dataplane{name="userspace"} 0.0',
        "icelane_relay_ready 0.0",
        'icelane_relay_task_working{task="sweep"} 0.0',
        'icelane_relay_task_working{task="mirror"} 1.0',
        'icelane_relay_task_failures_total{task="sweep"} 2.0',
        'icelane_relay_loop_turn_seconds_bucket{le="0.01"} 0.0',
        'icelane_relay_loop_turn_seconds_bucket{le="0.02"} 1.0',
        "icelane_relay_loop_turn_seconds_count 1.0",
    ):
        assert line in lines
