"""A lab: the three hosts with Icelane's services running in them, on one machine."""

import json
import os
import pwd
import re
import secrets
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.config.privatefiles import write_private
from relay.dataplane import xdp
from relay.netns.host import Host
from relay.wire.keys import KeyRing
from tests.lab import config, nat, topology
from tests.lab.errors import LabError
from tests.lab.service import Runner, Service

RUN = Path("/run/icelane")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
MAX_NAME = 31  # characters
KILL_SECONDS = 5.0

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """Ignore a progress message."""


def names() -> list[str]:
    """The labs that are up."""
    return sorted(each.name.removeprefix("lab-") for each in RUN.glob("lab-*/"))


class Lab:
    """A lab, whether it is up or not.

    Args:
        name: Lower-case letters, digits and hyphens.

    Raises:
        LabError: The name cannot be used.
    """

    def __init__(self, name: str = "default") -> None:
        if not NAME.fullmatch(name):
            raise LabError(
                f"{name!r} is not a valid lab name: use the letters a-z, digits and hyphens, and "
                "start with a letter or digit."
            )
        if len(name) > MAX_NAME:
            raise LabError(
                f"The lab name {name!r} is too long: it has {len(name)} characters, "
                f"at most {MAX_NAME} are possible."
            )
        self.name = name
        self.instance = f"lab-{name}"
        self.directory = RUN / self.instance
        self.hosts = topology.hosts(name, self._known_options().network)
        self._runner = Runner(name, self.directory)

    def host(self, name: str) -> Host:
        """A host of the lab.

        Raises:
            LabError: There is no such host.
        """
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"The lab has no host {name!r}: use {', '.join(self.hosts)}.") from None

    @property
    def is_up(self) -> bool:
        """Whether it was brought up and not taken down."""
        return self.directory.exists()

    @property
    def options(self) -> config.Options:
        """The options that the lab was brought up with.

        Raises:
            LabError: It is not up, or only partly.
        """
        self.require_up()
        try:
            return config.Options.load(json.loads(self._files_at(None).options.read_text("utf-8")))
        except FileNotFoundError:
            raise LabError(
                f"The lab {self.name!r} is incomplete; "
                f"`python -m tests.lab down --name {self.name}` removes it."
            ) from None

    @property
    def admin(self) -> Path:
        """The relay's admin socket."""
        return self._files_at(self.options.relay_user).admin

    @property
    def signaling_url(self) -> str:
        """Where calls are placed."""
        return config.SIGNALING_URL

    @property
    def relays(self) -> Sequence["Lab"]:
        """What forwards: the lab has one relay, and its name stands for that."""
        return (self,)

    @property
    def line(self) -> Path:
        """The socket at which the line takes its settings, where the lab has one."""
        return self._files_at(None).line

    def require_up(self) -> None:
        """Raise LabError unless the lab is up."""
        if not self.is_up:
            raise LabError(f"The lab {self.name!r} is not up; `make lab-up` brings it up.")

    def up(self, options: config.Options, progress: Progress = silent) -> None:
        """Bring the lab up; on failure, nothing of it is left.

        Args:
            options: Options of the lab.
            progress: Called with a message after each step.

        Raises:
            LabError: It is up already, a service does not start, or this is not root.
            NetnsError: A host cannot be created.
        """
        _check_options(options)
        try:
            self.directory.mkdir(parents=True)
        except FileExistsError:
            raise LabError(
                f"The lab {self.name!r} is up already; "
                f"`python -m tests.lab down --name {self.name}` takes it down."
            ) from None
        try:
            self.hosts = topology.hosts(self.name, options.network)
            topology.build(self.name, options.network)
            if options.nat:
                nat.translate(self.hosts[topology.NAT])
            progress(f"created hosts {', '.join(self.hosts)} and their links")
            self._write_files(options)
            for stage in self._stages(options):
                starting = [self._runner.start(each, self.hosts[each.host]) for each in stage]
                for each in starting:
                    each.wait()
                    progress(f"started {each.service.name} in host {each.service.host}")
        except OSError as error:
            self.down()
            raise LabError(f"The lab cannot be made: {error}.") from error
        except BaseException:
            self.down()
            raise

    def down(self, progress: Progress = silent) -> bool:
        """Take the lab down, as far as it is there; False when nothing of it was.

        Raises:
            LabError: This is not root.
        """
        require_root()
        found = self.is_up
        if self._runner.stop_all():
            found = True
            progress("stopped the services")
        if self.unload():
            found = True
            progress("unloaded the BPF program and its maps")
        if any(host.exists() for host in self.hosts.values()):
            found = True
            topology.destroy(self.name)
            progress("removed the network namespaces")
        (RUN / f"{self.instance}.sock").unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        return found

    def start(self, name: str) -> None:
        """Start a stopped service of a running lab.

        Raises:
            LabError: There is no such service, it is running, or it does not start.
        """
        service = self._service(name)
        if self._runner.process(name) is not None:
            raise LabError(f"The service {name} is already running.")
        self._runner.start(service, self.hosts[service.host]).wait()

    def run(self, service: Service) -> None:
        """Start a service that the lab does not have; it ends with the lab.

        Raises:
            LabError: It does not start.
        """
        self._runner.start(service, self.host(service.host)).wait()

    def stop(self, name: str) -> None:
        """Stop a service, as an administrator does; one that does not run is fine."""
        self._runner.stop(name)

    def restart(self, name: str) -> None:
        """Stop a service, as an administrator does, and start it again.

        Raises:
            LabError: There is no such service, or it does not start.
        """
        self.stop(name)
        self.start(name)

    def take_over(self, name: str) -> None:
        """Start a service beside the one that runs, whose place it takes; that one ends.

        Raises:
            LabError: It is not running, the other one does not start, or it does not end.
        """
        service, before = self._service(name), self._runner.process(name)
        if before is None:
            raise LabError(f"The service {name} is not running.")
        self.run(replace(service, command=(*service.command, "--takeover")))
        if not before.wait(KILL_SECONDS):
            raise LabError(f"The service {name} does not end when another one has taken over.")

    def kill(self, name: str) -> None:
        """Kill a service with SIGKILL.

        Raises:
            LabError: It is not running.
        """
        process = self._runner.process(name)
        if process is None:
            raise LabError(f"The service {name} is not running.")
        process.signal(signal.SIGKILL)
        if not process.wait(KILL_SECONDS):
            raise LabError(f"The service {name} survived SIGKILL for {KILL_SECONDS:.0f} s.")

    def unload(self) -> bool:
        """Unload the relay's program and maps; False when they were not loaded."""
        return xdp.unload(self.instance)

    def log(self, name: str) -> list[str]:
        """The log of a service, by line."""
        return self._runner.lines(name)

    def status(self) -> dict[str, Any]:
        """The lab as plain data."""
        status: dict[str, Any] = {"name": self.name, "up": self.is_up}
        if not self.is_up:
            return status
        options = self.options
        return {
            **status,
            **options.dump(),
            "signaling_url": self.signaling_url,
            "instance": self.instance,
            "admin": str(self.admin),
            "hosts": [
                {"name": each.name, "namespace": each.namespace, "exists": each.exists()}
                for each in self.hosts.values()
            ],
            "services": [
                self._service_status(each) for stage in self._stages(options) for each in stage
            ],
        }

    def _service_status(self, service: Service) -> dict[str, Any]:
        process = self._runner.process(service.name)
        return {
            "name": service.name,
            "host": service.host,
            "pid": process.pid if process is not None else None,
            "log": str(self._runner.log(service.name)),
        }

    def _files_at(self, relay_user: str | None) -> config.Files:
        if relay_user is None:
            return config.Files(self.directory, RUN / f"{self.instance}.sock")
        return config.Files(self.directory, self.directory / "relay" / "admin.sock")

    def _write_files(self, options: config.Options) -> None:
        files = self._files_at(options.relay_user)
        files.options.write_text(json.dumps(options.dump()), "utf-8")
        registry = config.registry_text(
            config.relays(options), tcp=options.tcp, media=options.media
        )
        files.registry.write_text(registry, "utf-8")
        files.relay.write_text(config.relay_text(self.instance, files, options), "utf-8")
        files.keys.touch(0o600)
        write_private(files.keys, KeyRing.generate(secrets.token_bytes).dumps().encode())
        if options.relay_user is not None:
            owner = pwd.getpwnam(options.relay_user).pw_uid
            files.admin.parent.mkdir()
            for path in (files.admin.parent, files.keys):
                os.chown(path, owner, -1)

    def _known_options(self) -> config.Options:
        """The options that the lab was brought up with, or the defaults where none are known."""
        try:
            return self.options
        # A lab that another version brought up, or that was killed meanwhile, can be taken down.
        except (LabError, TypeError, ValueError):
            return config.Options()

    def _stages(self, options: config.Options) -> tuple[tuple[Service, ...], ...]:
        return config.stages(self._files_at(options.relay_user), options)

    def _service(self, name: str) -> Service:
        services = {each.name: each for stage in self._stages(self.options) for each in stage}
        try:
            return services[name]
        except KeyError:
            raise LabError(f"The lab has no service {name!r}: use {', '.join(services)}.") from None


def require_root() -> None:
    """Raise LabError unless this is root, as network namespaces and BPF programs need."""
    if os.geteuid() != 0:
        raise LabError(
            "A lab needs root, for network namespaces: run the command as root, such as with sudo."
        )


def _check_options(options: config.Options) -> None:
    require_root()
    if options.redis and shutil.which("redis-server") is None:
        raise LabError("redis-server is not installed: run `apt-get install redis-server`.")
    if options.nat and shutil.which("nft") is None:
        raise LabError("nft is not installed: run `apt-get install nftables`.")
    if options.nat and options.line:
        raise LabError("A lab has a NAT or a line before its relay, not both.")
    if options.relay_user is None:
        return
    if options.dataplane != "userspace":
        raise LabError(
            "--relay-user needs --dataplane userspace: loading a BPF program needs root."
        )
    try:
        pwd.getpwnam(options.relay_user)
    except KeyError:
        raise LabError(f"There is no user {options.relay_user!r} on this machine.") from None
