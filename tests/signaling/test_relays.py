"""What clients are told of relays, of real health checks."""

from collections.abc import Iterator

import aiohttp
import pytest

from relay.admin.metrics import RelayCollector, listen, serving
from relay.config.registry import Relay
from relay.loopturns import LoopTurns
from relay.wire.endpoint import Endpoint
from signaling.relays import RELAYS, Dataplanes
from tests.signaling.conftest import Keys, Serve

ANYWHERE = Endpoint("127.0.0.1", 0)
VIP = Endpoint("203.0.113.10", 3478)


class Health:
    """A relay's, which a test changes; see `relay.admin.health.Health`."""

    def __init__(self) -> None:
        self.forwarder = "xdp"
        self.turns = LoopTurns()

    @property
    def clock_ahead(self) -> float:
        return 0.0

    def unready(self) -> list[str]:
        return []

    def tasks(self) -> dict[str, dict[str, object]]:
        return {}

    def failures(self) -> dict[str, int]:
        return {}


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def url(health: Health) -> Iterator[str]:
    nothing = RelayCollector(
        agent=dict, dataplane=dict, flows=dict, changes=dict, used=dict, limits=dict
    )
    with serving(listen(ANYWHERE), nothing, health) as endpoint:
        yield f"http://{endpoint}"


async def test_a_relay_says_what_forwards_there(health: Health, url: str) -> None:
    dataplanes = Dataplanes(lambda: [Relay(VIP, tcp=(VIP,), health=url)])
    (before,) = dataplanes.shown()
    assert before == {"udp": [str(VIP)], "tcp": [str(VIP)], "dataplane": None}
    for name in ("xdp", "userspace"):
        health.forwarder = name
        await dataplanes.look()
        assert dataplanes.shown()[0]["dataplane"] == name


@pytest.mark.parametrize("forwarder", ["<script>", ""])
async def test_what_nobody_knows_is_not_told(health: Health, url: str, forwarder: str) -> None:
    health.forwarder = forwarder
    dataplanes = Dataplanes(lambda: [Relay(VIP, health=url)])
    await dataplanes.look()
    assert dataplanes.shown()[0]["dataplane"] is None


async def test_a_relay_that_does_not_answer_is_told_without() -> None:
    dataplanes = Dataplanes(lambda: [Relay(VIP, health="http://127.0.0.1:9")], lambda: "xdp")
    await dataplanes.look()
    assert dataplanes.shown()[0]["dataplane"] is None


async def test_a_relay_that_comes_later_is_asked(url: str) -> None:
    relays: list[Relay] = []
    dataplanes = Dataplanes(lambda: relays)
    await dataplanes.look()
    relays.append(Relay(VIP, health=url))
    assert dataplanes.shown()[0]["dataplane"] is None
    await dataplanes.look()
    assert dataplanes.shown()[0]["dataplane"] == "xdp"


async def test_callers_are_told(
    serve: Serve, http: aiohttp.ClientSession, url: str, keys: Keys
) -> None:
    here = keys.add("alice")
    relays = (Relay(VIP, health=url), Relay(Endpoint("198.51.100.7", 3478)))
    async with serve(relays=relays, keys_file=keys.path, dataplane=lambda: "userspace") as server:
        async with http.get(server.url + RELAYS) as response:
            assert response.status == 401
        async with http.get(server.url + RELAYS, headers=here) as response:
            listed = (await response.json())["data"]
    assert [each["dataplane"] for each in listed] == ["xdp", "userspace"]
