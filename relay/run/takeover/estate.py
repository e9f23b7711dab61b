"""What an agent leaves to its successor when it stops forwarding: flows, their sockets, ports."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from socket import socket
from typing import Any, TypeVar

from relay.core.handoff import Handoff, Written
from relay.errors import TakeoverError
from relay.forwarding.connection import Midway
from relay.run.fleet import Fleet
from relay.run.sockets import AgentSockets
from relay.run.takeover.channel import MOST_FILES, Channel
from relay.run.takeover.predecessor import Predecessor

_Item = TypeVar("_Item")
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, OSError)


class Estate:
    """Gives all that an agent has, and takes it.

    Args:
        handoff: The flows.
        sockets: The sockets.
        fleet: Knows whether it drains.
    """

    def __init__(self, handoff: Handoff, sockets: AgentSockets, fleet: Fleet) -> None:
        self._handoff = handoff
        self._sockets = sockets
        self._fleet = fleet

    def give(self, channel: Channel, *, adopted: bool) -> None:
        """Send it.

        Args:
            channel: To whom.
            adopted: Whether the successor adopts the flows that the dataplane has.

        Raises:
            TakeoverError: It is not taken.
        """
        channel.send({"draining": self._fleet.draining, "resting": self._handoff.resting()})
        for some in _pieces(self._sockets.connections()):
            files = [tcp.fileno() for tcp, _ in some]
            channel.send({"connections": [midway for _, midway in some]}, files)
        for flows in _pieces(self._handoff.flows(adopted=adopted)):
            opened = [self._sockets.upstream(flow) for flow, _ in flows]
            files = [udp.fileno() for udp in opened if udp is not None]
            told = zip(flows, opened, strict=True)
            channel.send({"flows": [[each, udp is not None] for (_, each), udp in told]}, files)
        channel.send({"end": True})

    def take(self, predecessor: Predecessor) -> int:
        """Go on with it; how many flows that were.

        Raises:
            TakeoverError: It is not given.
        """
        count = 0
        for message, sockets in predecessor.give():
            try:
                count += self._take(message, sockets)
            except _MALFORMED as error:
                raise TakeoverError(f"what is handed over cannot be used: {error}") from error
        return count

    def _take(self, message: dict[str, Any], sockets: Sequence[socket]) -> int:
        if "draining" in message:
            self._fleet.drain(on=message["draining"])
            self._handoff.let_rest(message["resting"])
        for tcp, midway in zip(sockets, message.get("connections", ()), strict=False):
            self._sockets.adopt_connection(tcp, Midway(*midway))
        left = iter(sockets)
        flows = message.get("flows", ())
        for written, has_socket in flows:
            self._take_flow(written, next(left) if has_socket else None)
        return len(flows)

    def _take_flow(self, written: Written, udp: socket | None) -> None:
        flow = self._handoff.take(written)
        if flow is None:
            if udp is not None:
                udp.close()
            return
        self._sockets.adopt(flow, udp)


def _pieces(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """All of them, so many at a time as have a file each."""
    left = iter(items)
    while some := list(islice(left, MOST_FILES)):
        yield some
