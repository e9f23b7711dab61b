"""Where requests come from, as their connections and the proxies on their way say."""

import logging
from collections.abc import Sequence

from aiohttp import hdrs, web

from relay.config.networks import Network
from signaling.client import Origin, client_of, region_of

_SHOWN = 60  # characters of what a proxy writes, in the log

_log = logging.getLogger(__name__)


class Origins:
    """Tells where requests come from.

    Args:
        proxies: Who is believed when he says whose request he passes on, and from where.
        region_header: The header in which they tell the region of a client; None for none.
    """

    def __init__(self, proxies: Sequence[Network], region_header: str | None = None) -> None:
        self._proxies = proxies
        self._region_header = region_header
        self._has_warned = False

    def of(self, request: web.BaseRequest) -> Origin:
        """Where a request comes from."""
        peer, headers = request.remote or "", request.headers
        forwarded = headers.getall(hdrs.X_FORWARDED_FOR, [])
        told = headers.getall(self._region_header, []) if self._region_header else []
        client = client_of(peer, forwarded, self._proxies, self._warn)
        return Origin(client, region_of(peer, told, self._proxies))

    def _warn(self, proxy: str, entry: str) -> None:
        """Say once that a proxy's word cannot be read; it would be said at each request."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "the proxy %s writes %a into X-Forwarded-For, which is no address: its clients "
                "count as one, and share its places; let it write the address of whom it talks to",
                proxy,
                entry[:_SHOWN],
            )
