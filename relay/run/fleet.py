"""A relay's part in the registry: it learns where routes lead, and announces itself.

Nothing waits for Redis. What is known of the fleet stays while it is away.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from relay.clocks import Verdict
from relay.config.directory import Directory
from relay.config.keyfile import EdgeKeyFiles, KeyFile
from relay.config.registry import Relay
from relay.config.watched import INTERVAL, keep_watching
from relay.run.advertised import told_of
from relay.run.config import RelayConfig
from relay.supervision import Supervisor
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

if TYPE_CHECKING:
    from relay.registry.entry import RelayEntry
    from relay.registry.follower import Follower


@dataclass(frozen=True, slots=True)
class Load:
    """What a relay announces of its state.

    Attributes:
        flows: Its flows.
        room: The most of them.
        ill: No new clients should come.
    """

    flows: int
    room: int
    ill: bool = False


class Fleet:
    """The registry, as a relay knows it and stands in it.

    Args:
        config: The relay's settings.
        keys: The cluster's keys, or their file, which is kept up to date as well.
        directory: What is kept up to date.

    Attributes:
        keys: The keys.
        edge_keys: Those of clusters elsewhere, whose files are kept up to date as well.
        directory: The same.
        draining: Whether the relay wants no new clients.
        goes_on: Whether the relay is there when this process has ended, as another has its place.

    Raises:
        KeyFileError: A file of edge keys cannot be used.
    """

    def __init__(self, config: RelayConfig, keys: KeyRing | KeyFile, directory: Directory) -> None:
        self._key_file = keys if isinstance(keys, KeyFile) else None
        self.keys = keys.ring if isinstance(keys, KeyFile) else keys
        self._edge_key_files = EdgeKeyFiles(config.edge_keys)
        self.edge_keys = self._edge_key_files.keys
        self.directory = directory
        self.draining = False
        self.goes_on = False
        self._config = config
        self._follower: Follower | None = None

    @property
    def unready(self) -> list[str]:
        """Why no new clients should come, as far as it is known here."""
        clock = self._clock
        wrong = [str(clock)] if clock is not None and clock.is_wrong else []
        return (["it drains"] if self.draining else []) + wrong

    @property
    def clock_ahead(self) -> float:
        """How many seconds this machine's clock is ahead of most others', as far as is known."""
        return self._clock.ahead if self._clock is not None else 0.0

    @property
    def _clock(self) -> Verdict | None:
        if self._follower is None:
            return None
        return self._follower.clocks.verdict(time.monotonic())

    def drain(self, *, on: bool) -> None:
        """Want no new clients, and tell so in the registry; or want them again.

        Whoever comes all the same is served, and flows are forwarded as ever.
        """
        self.draining = on

    def on_rekey(self, told: Callable[[], None]) -> None:
        """Call this when the keys are others: now, as they may have changed, and from now on."""
        if self._key_file is not None:
            self._key_file.on_change(told)
            told()

    def follow(self, supervisor: Supervisor) -> None:
        """Keep keys and directory up to date from now on."""
        if self._key_file is not None:
            keep_watching(supervisor, "key file", self._key_file)
        if self._config.edge_keys:
            keep_watching(supervisor, "edge key files", self._edge_key_files)
        if self._config.registry is not None:
            supervisor.start(
                "registry file",
                self.directory.look,
                essential=False,
                every=INTERVAL,
                trouble=lambda: self.directory.file_trouble,
            )
        if self._config.redis is None:
            return
        from relay.registry.follower import follow  # noqa: PLC0415  # see Agent._make_mirroring

        self._follower = follow(
            self.directory,
            self._config.redis,
            self.keys,
            self._config.targets(),
            supervisor,
            own=self._config.identity,
        )

    @asynccontextmanager
    async def announcing(
        self, load: Callable[[], Load], supervisor: Supervisor
    ) -> AsyncIterator[None]:
        """Announce the relay in the registry of each of its clusters, if there is one.

        Args:
            load: What it announces of its state.
            supervisor: Whose tasks they are.
        """
        if self._config.redis is None:
            yield
            return
        from relay.registry.announcer import Announcer  # noqa: PLC0415  # see Agent._make_mirroring

        async with AsyncExitStack() as stack:
            for cluster in sorted(self.directory.clusters):
                entry = partial(self._entry, cluster, load)
                announcer = Announcer(self._config.redis, self.keys, entry)
                await stack.enter_async_context(
                    announcer.announcing(supervisor, goes=lambda: not self.goes_on)
                )
            yield

    def status(self) -> dict[str, Any]:
        """What an operator is told of it."""
        counters = {} if self._follower is None else dict(self._follower.counters)
        return {
            "identity": self._config.identity,
            "region": self._config.region,
            "draining": self.draining,
            "clock_ahead": self.clock_ahead,
            "redis_away": self._follower is not None and self._follower.away,
            "trouble": self.directory.trouble,
            "counters": counters,
        }

    def _entry(self, cluster: int, load: Callable[[], Load]) -> "RelayEntry":
        from relay.registry.entry import RelayEntry  # noqa: PLC0415  # see Agent._make_mirroring

        now = load()
        return RelayEntry(
            cluster,
            self._config.identity,
            tuple(self._told()),
            now.flows,
            now.room,
            draining=self.draining,
            # Its new flows might be judged by the wrong time; those that it has are none the worse.
            ill=now.ill or (self._clock is not None and self._clock.is_wrong),
            region=self._config.region,
            health=self._health(),
        )

    def _health(self) -> Endpoint | None:
        """Where others can ask for its health: where metrics are, on an address of this host."""
        config = self._config
        if config.metrics is None or config.metrics.is_one_host:
            return config.metrics
        everywhere = (config.metrics._replace(host=host) for host in config.upstreams)
        return next((each for each in everywhere if each.family == config.metrics.family), None)

    def _told(self) -> list[Relay]:
        """The VIPs, as the registry file has them where it does, and else by the settings."""
        config = self._config
        written = {each.vip: each for each in self.directory.written.relays}
        return [
            replace(written.get(each.vip, each), name=config.identity, region=config.region)
            for each in told_of(config.vips, config.advertise, config.tcp)
        ]
