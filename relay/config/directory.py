"""The registry as it is known now: what a file says, and what is heard of a fleet."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from relay.config.registry import Ingress, Registry, RegistryError, Relay, Transceiver
from relay.config.targets import Targets
from relay.config.watched import Watched
from relay.wire.endpoint import Endpoint

_BROKEN = "the registry file cannot be used as it is now: the log says why"

_log = logging.getLogger(__name__)


class Directory:
    """A registry that changes while it is in use.

    Args:
        written: What is known at the start, such as from a file.
        clusters: Those that are served beside those of `written`.

    Raises:
        RegistryError: One of those is elsewhere, by what is written.
    """

    def __init__(self, written: Registry, clusters: Iterable[int] = ()) -> None:
        self._clusters = written.clusters | frozenset(clusters)
        self._remote = frozenset(each.number for each in written.remote)
        if both := sorted(self._clusters & self._remote):
            raise RegistryError(
                f"cluster {', '.join(map(str, both))} is served here, and elsewhere by the "
                "registry file: leave out either"
            )
        self._file: Watched[Registry] | None = None
        self._written = written
        self._heard = Registry(())
        self._now = written
        self._told: list[Callable[[], None]] = []
        self._doubt: Callable[[], str | None] = lambda: None

    @classmethod
    def load(
        cls, file: Path | None, clusters: Iterable[int] = (), targets: Targets | None = None
    ) -> Self:
        """Begin with a registry file, if there is one; `look` notices when it changes.

        Args:
            file: The file.
            clusters: See `Directory`.
            targets: Where its transceivers may be, if somebody sends to them.

        Raises:
            RegistryError: It cannot be read, or entries in it are wrong.
        """
        if file is None:
            return cls(Registry(()), clusters)
        watched = Watched([file], partial(Registry.load, file, targets), "the registry file")
        directory = cls(watched.content, clusters)
        directory._file = watched
        return directory

    async def look(self) -> None:
        """Read the file again if it has changed; one that cannot be used changes nothing."""
        if self._file is None:
            return
        await self._file.look()
        registry = self._file.content
        if registry is self._written:
            return
        there = registry.clusters | {each.number for each in registry.remote}
        if strange := sorted(there - self.clusters - self.remote_clusters):
            _log.warning(
                "the registry file has got cluster %s, for which keys are loaded at a start only: "
                "restart this service",
                ", ".join(map(str, strange)),
            )
        self.write(registry)

    @property
    def clusters(self) -> frozenset[int]:
        """The clusters that are served; keys depend on them, so they never change."""
        return self._clusters

    @property
    def remote_clusters(self) -> frozenset[int]:
        """The clusters elsewhere, to whose relays is forwarded; they never change, either."""
        return self._remote

    @property
    def transceivers(self) -> tuple[Transceiver, ...]:
        """The transceivers that there are now."""
        return self._now.transceivers

    @property
    def relays(self) -> tuple[Relay, ...]:
        """The relays that there are now."""
        return self._now.relays

    @property
    def ingresses(self) -> tuple[Ingress, ...]:
        """The relays, each with all its addresses."""
        return self._now.ingresses

    @property
    def written(self) -> Registry:
        """What the file says."""
        return self._written

    @property
    def trouble(self) -> str | None:
        """Why what is known of the fleet may be old, by the file or by what is heard, if it may.

        Signaling tells it to anybody, and so of the file not what is in it.
        """
        file = None if self.file_trouble is None else _BROKEN
        return "; ".join(filter(None, (file, self._doubt()))) or None

    @property
    def file_trouble(self) -> str | None:
        """Why the registry file cannot be used now, while that is so."""
        return None if self._file is None else self._file.trouble

    def doubt(self, why: Callable[[], str | None]) -> None:
        """Ask this why what is heard may be old."""
        self._doubt = why

    def find(self, target: bytes) -> Transceiver | None:
        """The transceiver of a target, packed, if its slot has this very generation."""
        return self._now.find(target)

    def relays_of(self, cluster: int) -> tuple[Endpoint, ...]:
        """The VIPs of a cluster elsewhere, to whose relays is forwarded; none of any other."""
        return self._now.relays_of(cluster) if cluster in self._remote else ()

    def on_change(self, told: Callable[[], None]) -> None:
        """Call this when the transceivers or relays are others from now on."""
        self._told.append(told)

    def write(self, registry: Registry) -> None:
        """Take what the file says now in place of what it said."""
        self._written = registry
        self._join()

    def hear(self, registry: Registry) -> None:
        """Take what is heard of the fleet now in place of what was heard before."""
        if registry == self._heard:
            return
        self._heard = registry
        self._join()

    def _join(self) -> None:
        """Both together; of a slot, or a relay's address, that both have, what is heard counts.

        A relay whose health nobody else can ask for does not tell where; the file may.
        """
        heard, written = self._heard, self._written
        slots = {each.target[:2] for each in heard.transceivers}
        names = {each.name for each in heard.relays} - {None}
        vips = {each.vip for each in heard.relays}
        healths = {each.vip: each.health for each in written.relays}
        before = self._now
        self._now = Registry(
            (
                *heard.transceivers,
                *(each for each in written.transceivers if each.target[:2] not in slots),
            ),
            (
                *(
                    replace(each, health=each.health or healths.get(each.vip))
                    for each in heard.relays
                ),
                *(
                    each
                    for each in written.relays
                    if each.vip not in vips and each.name not in names
                ),
            ),
            tuple(each for each in written.remote if each.number not in self._clusters),
        )
        if self._now != before:
            for told in self._told:
                told()
