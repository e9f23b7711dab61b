"""``python -m vagrant``, which `make vm-image`, `make vm-test` and `make vm-shell` run."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from relay.cli.errors import Commands
from relay.errors import IcelaneError
from tests.lab.lab import require_root
from vagrant import box, cache, forwarding, newcomer, qemu
from vagrant.cache import Cache
from vagrant.errors import MachineError
from vagrant.log import Log
from vagrant.machine import Machine
from vagrant.network import network
from vagrant.qemu import Accelerator

app = typer.Typer(
    name="python -m vagrant",
    cls=Commands,
    pretty_exceptions_enable=False,
    help="A virtual machine with a kernel of its own, to run Icelane in.",
    no_args_is_help=True,
)

LOCK = Path("/run/lock/icelane-vm.lock")

Accel = Annotated[
    Accelerator,
    typer.Option(envvar="ICELANE_VM_ACCEL", help="KVM, software emulation, or KVM if it works."),
]
Bare = Annotated[
    bool,
    typer.Option("--bare", help="Start from the base image, even if a set-up machine is kept."),
]


@app.command()
def image() -> None:
    """Build the base image, unless it is there, and fetch the Python packages."""
    with _exclusive("vm-image") as log:
        kept = Cache(log)
        kept.build()
        kept.wheels()
        print(kept.base)


@app.command("box")
def make_box() -> None:
    """Make a Vagrant box for libvirt of the base image."""
    with _exclusive("vm-box") as log:
        kept = Cache(log)
        kept.build()
        path = cache.directory() / "icelane.box"
        box.make(kept.image, path)
        print(path)


@app.command("test")
def run_test(accelerator: Accel = Accelerator.AUTO, bare: Bare = False) -> None:
    """Start a machine, run the README's commands in it, and place a call through it."""
    failures: list[str] = []
    with (
        _exclusive("vm-test") as log,
        _machine(log, accelerator, bare=bare, keep=True) as (machine, emulated),
    ):
        log(machine.output("uname -srv").strip())
        newcomer.offer_wheels(machine)
        newcomer.copy_repository(machine)
        log("copied the repository")
        steps: dict[str, Callable[[], None]] = {
            "make demo": lambda: newcomer.demo(machine, emulated=emulated),
            "make test": lambda: newcomer.tests(machine, emulated=emulated),
            "a call through the machine": lambda: forwarding.forwarded_call(machine, log),
        }
        for name, step in steps.items():
            started = log.seconds
            try:
                step()
            except IcelaneError as error:
                failures.append(name)
                log(f"FAILED: {name}: {error}")
            else:
                log(f"passed: {name}, in {log.seconds - started:.0f} s")
    log("FAILED: " + ", ".join(failures) if failures else "All passed.")
    print(f"This log is in {log.path}, the console's in {machine.console}.")
    if failures:
        raise typer.Exit(1)


@app.command()
def shell(accelerator: Accel = Accelerator.AUTO, bare: Bare = False) -> None:
    """Start a machine with the repository in it and open a shell; it is gone after that."""
    with (
        _exclusive("vm-shell") as log,
        _machine(log, accelerator, bare=bare, keep=False) as (machine, _),
    ):
        newcomer.offer_wheels(machine)
        newcomer.copy_repository(machine)
        log(f"The repository is in {newcomer.DIRECTORY}; `sudo poweroff` or `exit` ends this.")
        subprocess.run(machine.login.command(), check=False)


@contextmanager
def _machine(
    log: Log, wanted: Accelerator, *, bare: bool, keep: bool
) -> Iterator[tuple[Machine, bool]]:
    """A machine on a new disk, and whether it is emulated; powered off in the end."""
    kept = Cache(log)
    kept.build()
    share = kept.wheels()
    bare = bare or not kept.is_set_up
    disk = kept.overlay(bare=bare)
    accelerator, why = qemu.choose(wanted, disk.kernel)
    log(f"Starting {'the bare image' if bare else 'the image that is set up'} with {why}")
    with ExitStack() as undo:
        undo.callback(kept.drop, disk)
        _, cards = undo.enter_context(network())
        machine = undo.enter_context(
            Machine(disk, accelerator, key=kept.ssh_key, log=log, cards=cards, share=share)
        )
        log("logged in")
        yield machine, accelerator is Accelerator.TCG
        set_up = keep and newcomer.is_set_up(machine)
        machine.power_off()
        log("powered off")
        if set_up:
            kept.keep(disk, bare=bare)
            log("kept the disk for the next time")


@contextmanager
def _exclusive(name: str) -> Iterator[Log]:
    """One at a time on this host: the network's names and the cache are shared.

    Gives the log of what has this name.

    Raises:
        MachineError: There is one already, or the cache cannot be written.
    """
    require_root()
    with _ended_by_sigterm(), LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineError("A machine is running already; wait for its end.") from None
        os.set_inheritable(lock.fileno(), False)
        try:
            log = Log(cache.directory() / f"{name}.log")
        except OSError as error:
            raise MachineError(
                f"{cache.directory()} cannot be written ({error.strerror}); "
                "name another directory with ICELANE_VM_CACHE."
            ) from None
        yield log


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends what runs in here as Ctrl-C does, with all that is undone on the way."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    app()
