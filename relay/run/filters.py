"""What the kernel is to drop before the agent's sockets have it."""

import logging
from collections.abc import Callable, Collection
from ipaddress import ip_address
from socket import socket

from relay.dataplane.kernel.ingresses import NO_SIDES, find_outside
from relay.dataplane.kernel.socketfilter import FilterPrograms, Programs, SocketFilters

_log = logging.getLogger(__name__)


class Filters:
    """The filters of an agent's sockets; without the right to have them, it goes without.

    Args:
        interfaces: The interfaces that the relay is told of.
        vips: The hosts of its VIPs.
        upstreams: Its upstream addresses.
        told: Whether somebody else says at start that sides cannot be told.
        load: Gives the filters, by the interfaces that no transceiver lies behind.
    """

    def __init__(
        self,
        interfaces: Collection[str],
        vips: Collection[str],
        upstreams: Collection[str],
        *,
        told: bool,
        load: Callable[[Collection[int]], Programs] = FilterPrograms,
    ) -> None:
        self._filters: SocketFilters | None = None
        try:
            outside = find_outside(interfaces, vips, upstreams)
            # To an address of the loopback interface's own net, nobody outside can send.
            reachable = not all(ip_address(each).is_loopback for each in upstreams)
            if reachable and not outside and not told:
                _log.warning("%s", NO_SIDES)
            self._filters = SocketFilters(load(outside))
        except OSError as error:
            self._refused(error)

    def attach(self, udp: socket, *, to_transceivers: bool) -> None:
        """See `SocketFilters.attach`."""
        if self._filters is None:
            return
        try:
            self._filters.attach(udp, to_transceivers=to_transceivers)
        except OSError as error:
            self._refused(error)

    def dropped(self) -> dict[str, int]:
        """See `SocketFilters.dropped`."""
        return self._filters.dropped() if self._filters else {}

    def close(self) -> None:
        """Let go of the filters; the sockets keep them."""
        if self._filters is not None:
            self._filters.close()
            self._filters = None

    def _refused(self, error: OSError) -> None:
        self.close()
        _log.warning(
            "Datagrams are not checked for the side that they come in from, nor for a spent TTL or "
            "a source of this host: "
            "no socket filter (%s); it needs root or CAP_BPF",
            error.strerror,
        )
