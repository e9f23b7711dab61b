"""What other relays tell of the flows at the same VIPs, as they write it to Redis."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from redis.asyncio.client import PubSub
from redis.exceptions import ResponseError

from relay.mirror.library import CHANNEL
from relay.mirror.mirror import RETRY_AFTER, Mirror
from relay.outage import Outage
from relay.pace import Pace
from relay.redisclient import FAILURES, Client, in_words, require_wanted
from relay.wire.endpoint import Endpoint

LISTEN = 5.0  # seconds

_log = logging.getLogger(__name__)


class Neighbours:
    """Listens to what relays with the same VIPs publish.

    Args:
        connect: Makes a client of Redis whose connections check that they live; once more after
            each failure, for the URL may lead to others by then.
        vips: The public addresses.
        mirror: Is told what is heard; it reads everything again after a gap.
    """

    def __init__(
        self, connect: Callable[[], Client], vips: Iterable[Endpoint], mirror: Mirror
    ) -> None:
        self._connect = connect
        self._channels = [f"{CHANNEL}{vip}" for vip in vips]
        self._mirror = mirror
        self._outage = Outage(_log, "nothing is heard of other relays", "other relays are heard")

    @property
    def trouble(self) -> str | None:
        """Why Redis does not let this relay listen; that it is away, its mirror tells."""
        return self._outage.reason

    async def run(self, accepting: asyncio.Event) -> None:
        """Listen until cancelled.

        Args:
            accepting: Set once the relay has flows of its own; what comes before is read anyway.
        """
        await accepting.wait()
        while True:
            try:
                await self._listen()
            except FAILURES as error:
                if isinstance(error, ResponseError):
                    self._outage.begins(in_words(error))
                else:
                    _log.debug("nothing is heard of other relays: %s", error)
            require_wanted()
            await asyncio.sleep(RETRY_AFTER)

    async def _listen(self) -> None:
        redis = self._connect()
        try:
            await redis.initialize()  # a cluster's nodes are not known before
            async with redis.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(*self._channels)
                await self._hear(channel)
        finally:
            with contextlib.suppress(*FAILURES):
                await redis.aclose()

    async def _hear(self, channel: PubSub) -> None:
        pace = Pace()
        self._mirror.read_again()  # what was told before, or while nobody listened
        while True:
            message = await channel.get_message(timeout=LISTEN)
            require_wanted()
            self._outage.ends()
            if message is None:
                continue
            key, _, value = message["data"].partition(b" ")
            self._mirror.heard(key.decode("ascii", "replace"), value or None)
            await pace.rest()
