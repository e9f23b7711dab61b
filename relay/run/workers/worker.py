"""What one of several workers of a relay works on."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.run.workers.shard import Shard
from relay.wire.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker.

    Attributes:
        shard: The clients that belong to it.
        sockets: Its sockets on the VIPs; it binds those that are missing itself.
        listeners: The sockets on which clients connect, which all workers share.
    """

    shard: Shard
    sockets: Mapping[Endpoint, socket.socket] = field(default_factory=dict)
    listeners: Mapping[Endpoint, socket.socket] = field(default_factory=dict)


WHOLE = Worker(Shard(index=0, count=1, seed=0))  # there are no others
