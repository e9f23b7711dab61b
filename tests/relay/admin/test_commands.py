"""What can be asked and told at the admin socket of an agent."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.admin.commands import AdminCommands
from relay.admin.transport import ask, serve
from relay.core.flow import Flow
from relay.dataplane.errors import AttachError
from relay.dataplane.interface import DataplaneChoice
from relay.errors import AdminError
from tests.relay.conftest import eventually

LIMIT = 5.0  # seconds for an answer


class SlowAgent:
    """An agent whose switching ends when a test says so, and fails if it says that."""

    def __init__(self) -> None:
        self.forwarder = DataplaneChoice.USERSPACE
        self.may_end = asyncio.Event()
        self.failure: Exception | None = None
        self.stays = False  # with what it has, whatever it is told
        self.calls: Counter[str] = Counter()
        self.drained: list[bool] = []

    def counters(self) -> dict[str, int]:
        return {"confirmed": 3}

    def flow_counts(self) -> dict[str, int]:
        return {"pending": 1, "confirmed": 2}

    def used(self) -> dict[str, int]:
        return {}

    def setups(self) -> dict[str, float]:
        return {}

    def limits(self) -> dict[str, int]:
        return {}

    def keys(self) -> Mapping[str, Any]:
        return {"slots": [0, 1], "signing": 1}

    def overview(self) -> Mapping[str, Any]:
        return {"pid": 4711}

    def awake(self) -> list[Flow]:
        return []

    async def status(self) -> AsyncIterator[Mapping[str, Any]]:
        self.calls["status"] += 1
        yield {"pid": 4711, "flows": []}
        yield {"flows": [{"client": "203.0.113.2:40000"}]}

    async def switch(self, choice: DataplaneChoice) -> None:
        self.calls["switch"] += 1
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        if not self.stays:
            self.forwarder = choice

    def drain(self, *, on: bool) -> None:
        self.drained.append(on)

    async def unload(self) -> bool:
        await self.switch(DataplaneChoice.USERSPACE)
        return True


@asynccontextmanager
async def serving(agent: SlowAgent, path: Path) -> AsyncIterator[None]:
    server = await serve(path, AdminCommands(agent, agent).handlers)
    yield
    server.close()
    await server.wait_closed()


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[SlowAgent]:
    agent = SlowAgent()
    async with serving(agent, tmp_path / "admin.sock"):
        yield agent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


async def asked(path: Path, command: str, **fields: object) -> dict[str, Any]:
    return await asyncio.to_thread(lambda: ask(path, command, LIMIT, **fields))


@pytest.mark.usefixtures("agent")
async def test_the_agent_tells_what_it_knows(path: Path) -> None:
    assert await asked(path, "counters") == {"confirmed": 3}
    assert await asked(path, "flow_counts") == {"pending": 1, "confirmed": 2}
    assert await asked(path, "status") == {
        "pid": 4711,
        "flows": [{"client": "203.0.113.2:40000"}],
    }


@pytest.mark.usefixtures("agent")
async def test_the_agent_tells_of_itself_and_of_its_busiest_flows(path: Path) -> None:
    assert await asked(path, "overview") == {"pid": 4711}
    told = await asked(path, "busiest", over=0.0)
    assert told == {"flows": [], "matching": 0, "one_way": 0}


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"sort": "colour"}, "flows are sorted by bits, packets"),
        ({"limit": "many"}, "no question about flows"),
        ({"show": {"client": "nobody"}}, "no question about flows"),
        ({"show": "nobody"}, "no question about flows"),
        ({"over": None}, "no question about flows"),
    ],
    ids=str,
)
async def test_what_is_no_question_about_flows_is_refused(
    path: Path, fields: dict[str, object], says: str
) -> None:
    with pytest.raises(AdminError, match=says):
        await asked(path, "busiest", **fields)


async def test_counters_come_without_the_list_of_flows(agent: SlowAgent, path: Path) -> None:
    await asked(path, "counters")
    await asked(path, "flow_counts")
    assert agent.calls["status"] == 0


@pytest.mark.parametrize("choice", ["xdp", "userspace"])
async def test_a_switch_is_answered_with_what_forwards_then(
    agent: SlowAgent, path: Path, choice: str
) -> None:
    agent.may_end.set()
    assert await asked(path, "switch", dataplane=choice) == {"dataplane": choice}
    assert agent.forwarder == choice


async def test_the_answer_is_what_the_agent_says_and_not_what_was_asked(
    agent: SlowAgent, path: Path
) -> None:
    agent.stays = True
    agent.may_end.set()
    assert await asked(path, "switch", dataplane="xdp") == {"dataplane": "userspace"}


@pytest.mark.parametrize("choice", ["auto", "dpdk", "", None, 5, ["xdp"]], ids=str)
async def test_what_is_no_dataplane_is_refused(
    agent: SlowAgent, path: Path, choice: object
) -> None:
    with pytest.raises(AdminError, match="switch to xdp or to userspace"):
        await asked(path, "switch", dataplane=choice)
    assert agent.calls["switch"] == 0


async def test_a_second_switch_meanwhile_is_refused_and_the_first_goes_on(
    agent: SlowAgent, path: Path
) -> None:
    first = asyncio.create_task(asked(path, "switch", dataplane="xdp"))
    await eventually(lambda: agent.calls["switch"] == 1, "the first is on its way")
    with pytest.raises(AdminError, match="the agent is switching already"):
        await asked(path, "switch", dataplane="userspace")
    assert await asked(path, "counters") == {"confirmed": 3}  # it waits for nothing else
    agent.may_end.set()
    assert await first == {"dataplane": "xdp"}
    assert await asked(path, "switch", dataplane="userspace") == {"dataplane": "userspace"}


async def test_unloading_is_answered_with_what_forwards_then_and_waits_for_no_switch(
    agent: SlowAgent, path: Path
) -> None:
    first = asyncio.create_task(asked(path, "switch", dataplane="xdp"))
    await eventually(lambda: agent.calls["switch"] == 1, "the first is on its way")
    with pytest.raises(AdminError, match="the agent is switching already"):
        await asked(path, "unload")
    agent.may_end.set()
    await first
    assert await asked(path, "unload") == {"unloaded": True, "dataplane": "userspace"}


async def test_a_dataplane_that_cannot_be_had_is_told_and_may_be_tried_again(
    agent: SlowAgent, path: Path
) -> None:
    agent.failure = AttachError("the driver of eth0 does not take it: choose --mode generic")
    agent.may_end.set()
    with pytest.raises(AdminError, match="choose --mode generic"):
        await asked(path, "switch", dataplane="xdp")
    agent.failure = None
    assert await asked(path, "switch", dataplane="xdp") == {"dataplane": "xdp"}


async def test_it_drains_and_wants_clients_again(agent: SlowAgent, tmp_path: Path) -> None:
    for on in (True, False):
        answer = await asyncio.to_thread(ask, tmp_path / "admin.sock", "drain", on=on)
        assert answer == {"draining": on}
    assert agent.drained == [True, False]
