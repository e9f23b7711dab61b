"""A lab: the three hosts with Icelane's services running in them, on one machine."""

import json
import os
import pwd
import re
import secrets
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relay.dataplane import xdp
from relay.netns.host import Host
from relay.wire.keys import KeyRing
from tests.lab import plan, topology
from tests.lab.errors import LabError
from tests.lab.service import Runner, Service

RUN = Path("/run/icelane")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
KILL_SECONDS = 5.0

Report = Callable[[str], None]


def silent(_: str) -> None:
    """Report nothing."""


class Lab:
    """A lab by its name, whether it is up or not.

    Raises:
        LabError: The name cannot be used.
    """

    def __init__(self, name: str = "default") -> None:
        if not NAME.fullmatch(name):
            raise LabError(f"{name!r} is no name for a lab: use letters a-z, digits and hyphens.")
        self.name = name
        self.instance = f"lab-{name}"
        self.directory = RUN / self.instance
        self.hosts = topology.hosts(name)
        self._runner = Runner(name, self.directory)

    def host(self, name: str) -> Host:
        """A host of the lab.

        Raises:
            LabError: There is no such host.
        """
        try:
            return self.hosts[name]
        except KeyError:
            raise LabError(f"There is no host {name!r}: use {', '.join(self.hosts)}.") from None

    @property
    def is_up(self) -> bool:
        """Whether somebody brought it up and nobody took it down."""
        return self.directory.exists()

    @property
    def options(self) -> plan.Options:
        """How the lab was brought up.

        Raises:
            LabError: It is not up, or was left half made.
        """
        self.require_up()
        try:
            return plan.Options.load(json.loads(self._files_at(None).options.read_text("utf-8")))
        except FileNotFoundError:
            raise LabError(
                f"The lab {self.name!r} is half made; "
                f"`python -m tests.lab down --name {self.name}` removes what there is."
            ) from None

    @property
    def admin(self) -> Path:
        """The admin socket of the relay."""
        return self._files_at(self.options.relay_user).admin

    def require_up(self) -> None:
        """Raise LabError unless the lab is up."""
        if not self.is_up:
            raise LabError(f"The lab {self.name!r} is not up; `make lab-up` brings it up.")

    def up(self, options: plan.Options, report: Report = silent) -> None:
        """Bring the lab up; when that fails, nothing of it is left.

        Args:
            options: How to bring it up.
            report: Is told what was done, step by step.

        Raises:
            LabError: It is up already, or a part of it does not start.
        """
        _check(options)
        try:
            self.directory.mkdir(parents=True)
        except FileExistsError:
            raise LabError(
                f"The lab {self.name!r} is up already; "
                f"`python -m tests.lab down --name {self.name}` takes it down."
            ) from None
        try:
            topology.build(self.name)
            report(f"hosts {', '.join(self.hosts)} and the cables between them")
            self._write_files(options)
            for stage in self._stages(options):
                starting = [self._runner.start(each, self.hosts[each.host]) for each in stage]
                for each in starting:
                    each.wait()
                    report(f"{each.service.name} serves in host {each.service.host}")
        except BaseException:
            self.down()
            raise

    def down(self, report: Report = silent) -> None:
        """Take the lab down; what is not there is fine.

        Raises:
            LabError: Root is needed.
        """
        require_root()
        self._runner.stop_all()
        report("stopped the services")
        if self.unload():
            report("unloaded the program and its maps")
        if any(host.exists() for host in self.hosts.values()):
            topology.destroy(self.name)
            report("removed the network namespaces")
        (RUN / f"{self.instance}.sock").unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, name: str) -> None:
        """Start a service of a running lab again.

        Raises:
            LabError: There is no such service, it runs already, or it does not start.
        """
        service = self._service(name)
        if self._runner.process(name) is not None:
            raise LabError(f"The service {name} runs already.")
        self._runner.start(service, self.hosts[service.host]).wait()

    def kill(self, name: str) -> None:
        """End a service at once with SIGKILL, so that it can clean nothing up.

        Raises:
            LabError: It does not run.
        """
        process = self._runner.process(name)
        if process is None:
            raise LabError(f"The service {name} does not run.")
        process.signal(signal.SIGKILL)
        if not process.wait(KILL_SECONDS):
            raise LabError(f"The service {name} survived SIGKILL for {KILL_SECONDS:.0f} s.")

    def unload(self) -> bool:
        """Take the relay's program off its interfaces with all its maps; was it loaded?"""
        return xdp.unload(self.instance)

    def log(self, name: str) -> list[str]:
        """What a service has printed so far, by line."""
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
            "signaling_url": plan.SIGNALING_URL,
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

    def _files_at(self, relay_user: str | None) -> plan.Files:
        if relay_user is None:
            return plan.Files(self.directory, RUN / f"{self.instance}.sock")
        return plan.Files(self.directory, self.directory / "relay" / "admin.sock")

    def _write_files(self, options: plan.Options) -> None:
        files = self._files_at(options.relay_user)
        files.options.write_text(json.dumps(options.dump()), "utf-8")
        files.registry.write_text(plan.registry_text(), "utf-8")
        files.relay.write_text(plan.relay_text(self.instance, files, options), "utf-8")
        files.keys.touch(0o600)
        files.keys.write_text(KeyRing.generate(secrets.token_bytes).dumps(), "utf-8")
        if options.relay_user is not None:
            owner = pwd.getpwnam(options.relay_user).pw_uid
            files.admin.parent.mkdir()
            for path in (files.admin.parent, files.keys):
                os.chown(path, owner, -1)

    def _stages(self, options: plan.Options) -> tuple[tuple[Service, ...], ...]:
        return plan.stages(self._files_at(options.relay_user), options)

    def _service(self, name: str) -> Service:
        services = {each.name: each for stage in self._stages(self.options) for each in stage}
        try:
            return services[name]
        except KeyError:
            raise LabError(
                f"There is no service {name!r} in this lab: use {', '.join(services)}."
            ) from None


def require_root() -> None:
    """Raise LabError unless the process may make network namespaces."""
    if os.geteuid() != 0:
        raise LabError("A lab needs root: it makes network namespaces. Run the command with sudo.")


def _check(options: plan.Options) -> None:
    require_root()
    if options.redis and shutil.which("redis-server") is None:
        raise LabError("redis-server is not installed; `apt-get install redis-server` brings it.")
    if options.relay_user is None:
        return
    if options.dataplane != "userspace":
        raise LabError("Only the userspace dataplane runs as another user than root.")
    try:
        pwd.getpwnam(options.relay_user)
    except KeyError:
        raise LabError(f"There is no user {options.relay_user!r} on this machine.") from None
