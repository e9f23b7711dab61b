"""What an agent can be asked and told at its admin socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from relay.admin.transport import Handler
from relay.dataplane.interface import DataplaneChoice
from relay.errors import AdminError, DataplaneError


class AdministeredAgent(Protocol):
    """What the commands are about: the agent."""

    @property
    def forwarder(self) -> DataplaneChoice:
        """What forwards confirmed flows right now."""

    def counters(self) -> dict[str, int]:
        """What the agent itself did, in datagrams by reason."""

    def flow_counts(self) -> dict[str, int]:
        """How many flows there are, by state."""

    def status(self) -> AsyncIterator[Mapping[str, Any]]:
        """What the agent knows of itself, in pieces."""

    async def switch(self, choice: DataplaneChoice) -> None:
        """Let the kernel forward, or the agent."""


class AdminCommands:
    """The commands of an agent's admin socket.

    Args:
        agent: The agent.
    """

    def __init__(self, agent: AdministeredAgent) -> None:
        self._agent = agent
        self._switching = asyncio.Lock()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The commands by name."""
        return {
            "status": self._status,
            "counters": self._counters,
            "flow_counts": self._flow_counts,
            "switch": self._switch,
        }

    def _status(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        return self._agent.status()

    async def _counters(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._agent.counters()  # alone: the list of all flows may be long

    async def _flow_counts(self, _: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        yield self._agent.flow_counts()

    async def _switch(self, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        choice = request.get("dataplane")
        if choice not in (DataplaneChoice.XDP, DataplaneChoice.USERSPACE):
            raise AdminError("switch to xdp or to userspace")
        if self._switching.locked():
            raise AdminError("the agent is switching already")
        async with self._switching:
            try:
                await self._agent.switch(DataplaneChoice(choice))
            except DataplaneError as error:
                raise AdminError(str(error)) from None
        yield {"dataplane": self._agent.forwarder}
