"""The clients of other relays, whose first packets go up however much else is unknown."""

import errno

from relay.core.flowtuple import Source
from relay.dataplane.kernel.maps import DORMANT_CLIENTS
from relay.dataplane.kernel.pins import Instance
from relay.wire.endpoint import PACKED_SIZE

_ADDRESS = PACKED_SIZE - 2  # bytes before the port
_VALUE = bytes(4)


class DormantClients:
    """The map of them.

    Args:
        pins: The instance.

    Raises:
        DataplaneError: It has none: an older version has loaded it.
    """

    def __init__(self, pins: Instance) -> None:
        self._map = pins.opened(DORMANT_CLIENTS)

    def close(self) -> None:
        """Let go of the map; what is in it stays."""
        self._map.close()

    def clear(self) -> None:
        """Forget all, which an agent before this one has left."""
        self._map.sync({})

    def add(self, source: Source) -> None:
        """Let the packets of a client up; one for whom there is no room is like any other."""
        try:
            self._map.update(_key(source), _VALUE)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise

    def discard(self, source: Source) -> None:
        """It is like any other client again."""
        self._map.delete(_key(source))


def _key(source: Source) -> bytes:
    """A client as `struct dormant_client` has it."""
    client, vip = source[:PACKED_SIZE], source[PACKED_SIZE : 2 * PACKED_SIZE]
    return client[:_ADDRESS] + vip[:_ADDRESS] + client[_ADDRESS:] + vip[_ADDRESS:]
