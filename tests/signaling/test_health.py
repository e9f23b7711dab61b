import asyncio
from typing import Any

import aiohttp

from relay.wire.route import Target


async def test_health_is_of_this_server_and_not_of_others(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    async with (
        serve((Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")) as server,
        http.get(server.url + "/healthz") as response,
    ):
        assert response.status == 200
        assert await response.json() == {
            "status": "ok",
            "transceivers": {"registered": 1, "reachable": 0, "with_room": 0},
            "registry": {"trouble": None},
            "failing": [],
            "faults": {},
        }


async def test_it_is_told_why_what_is_known_of_the_fleet_may_be_old(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    async with serve((Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")) as server:
        server._directory.doubt(lambda: "it does not answer")
        async with http.get(server.url + "/healthz") as response:
            assert response.status == 200
            assert (await response.json())["registry"] == {"trouble": "it does not answer"}


async def test_all_background_tasks_are_told_of(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int
) -> None:
    async with serve((Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")) as server:

        async def work() -> None:
            await asyncio.Event().wait()

        server.supervisor.start("registry", work, essential=False, trouble=lambda: "hidden")
        async with http.get(server.url + "/healthz") as response:
            assert response.status == 200
            told = await response.json()
        assert told["failing"] == ["registry"]
        assert "hidden" not in str(told)  # anybody may ask
