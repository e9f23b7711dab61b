"""The addresses from which edges send their clients' checks, which have a rate of their own."""

import errno

from relay.dataplane.kernel.maps import EDGES
from relay.dataplane.kernel.pins import Instance
from relay.wire.endpoint import Endpoint

_FULL_BUCKET = bytes(8)  # a `struct token_bucket`


class Edges:
    """The map of them.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It has none: an older version has loaded it.
    """

    def __init__(self, pins: Instance) -> None:
        self._map = pins.opened(EDGES)

    def close(self) -> None:
        """Let go of the map; what is in it stays."""
        self._map.close()

    def clear(self) -> None:
        """Forget all, which an agent before this one has left."""
        self._map.sync({})

    def add(self, edge: Endpoint) -> None:
        """Give an edge at an address its rate, on any port; one without room is as any client."""
        key = edge.packed[:16]
        if self._map.lookup(key) is not None:  # its bucket is not to be filled anew
            return
        try:
            self._map.update(key, _FULL_BUCKET)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
