"""A transceiver in the registry in Redis: it claims its slot there, and announces itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address

from relay.children import waiting
from relay.registry.announcer import Announcer, claim_slot
from relay.registry.entry import TransceiverEntry
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from transceiver.server import Place, Transceiver, TransceiverConfig


def claimed(config: TransceiverConfig) -> TransceiverConfig:
    """The settings with the slot and generation that the registry gives.

    Its identity is its media address, which one transceiver at a time can have. Where Redis is away
    this waits, for nobody could find a transceiver that has no slot.

    Raises:
        SlotTakenError: The slot that it wants is somebody else's, who is alive.
    """
    place = config.place
    if place is None:
        return config
    return replace(config, target=asyncio.run(_claim(config, place)))


async def _claim(config: TransceiverConfig, place: Place) -> Target:
    owner = str(config.listen)
    async with waiting("it waits for its slot in the registry"):
        return await claim_slot(
            place.redis, config.keys, config.target.cluster, owner, slot=place.slot
        )


@asynccontextmanager
async def announced(transceiver: Transceiver) -> AsyncIterator[Transceiver]:
    """A transceiver that serves while the context is entered, and announces itself if it is to.

    Where it finds its slot taken by another, it finishes its calls and takes no new ones.
    """
    place, config = transceiver.config.place, transceiver.config
    async with transceiver:
        if place is None:
            yield transceiver
            return

        def lost() -> None:
            transceiver.calls.admission.draining = True

        announcer = Announcer(
            place.redis,
            config.keys,
            lambda: _entry(transceiver, place.region),
            owner=str(config.listen),
            lost=lost,
        )
        async with announcer.announcing(transceiver.supervisor):
            yield transceiver


def _entry(transceiver: Transceiver, region: str | None) -> TransceiverEntry:
    load, control = transceiver.calls.load(), transceiver.control
    if ip_address(control.host).is_unspecified:
        control = Endpoint(transceiver.address.host, control.port)
    return TransceiverEntry(
        transceiver.config.target,
        transceiver.address,
        control,
        load["sessions"],
        load["capacity"],
        load["draining"],
        region,
    )
