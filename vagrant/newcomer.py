"""The first half of the test: a newcomer's way, from an empty machine to the README's commands."""

import subprocess

from vagrant.cache import CHECKOUT
from vagrant.errors import MachineError
from vagrant.machine import Machine

DIRECTORY = "icelane"  # in the home directory of the machine's user
WHEELS = "/mnt/wheels"  # where the machine finds the Python packages that this host has fetched

EMULATED_FUZZ = 10_000  # random frames for the BPF program; without emulation there are 200,000
EMULATED_CALL = 60  # seconds of a call of the demo, so that an agent can be restarted during it

# With a set-up of all packages in it, in software emulation.
DEMO_SECONDS = 2400.0
SETUP_SECONDS = 2400.0
TEST_SECONDS = 3600.0
COPY_SECONDS = 120.0


def offer_wheels(machine: Machine) -> None:
    """Let the machine's pip find the packages that this host has fetched, and no others."""
    machine.output(
        f"sudo mkdir -p {WHEELS} && sudo modprobe 9pnet_virtio && "
        f"sudo mount -t 9p -o trans=virtio,ro,msize=262144 share {WHEELS}"
    )
    machine.write("/etc/pip.conf", f"[global]\nfind-links = {WHEELS}\nno-index = true\n")


def copy_repository(machine: Machine) -> None:
    """Copy what is committed into the machine.

    What git ignores stays, as it does for a newcomer who pulls: the virtual environment, the
    compiled program. So does the time of a file that is the same: make then installs nothing anew.

    Raises:
        MachineError: This is no checkout, or copying failed.
    """
    try:
        archive = subprocess.run(
            ["git", "-C", str(CHECKOUT), "archive", "--format=tar", "HEAD"],
            check=True,
            capture_output=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise MachineError(f"{CHECKOUT} is not a usable git checkout: {error}") from None
    machine.feed(copy_script(DIRECTORY), archive, seconds=COPY_SECONDS)


def copy_script(directory: str) -> str:
    """A shell script that makes a directory what the archive on its stdin is."""
    return (
        'new=$(mktemp -d) && trap \'rm -rf "$new"\' EXIT && tar -C "$new" -xf - && '
        f"mkdir -p {directory} && rsync --recursive --links --perms --checksum "
        f"--delete --filter=':- .gitignore' \"$new/\" {directory}"
    )


def demo(machine: Machine, *, emulated: bool) -> None:
    """`make demo`, as the README says it; where all is emulated, in part and with longer calls.

    Three relays behind a router are left out there. BFD and health checks find a host dead that has
    no processor for a tenth of a second, and for three such hosts two emulated ones are too few:
    their routes come and go.

    Raises:
        MachineError: It failed.
    """
    arguments = f" ARGS='--seconds {EMULATED_CALL} --no-fail-over'" if emulated else ""
    machine.run(f"cd {DIRECTORY} && sudo make demo{arguments}", seconds=DEMO_SECONDS)


def tests(machine: Machine, *, emulated: bool) -> None:
    """`make test`, as the README says it; where all is emulated, `make kernel-test`.

    That is all that another kernel, or a driver that not all have, meets in another way. The rest
    takes hours there, or measures time, and so does the installation of browsers that it needs.

    Raises:
        MachineError: A test failed, or they did not end in time.
    """
    make = "sudo make test"
    if emulated:
        make = f"sudo ICELANE_FUZZ_PACKETS={EMULATED_FUZZ} make kernel-test"
    machine.run(f"cd {DIRECTORY} && {make}", seconds=SETUP_SECONDS + TEST_SECONDS)


def is_set_up(machine: Machine) -> bool:
    """Whether everything that a test needs was installed."""
    try:
        machine.output(f"test -e {DIRECTORY}/.venv/.dev")
    except MachineError:
        return False
    return True
