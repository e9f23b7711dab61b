"""Whose place an agent has taken, and who takes its own."""

import asyncio
import gc
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.admin.transport import Conversation
from relay.core.handoff import Handoff
from relay.dataplane.interface import Dataplane
from relay.errors import TakeoverError
from relay.run.fleet import Fleet
from relay.run.sockets import AgentSockets
from relay.run.takeover.channel import Channel
from relay.run.takeover.estate import Estate
from relay.run.takeover.offer import COMMAND, Offer
from relay.run.takeover.predecessor import Predecessor

if TYPE_CHECKING:
    from socket import socket

    from relay.wire.endpoint import Endpoint

_log = logging.getLogger(__name__)


class Succession:
    """One agent's.

    Args:
        workers: How many workers its relay has.
        predecessor: The agent whose place it takes, if there is one.
        dataplane: Gives what forwards confirmed flows right now.
        fleet: The relay's part in the registry.
        release: Lets go of all flows and sockets.

    Attributes:
        ended: Set when another agent has taken its place.
        metrics: The socket at which metrics are served, if they are.
    """

    def __init__(
        self,
        workers: int,
        predecessor: Predecessor | None,
        *,
        dataplane: Callable[[], Dataplane],
        fleet: Fleet,
        release: Callable[[], None],
    ) -> None:
        self.ended = asyncio.Event()
        self.metrics: dict[Endpoint, socket] = {}
        self._workers = workers
        self._predecessor = predecessor
        self._dataplane = dataplane
        self._fleet = fleet
        self._release = release
        self._sockets: AgentSockets
        self._estate: Estate

    @property
    def is_pending(self) -> bool:
        """Whether the agent is still to take another one's place."""
        return self._predecessor is not None

    @property
    def conversations(self) -> Mapping[str, Conversation]:
        """What belongs to the admin socket, for those who come after."""
        offer = Offer(
            workers=self._workers,
            sockets=lambda: replace(self._sockets.handed(), metrics=self.metrics),
            give=self._give,
            leave=self._leave,
            about=lambda: {"steers": self._dataplane().steers},
        )
        return {COMMAND: offer.serve}

    def begin(self, handoff: Handoff, sockets: AgentSockets, adopt: Callable[[], None]) -> None:
        """Have all flows that there are, in the kernel and of an agent before this one.

        That one has stopped when this returns, and so the agent is to serve at once.

        Args:
            handoff: The flows.
            sockets: The sockets.
            adopt: Adopts those that the dataplane has.

        Raises:
            TakeoverError: The agent before goes on.
        """
        self._sockets = sockets
        self._estate = Estate(handoff, sockets, self._fleet)
        if self._predecessor is None:
            adopt()
            return
        gc.disable()  # what there is to look at grows, and is no garbage
        try:
            self._take_over(self._predecessor, adopt)
        finally:
            gc.enable()
        self.close()

    def _take_over(self, predecessor: Predecessor, adopt: Callable[[], None]) -> None:
        try:
            predecessor.hold()
        except TakeoverError:
            if not predecessor.has_ended:
                raise
        adopt()  # before other flows have ports that it finds taken
        try:
            count = self._estate.take(predecessor)
            held = predecessor.relieve()
        except TakeoverError as error:
            if not predecessor.has_ended:
                raise
            _log.warning("%s: this one goes on as after a crash", error)
        else:
            _log.info("took over from another agent, with %d flows, in %.1f ms", count, held * 1000)

    def close(self) -> None:
        """Be done with the agent before; if it has not been relieved, it goes on."""
        if self._predecessor is not None:
            self._predecessor.close()
            self._predecessor = None

    def _give(self, channel: Channel) -> None:
        self._estate.give(channel, adopted=self._dataplane().steers)

    def _leave(self) -> None:
        self._fleet.goes_on = True
        self._release()
        self.ended.set()
