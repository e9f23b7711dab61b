"""What an agent can be asked and told at its admin socket."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from relay.admin.busiest import Question, busiest
from relay.admin.transport import Handler
from relay.core.flow import Flow
from relay.dataplane.interface import DataplaneChoice
from relay.errors import AdminError, DataplaneError

Result = TypeVar("Result")


class TellingAgent(Protocol):
    """What can be asked of an agent."""

    @property
    def forwarder(self) -> DataplaneChoice:
        """What forwards confirmed flows right now."""

    def counters(self) -> dict[str, int]:
        """What the agent itself did, in datagrams by reason."""

    def flow_counts(self) -> dict[str, int]:
        """How many flows there are, by state."""

    def used(self) -> dict[str, int]:
        """How much of what has a bound is in use."""

    def limits(self) -> dict[str, int]:
        """How much of it there is."""

    def keys(self) -> Mapping[str, Any]:
        """The key slots by which routes are verified, and the one that signs."""

    def setups(self) -> dict[str, float]:
        """How long flows took to be confirmed, as `relay.histogram.Histogram.as_numbers`."""

    def overview(self) -> Mapping[str, Any]:
        """What the agent knows of itself, but for its flows."""

    def awake(self) -> list[Flow]:
        """The flows of which it has seen something."""

    def status(self) -> AsyncIterator[Mapping[str, Any]]:
        """What the agent knows of itself and of its flows, in pieces."""


class SteeredAgent(Protocol):
    """What can be told to it."""

    async def switch(self, choice: DataplaneChoice) -> None:
        """Let the kernel forward, or the agent."""

    def drain(self, *, on: bool) -> None:
        """Want no new clients, or want them again."""

    async def unload(self) -> bool:
        """Forward without the kernel, whose program goes; says whether it had one."""


class AdminCommands:
    """The commands of an agent's admin socket.

    Args:
        state: What the agent tells.
        agent: The agent.
    """

    def __init__(self, state: TellingAgent, agent: SteeredAgent) -> None:
        self._state = state
        self._agent = agent
        self._switching = asyncio.Lock()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The commands by name."""
        return {
            "status": self._status,
            "overview": self._overview,
            "busiest": self._busiest,
            "counters": self._counters,
            "flow_counts": self._flow_counts,
            "used": self._used,
            "limits": self._limits,
            "keys": self._keys,
            "setups": self._setups,
            "switch": self._switch,
            "unload": self._unload,
            "drain": self._drain,
        }

    def _status(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        return self._state.status()

    async def _overview(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._state.overview()

    async def _busiest(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield await busiest(self._state.awake(), Question.parse(request), clock=time.monotonic)

    async def _counters(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._state.counters()  # alone: the list of all flows may be long

    async def _flow_counts(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._state.flow_counts()

    async def _used(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._state.used()

    async def _limits(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._state.limits()

    async def _keys(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._state.keys()

    async def _setups(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._state.setups()

    async def _switch(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        choice = request.get("dataplane")
        if choice not in (DataplaneChoice.XDP, DataplaneChoice.USERSPACE):
            raise AdminError("switch to xdp or to userspace")
        await self._changed(self._agent.switch(DataplaneChoice(choice)))
        yield {"dataplane": self._state.forwarder}

    async def _unload(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        unloaded = await self._changed(self._agent.unload())
        yield {"unloaded": unloaded, "dataplane": self._state.forwarder}

    async def _drain(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        on = request.get("on") is not False
        self._agent.drain(on=on)
        yield {"draining": on}

    async def _changed(self, change: Coroutine[Any, Any, Result]) -> Result:
        """What a change of the dataplane comes to; there is one at a time."""
        if self._switching.locked():
            change.close()
            raise AdminError("the agent is switching already")
        async with self._switching:
            try:
                return await change
            except DataplaneError as error:
                raise AdminError(str(error)) from None
