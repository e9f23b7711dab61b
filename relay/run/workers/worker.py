"""What an agent works on: all of a relay, or a part of it."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.run.workers.shard import Shard
from relay.wire.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker; or an agent that has no others beside it.

    What it is not given, it opens itself. Its supervisor gives it sockets, or the agent before it.

    Attributes:
        shard: The clients that belong to it.
        sockets: Its sockets on the VIPs.
        listeners: The sockets on which clients connect, which all workers share.
        steered: The socket for all upstream ports, by address family.
        metrics: The socket at which metrics are served.
    """

    shard: Shard
    sockets: Mapping[Endpoint, socket.socket] = field(default_factory=dict)
    listeners: Mapping[Endpoint, socket.socket] = field(default_factory=dict)
    steered: Mapping[int, socket.socket] = field(default_factory=dict)
    metrics: socket.socket | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there are no others."""
        return self.shard.count == 1


WHOLE = Worker(Shard(index=0, count=1, seed=0))  # there are no others
