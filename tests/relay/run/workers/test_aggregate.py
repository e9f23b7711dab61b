"""What several workers say, as one answer: asked at real admin sockets, some without an agent."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from relay.admin.transport import Handler, serve
from relay.errors import AdminError
from relay.run.workers import aggregate

COUNTERS = ({"confirmed": 2, "forged": 1}, {"confirmed": 3, "adopted": 4})


def worker(number: int) -> Mapping[str, Handler]:
    """The commands of a worker with two flows; it tells of each in a piece of its own."""

    async def counters(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield COUNTERS[number]

    async def status(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield {"pid": number, "counters": COUNTERS[number], "flows": []}
        for flow in range(2):
            yield {"flows": [f"{number}.{flow}"]}

    async def broken(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield {"confirmed": 1}
        raise AdminError("ended meanwhile")

    async def overview(_: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield {
            "pid": number,
            "counters": COUNTERS[number],
            "flow_counts": {"confirmed": 2},
            "used": {"flows": 2},
            "limits": {"flows": 10},
            "mirror": {"lag_seconds": 0.5 + number, "waiting": 3},
            "loop": {"longest_ms": number},
            "tasks": {},
        }

    async def busiest(request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        assert request["sort"] == "total"
        way = {"bytes": 10 * number}
        yield {
            "flows": [{"client": f"{number}", "to_transceiver": way, "to_client": way}],
            "matching": 2,
            "one_way": 1,
        }

    return {
        "counters": counters,
        "status": status,
        "broken": broken,
        "overview": overview,
        "busiest": busiest,
    }


@pytest.fixture
async def paths(tmp_path: Path) -> AsyncIterator[list[Path]]:
    """Two workers that answer, and between them one that is being started again."""
    paths = [tmp_path / f"admin.sock.{index}" for index in range(3)]
    async with AsyncExitStack() as stack:
        for number, path in enumerate((paths[0], paths[2])):
            server = await serve(path, worker(number))
            stack.callback(server.close)
        yield paths


def test_numbers_of_one_name_are_added_up() -> None:
    assert aggregate.add_up(COUNTERS) == {"adopted": 4, "confirmed": 5, "forged": 1}
    assert list(aggregate.add_up(COUNTERS)) == ["adopted", "confirmed", "forged"]
    assert aggregate.add_up([]) == {}


async def test_a_worker_that_is_being_started_again_has_no_numbers(paths: list[Path]) -> None:
    expected = {"adopted": 4, "confirmed": 5, "forged": 1}
    assert await aggregate.numbers(paths, "counters") == expected
    # The same from the thread that serves metrics.
    assert await asyncio.to_thread(aggregate.ask_all, paths, "counters") == expected


async def test_without_any_worker_there_are_no_numbers(tmp_path: Path) -> None:
    assert await aggregate.numbers([tmp_path / "nobody"], "counters") == {}
    assert aggregate.ask_all([tmp_path / "nobody"], "counters") == {}


async def test_status_is_the_relays_own_with_the_flows_of_all(paths: list[Path]) -> None:
    head = {"pid": 4711, "dataplane": "userspace", "counters": {"workers_restarted": 1}}
    first, *rest = [piece async for piece in aggregate.status(paths, head)]
    assert first == {
        "pid": 4711,
        "dataplane": "userspace",
        "counters": {"adopted": 4, "confirmed": 5, "forged": 1, "workers_restarted": 1},
        "dataplane_counters": {},
        "flows": [],
    }
    assert all(piece.keys() == {"flows"} for piece in rest)
    flows = [flow for piece in rest for flow in piece["flows"]]
    assert flows == ["0.0", "0.1", "1.0", "1.1"]


async def test_an_overview_is_the_relays_own_with_the_sums_of_all(paths: list[Path]) -> None:
    workers = [{"pid": 0, "processor": 5}, {"pid": 9, "processor": 6}]
    head = {"pid": 4711, "counters": {"workers_restarted": 1}, "workers": workers}
    told = await aggregate.overview(paths, head)
    assert told["pid"] == 4711
    assert told["counters"]["confirmed"] == 5
    assert told["counters"]["workers_restarted"] == 1
    assert (told["flow_counts"], told["limits"]) == ({"confirmed": 4}, {"flows": 20})
    assert told["mirror"] == {"lag_seconds": 1.5, "waiting": 6}
    first, gone = told["workers"]
    assert (first["processor"], first["loop"]) == (5, {"longest_ms": 0})
    assert gone == {"pid": 9, "processor": 6}


async def test_the_busiest_flows_are_those_of_all_workers(paths: list[Path]) -> None:
    told = await aggregate.busiest(paths, {"command": "busiest", "sort": "total", "limit": 1})
    assert [row["client"] for row in told["flows"]] == ["1"]
    assert (told["matching"], told["one_way"]) == (4, 2)
