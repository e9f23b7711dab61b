"""What Redis bears meanwhile: its requests and memory, looked at twice a second."""

import threading
from collections.abc import Sequence
from typing import Self

import redis

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint

_EVERY = 0.5  # seconds


class RedisLoad:
    """Looks at servers while entered.

    Args:
        host: Where they are.
        servers: Their addresses.

    Attributes:
        requests: The most requests of all together in a second.
        busiest: The same of one of them.
        megabytes: The most memory of all together.
        records: The most keys.
    """

    def __init__(self, host: Host, servers: Sequence[Endpoint]) -> None:
        self.requests = self.busiest = self.records = 0
        self.megabytes = 0.0
        self._host = host
        self._servers = servers
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End."""
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        with self._host.inside():  # this thread, and all sockets that it makes
            clients = [redis.Redis(each.host, each.port) for each in self._servers]
            while not self._end.wait(_EVERY):
                self._look([client.info() for client in clients], [c.dbsize() for c in clients])

    def _look(self, told: Sequence[dict[str, float]], records: Sequence[int]) -> None:
        requests = [int(each["instantaneous_ops_per_sec"]) for each in told]
        self.requests = max(self.requests, sum(requests))
        self.busiest = max(self.busiest, *requests)
        self.megabytes = max(self.megabytes, sum(each["used_memory"] for each in told) / 1e6)
        self.records = max(self.records, sum(records))
