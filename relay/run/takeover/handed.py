"""The sockets that an agent's successor is given before it takes over: both have them then."""

import os
import socket
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from relay.wire.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class HandedSockets:
    """Sockets of an agent, or of the supervisor of several workers.

    Attributes:
        vips: Those on each VIP: one, or one for each worker in the order of their numbers.
        listeners: Those on which clients connect.
        metrics: Those at which metrics are served.
        steered: Those for all upstream ports, by address family.
    """

    vips: Mapping[Endpoint, Sequence[socket.socket]] = field(default_factory=dict)
    listeners: Mapping[Endpoint, socket.socket] = field(default_factory=dict)
    metrics: Mapping[Endpoint, socket.socket] = field(default_factory=dict)
    steered: Mapping[int, socket.socket] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, str, socket.socket]]:
        """Each socket: what it is for, where, and itself."""
        for vip, group in self.vips.items():
            yield from (("vip", str(vip), each) for each in group)
        for address, listener in self.listeners.items():
            yield "tcp", str(address), listener
        for address, listener in self.metrics.items():
            yield "metrics", str(address), listener
        for family, udp in self.steered.items():
            yield "steered", str(family), udp

    def describe(self) -> dict[str, Any]:
        """What each is, as JSON can hold it, in the order of the iteration."""
        return {"sockets": [[kind, where] for kind, where, _ in self]}

    @classmethod
    def of(cls, described: Mapping[str, Any], files: Sequence[int]) -> "HandedSockets":
        """The sockets, of what `describe` has said and their descriptors, which they own then.

        Raises:
            ValueError: That is something else.
            TypeError: Likewise.
            KeyError: Likewise.
            OSError: Something is no socket.
        """
        vips: dict[Endpoint, list[socket.socket]] = {}
        found: dict[str, dict[Any, socket.socket]] = {"tcp": {}, "metrics": {}, "steered": {}}
        opened = opened_sockets(files)
        for (kind, where), each in zip(described["sockets"], opened, strict=True):
            if kind == "vip":
                vips.setdefault(Endpoint.parse(where), []).append(each)
            else:
                key = int(where) if kind == "steered" else Endpoint.parse(where)
                found[kind][key] = each
        return cls(vips, found["tcp"], found["metrics"], found["steered"])

    def only(
        self,
        vips: Container[Endpoint],
        listeners: Container[Endpoint],
        metrics: Endpoint | None,
    ) -> "HandedSockets":
        """Those that are wanted; the others are closed, as nobody would read what comes to them."""
        wanted = HandedSockets(
            {vip: group for vip, group in self.vips.items() if vip in vips},
            {address: each for address, each in self.listeners.items() if address in listeners},
            {address: each for address, each in self.metrics.items() if address == metrics},
            self.steered,
        )
        kept = {id(each) for _, _, each in wanted}
        for _, _, each in self:
            if id(each) not in kept:
                each.close()
        return wanted

    def close(self) -> None:
        """Close those that nobody has closed; the other process has them still."""
        for _, _, each in self:
            each.close()


def opened_sockets(files: Sequence[int]) -> list[socket.socket]:
    """The sockets of descriptors that another process has given, which own them then.

    Raises:
        OSError: One is no socket; all of them are closed.
    """
    opened: list[socket.socket] = []
    try:
        for each in files:
            opened.append(socket.socket(fileno=each))
            opened[-1].setblocking(False)
    except OSError:
        for left in files[len(opened) :]:
            with suppress(OSError):
                os.close(left)
        for udp in opened:
            udp.close()
        raise
    return opened
