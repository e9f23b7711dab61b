"""The offline agent as a service that runs: by itself, or within `icelane up`."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.wire.endpoint import Endpoint
from transceiver.agent.settings import AgentSettings
from transceiver.bridge.table import Service, Table

if TYPE_CHECKING:
    from transceiver.agent.service import AgentService

#: The back end's name.
AGENT = "agent"
_OWN = Endpoint("127.0.0.1", 0)

_log = logging.getLogger(__name__)


@asynccontextmanager
async def agent_service(settings: AgentSettings) -> AsyncIterator["AgentService"]:
    """An agent that serves while the context is entered.

    Raises:
        AgentError: A part of it cannot be used.
        BindError: Its address cannot be listened on.
    """
    from transceiver.agent.offline import offline_parts
    from transceiver.agent.service import AgentService

    async with (
        offline_parts(settings.recogniser) as parts,
        AgentService(settings.listen, parts, capacity=settings.capacity) as service,
    ):
        yield service


@asynccontextmanager
async def beginning_with_agent(
    table: Table, settings: AgentSettings, *, required: bool
) -> AsyncIterator[Table]:
    """A table of back ends whose first is an agent that runs while the context is entered.

    Where one cannot run, the table is as it was, if none is `required`.

    Raises:
        AgentError: None can run, and it is required.
    """
    from transceiver.agent.speech.errors import AgentError

    async with AsyncExitStack() as stack:
        _log.info("loading the offline agent")
        own = settings.model_copy(update={"listen": _OWN})
        try:
            agent = await stack.enter_async_context(agent_service(own))
        except AgentError as error:
            if required:
                raise
            _log.warning("the offline agent cannot run, so an echo answers: %s", error)
        else:
            table = replace(table, services=(Service(AGENT, agent.url), *table.services))
        yield table
