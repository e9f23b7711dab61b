"""Looks at a host, and at a relay that is described; all that is found, in a fixed order."""

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from relay.admin.place import default_path, is_somebody
from relay.admin.question import ask
from relay.config.directory import Directory
from relay.config.keyfile import load_keys
from relay.config.privatefiles import Reader, refused, shared
from relay.config.registry import Transceiver
from relay.config.targets import Targets
from relay.config.urls import without_secrets
from relay.dataplane.interface import DataplaneChoice
from relay.doctor import (
    addresses,
    adminfacts,
    askpath,
    askredis,
    askstun,
    asktransceivers,
    binding,
    host,
    hostfacts,
    linkfacts,
    links,
    network,
    networkfacts,
    path,
    peers,
    running,
)
from relay.doctor.askredis import Registered
from relay.doctor.finding import Finding, Verdict
from relay.doctor.peers import Asked
from relay.doctor.settings import DoctorSettings
from relay.errors import AdminError, ConfigError, FleetError
from relay.files import unreadable
from relay.forwarding.udp import BUFFER_SIZE
from relay.run import firewall
from relay.run.config import DEFAULT_CLUSTER, RelayConfig
from relay.run.droprules import Wanted
from relay.run.service import ENOUGH_FILES
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing

_USUAL_PORT = 3478  # of STUN and of VIPs


def examine(settings: DoctorSettings, stun: str | None = None) -> list[Finding]:
    """All that can be found out here.

    Args:
        settings: The relay's, as far as they are given; without any it is about the host.
        stun: A STUN server to ask for this host's addresses as others see them, ``HOST:PORT``.

    Raises:
        ConfigError: There is no such STUN server.
    """
    return asyncio.run(_Examination(settings, stun).run())


