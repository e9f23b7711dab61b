import asyncio
from random import Random
from typing import Any

import aiohttp
import pytest

from relay.wire.route import Target
from signaling.members import PoolConfig
from signaling.models import MODELS, ModelRoutes
from signaling.pool import TransceiverPool
from tests.signaling.conftest import Keys, until


def model(name: str, owner: str = "somebody") -> dict[str, Any]:
    return {"id": name, "object": "model", "owned_by": owner}


def listing(*models: Any) -> tuple[int, Any]:
    return 200, {"object": "list", "data": list(models)}


@pytest.mark.parametrize(
    ("first", "second", "listed"),
    [
        (listing(), listing(), []),
        (listing(model("b")), listing(model("a")), [model("a"), model("b")]),
        (listing(model("a")), listing(model("a")), [model("a")]),
        (listing(model("a")), (404, {}), [model("a")]),
        (listing(model("a")), (200, {"data": 5}), [model("a")]),
        (listing(model("a"), 5, {"id": 7}, {}), listing(), [model("a")]),
        (listing({"id": "a", "secret": "x"}), listing(), [model("a", "icelane")]),
    ],
)
async def test_the_models_of_all_transceivers_are_listed_once(
    *,
    http: aiohttp.ClientSession,
    serve: Any,
    control: Any,
    first: tuple[int, Any],
    second: tuple[int, Any],
    listed: list[dict[str, Any]],
) -> None:
    async with (
        control(models=first).running() as one,
        control(models=second).running() as other,
        serve((Target(1, 1, 1), one.url), (Target(1, 2, 1), other.url)) as server,
        http.get(server.url + MODELS) as response,
    ):
        assert response.status == 200
        assert await response.json() == {"object": "list", "data": listed}


async def test_a_key_lists_what_it_may_use(
    http: aiohttp.ClientSession, serve: Any, control: Any, keys: Keys
) -> None:
    header = keys.add("alice", models=("b",))
    async with (
        control(models=listing(model("a"), model("b"))).running() as api,
        serve((Target(1, 1, 1), api.url), keys_file=keys.path) as server,
        http.get(server.url + MODELS, headers=header) as response,
    ):
        assert [each["id"] for each in (await response.json())["data"]] == ["b"]
        async with http.get(server.url + MODELS) as refused:
            assert refused.status == 401


async def test_without_a_transceiver_there_are_no_models(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    async with (
        serve((Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")) as server,
        http.get(server.url + MODELS) as response,
    ):
        assert await response.json() == {"object": "list", "data": []}


async def test_transceivers_are_asked_once_for_all_who_want_to_know(
    http: aiohttp.ClientSession,
    serve: Any,
    control: Any,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob = keys.add("alice"), keys.add("bob")
    async with (
        control(models=listing(model("a"))).running() as api,
        serve((Target(1, 1, 1), api.url), keys_file=keys.path) as server,
    ):

        async def listed(header: dict[str, str]) -> list[str]:
            async with http.get(server.url + MODELS, headers=header) as response:
                return [each["id"] for each in (await response.json())["data"]]

        assert await asyncio.gather(*(listed(alice) for _ in range(20))) == [["a"]] * 20
        assert api.listed == 1
        assert await listed(bob) == ["a"]
        assert api.listed == 2, "what one may use is not told to another"
        monkeypatch.setattr("signaling.models.FRESH", 0.0)
        api.models = listing(model("b"))
        assert await listed(alice) == ["b"]


async def test_those_of_a_transceiver_that_comes_are_listed_at_once(
    http: aiohttp.ClientSession, serve: Any, control: Any
) -> None:
    late = control(models=listing(model("late")), health={})  # not well yet
    async with (
        control(models=listing(model("a"))).running() as api,
        late.running() as other,
        serve((Target(1, 1, 1), api.url), (Target(1, 2, 1), other.url)) as server,
    ):
        for health, wanted in (({}, ["a"]), (api.health, ["a", "late"])):
            late.health = health
            await until(lambda: server._pool.members.reachable == len(wanted))  # noqa: B023
            async with http.get(server.url + MODELS) as response:
                assert [each["id"] for each in (await response.json())["data"]] == wanted


def test_of_many_who_ask_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.models.MAX_PRINCIPALS", 2)
    routes = ModelRoutes(TransceiverPool((), random=Random(1), config=PoolConfig()))
    first = routes._of("a")
    routes._of("b")
    assert routes._of("a") is first
    routes._of("c")
    assert list(routes._known) == ["a", "c"]