class _Examination:
    """One look at everything.

    Args:
        settings: See `examine`.
        stun: The same.
    """

    def __init__(self, settings: DoctorSettings, stun: str | None) -> None:
        self._settings = settings
        self._stun = stun
        self._admin = settings.admin or default_path(settings.instance)
        self._running = is_somebody(self._admin)
        self._wrong: list[Finding] = []  # of the settings
        self._config = self._whole()
        self._keys = self._key_ring()
        self._directory = self._registry()

    async def run(self) -> list[Finding]:
        """Everything."""
        redis, registered = await self._redis()
        known = [
            *(self._directory.transceivers if self._directory else ()),
            *registered.transceivers,
        ]
        asked = await self._transceivers(list(dict.fromkeys(known)))
        told = self._advertised()
        return [
            *self._host(),
            *peers.clock(
                hostfacts.clock_is_set(),
                [*([redis] if redis else []), *registered.clocks, *asked],
            ),
            *self._kernel_path(),
            *self._network(),
            *self._settings_found(),
            *self._files(),
            *addresses.bound(self._bindings(), running=self._running),
            *addresses.told(self._settings.vip, told),
            *path.ways(
                {f"vip {vip}": askpath.towards_clients(vip.host) for vip in self._settings.vip}
            ),
            *await self._outside(told),
            *([peers.redis(redis)] if redis else []),
            *self._registered(registered),
            *peers.transceivers(asked, searched=self._searched(redis)),
            *path.ways({f"transceiver {each.name}": each.mtu for each in asked}),
        ]

    def _whole(self) -> RelayConfig | None:
        """The relay, where all is given that it needs; what does not go together is noted."""
        if self._settings.missing:
            return None
        try:
            return self._settings.config()
        except ConfigError as error:
            self._wrong += (Finding.told("settings", Verdict.FAIL, each) for each in error.problems)
            return None

    def _key_ring(self) -> KeyRing | None:
        if self._settings.keys is None:
            return None
        try:
            return load_keys(self._settings.keys)
        except ConfigError as error:
            if not (isinstance(self._mode(self._settings.keys), str) or self._shared()):  # told of
                self._wrong.append(Finding.told("keys", Verdict.FAIL, str(error)))
            return None

    def _registry(self) -> Directory | None:
        if self._settings.registry is None:
            return None
        try:
            return Directory.load(self._settings.registry, self._settings.cluster)
        except ConfigError as error:
            if not isinstance(self._mode(self._settings.registry), str):
                self._wrong += (
                    Finding.told("registry", Verdict.FAIL, each) for each in error.problems
                )
            return None

    def _settings_found(self) -> Iterator[Finding]:
        yield from self._wrong
        missing = self._settings.missing
        if not self._settings.given:
            yield Finding.ok("settings", "none are given: this is about the host alone")
        elif missing:
            listed = ", ".join(missing)
            yield Finding.unknown(
                "settings",
                f"{listed} not given: what hangs on that was not looked at",
                "give the same settings as the relay has, such as by --config FILE",
            )
        elif self._config is not None:
            runs = "; it runs" if self._running else ""
            yield Finding.ok("settings", f"they go together{runs}")

    def _host(self) -> Iterator[Finding]:
        config = self._config
        kernel = self._settings.may_use_kernel
        files = ENOUGH_FILES if config is None or kernel else config.files
        found = hostfacts.limits(files, gives_up_root=self._settings.user is not None)
        yield from host.limits(found, files, BUFFER_SIZE)
        if self._settings.given:
            user = self._reader() if self._settings.user else None
            yield adminfacts.admin(self._admin, user, running=self._running)
        if self._running:
            with contextlib.suppress(AdminError):  # it hangs, or has gone meanwhile
                yield from running.running(ask(self._admin, "overview"))

    def _kernel_path(self) -> Iterator[Finding]:
        """What the XDP dataplane needs, where it may come to forward."""
        hosts = {*(vip.host for vip in self._settings.vip), *self._settings.upstream}
        if not self._settings.may_use_kernel:
            yield Finding.ok("kernel path", "not used: this relay forwards in userspace")
            for name, mtu in linkfacts.mtus(hosts).items():
                if (finding := links.narrow(name, mtu)) is not None:
                    yield finding
            return
        wanted = self._settings.dataplane is DataplaneChoice.XDP
        trouble = Verdict.FAIL if wanted else Verdict.WARN
        yield from host.kernel(hostfacts.kernel(), trouble)
        found, absent = linkfacts.interfaces(self._settings.interface, hosts)
        for name in absent:
            fix = "`ip link` lists those of this namespace: correct --interface"
            yield Finding(f"{name} link", trouble, "there is no such interface here", fix)
        processors = len(os.sched_getaffinity(0))
        for each in found:
            yield from links.look(each, self._settings.mode, processors, trouble)

    def _network(self) -> Iterator[Finding]:
        settings, config = self._settings, self._config
        user = settings.user.uid if settings.user else os.geteuid()
        ports = sorted({vip.port for vip in settings.vip}) or [_USUAL_PORT]
        wanted = [Wanted("udp", range(port, port + 1)) for port in ports]
        needed = list(map(str, wanted))
        if config is not None:
            needed, wanted = firewall.accepted(config), firewall.wanted(config)
        found = networkfacts.network(user, needed, wanted)
        if settings.may_use_kernel:
            yield from network.bypassed(found)
        yield from network.firewall(found)
        spans = [settings.ports, *([settings.tcp_ports] if settings.tcp else [])]
        taken = networkfacts.ports(spans, settings.upstream, running=self._running)
        yield network.ports(taken, spans)

    def _files(self) -> Iterator[Finding]:
        modes = {path: self._mode(path) for path in self._settings.files}
        wrong = {each.name for each in self._wrong}
        for each in peers.files(modes, self._settings.keys, self._shared()):
            if each.verdict is not Verdict.OK or each.name not in wrong:
                yield each

    def _mode(self, path: Path) -> int | str:
        """The mode of a file, or why it cannot be read."""
        try:
            mode = path.stat().st_mode
            if not os.access(path, os.R_OK):  # not opened: of a pipe somebody else wants to read
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        except OSError as error:
            return unreadable(error, missing="correct its path, or make it")
        user = self._settings.user
        if user is not None and (cause := refused(path, self._reader())) is not None:
            return f"{cause.strerror}; let the user {user} read it: chown {user} {path}"
        return mode

    def _shared(self) -> str | None:
        """That others can use the key file, in words."""
        path = self._settings.keys
        try:
            return shared(path, "key file", path.stat(), self._reader()) if path else None
        except OSError:  # told of by `_mode`
            return None

    def _reader(self) -> Reader:
        """Who reads the relay's files."""
        user = self._settings.user
        return Reader(user.uid, user.groups) if user else Reader.this_process()

    def _bindings(self) -> list[addresses.Binding]:
        settings = self._settings
        return binding.bindings(settings.vip, settings.upstream, settings.tcp, settings.metrics)

    def _advertised(self) -> tuple[Endpoint, ...]:
        """What clients are told of this relay."""
        if self._config is None or (self._settings.registry and self._directory is None):
            return self._settings.advertise or self._settings.vip
        directory = self._directory or self._config.directory()
        try:
            return self._config.advertised(directory.written)
        except ConfigError as error:
            self._wrong.append(Finding.told("settings", Verdict.FAIL, str(error)))
            return self._settings.advertise

    async def _outside(self, told: tuple[Endpoint, ...]) -> list[Finding]:
        if not self._settings.vip:
            return []
        found = []
        if self._stun is not None:
            seen = await askstun.ask(self._stun, [vip.host for vip in self._settings.vip])
            found = list(addresses.mapped(seen, told))
        return [
            *found,
            Finding.unknown(
                "from outside",
                "whether clients reach the VIP can be told only from where they are",
                "from another host: icelane call SIGNALING-URL --seconds 3",
            ),
        ]

    async def _redis(self) -> tuple[Asked | None, Registered]:
        url = self._settings.redis
        if url is None:
            return None, Registered()
        try:
            asked = await askredis.ask(url)
            if asked.trouble is not None or self._keys is None:
                return asked, Registered()
            targets = self._config.targets() if self._config else Targets(self._settings.allow)
            return asked, await askredis.registered(url, self._keys, self._clusters(), targets)
        except (FleetError, ValueError) as error:
            return Asked(without_secrets(url), str(error)), Registered()

    def _clusters(self) -> frozenset[int]:
        if self._directory is not None:
            return self._directory.clusters
        return frozenset(self._settings.cluster) or frozenset({DEFAULT_CLUSTER})

    def _registered(self, found: Registered) -> Iterator[Finding]:
        if found.refused:
            yield Finding(
                "registry in redis",
                Verdict.WARN,
                f"an entry is refused: {found.refused}",
                "give all services the same key file and release, and look at --allow",
            )

    async def _transceivers(self, known: list[Transceiver]) -> list[Asked]:
        if not known:
            return []
        hosts = {int(Endpoint(each, 0).family): each for each in reversed(self._settings.upstream)}
        return await asktransceivers.ask(known, self._keys, hosts)

    def _searched(self, redis: Asked | None) -> bool:
        """Whether all places could be looked at where a transceiver might be named."""
        if self._config is None or (self._settings.registry and self._directory is None):
            return False
        return redis is None or (redis.trouble is None and self._keys is not None)
