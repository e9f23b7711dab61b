"""Command lines of QEMU, and whether KVM works on this machine."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

QEMU = "qemu-system-x86_64"
KVM_DEVICE = Path("/dev/kvm")
KVM_SECONDS = 10.0  # until a kernel has printed its first line; with working KVM well below one
QUEUES = 2  # of each of the relay's network cards
CPUS = 2
MEMORY = 3072  # MiB

# Names by slot: eth0, eth1, eth2. Downloads that Debian starts by itself slow a test down, and hold
# the lock that a user's apt-get needs.
KERNEL_COMMAND = (
    "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=-1 mitigations=off "
    "systemd.mask=apt-daily.timer systemd.mask=apt-daily-upgrade.timer"
)


class Accelerator(StrEnum):
    """What runs the machine's instructions."""

    KVM = "kvm"
    TCG = "tcg"
    AUTO = "auto"  # KVM where a kernel starts with it


_ACCELERATION = {
    Accelerator.KVM: ("-accel", "kvm", "-cpu", "host"),
    Accelerator.TCG: ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"),
}


@dataclass(frozen=True, slots=True)
class Card:
    """A network card of the machine whose other end is a tap device on this host.

    Attributes:
        name: The name of the network.
        mac: The card's address.
        queues: Open files of the tap device, one for each queue.
    """

    name: str
    mac: str
    queues: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Disk:
    """What a machine starts from.

    Attributes:
        kernel: Linux.
        initrd: Its initial RAM disk.
        image: A qcow2 image, which the machine writes to.
    """

    kernel: Path
    initrd: Path
    image: Path


def command(
    disk: Disk,
    accelerator: Accelerator,
    *,
    ssh_port: int,
    serial: Path,
    cards: Sequence[Card] = (),
    share: Path | None = None,
) -> list[str]:
    """The command line that runs a machine.

    Args:
        disk: What it starts from.
        accelerator: KVM or TCG.
        ssh_port: The port of 127.0.0.1 on this host that leads to its ssh server.
        serial: The file that gets what it prints on its console.
        cards: Its network cards beside the one for management.
        share: A directory of this host that it may mount read-only, by the name `share`.
    """
    return [
        *(QEMU, "-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none"),
        *_ACCELERATION[accelerator],
        *("-smp", str(CPUS), "-m", str(MEMORY)),
        *("-kernel", str(disk.kernel), "-initrd", str(disk.initrd), "-append", KERNEL_COMMAND),
        # The image is a copy that a crash of this host may damage.
        *("-drive", f"file={_escaped(disk.image)},if=virtio,format=qcow2,cache=unsafe"),
        *("-device", "virtio-rng-pci"),
        *("-serial", f"file:{_escaped(serial)}"),
        *("-netdev", f"user,id=management,ipv6=off,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"),
        *("-device", "virtio-net-pci,netdev=management"),
        *(argument for card in cards for argument in _card(card)),
        *(() if share is None else _share(share)),
    ]


def _card(card: Card) -> tuple[str, ...]:
    # A vector for each direction of each queue, one for configuration, one for control.
    vectors = 2 * len(card.queues) + 2
    files = ":".join(map(str, card.queues))
    return (
        *("-netdev", f"tap,id={card.name},fds={files}"),
        "-device",
        f"virtio-net-pci,netdev={card.name},mac={card.mac},mq=on,vectors={vectors}",
    )


def _share(directory: Path) -> tuple[str, ...]:
    return (
        "-virtfs",
        f"local,path={_escaped(directory)},mount_tag=share,security_model=none,readonly=on",
    )


def _escaped(path: Path) -> str:
    """A path as the value of an option: there, a comma is written twice."""
    return str(path).replace(",", ",,")


def choose(wanted: Accelerator, kernel: Path) -> tuple[Accelerator, str]:
    """The accelerator to use, and why, in one sentence.

    AUTO starts the kernel under KVM and waits for its first line: where virtual machines have no
    virtual machines in them, /dev/kvm may exist and QEMU hang or abort all the same.
    """
    if wanted is not Accelerator.AUTO:
        return wanted, f"{wanted.value.upper()}, as asked for."
    if not KVM_DEVICE.exists():
        return Accelerator.TCG, f"software emulation (TCG): there is no {KVM_DEVICE} here."
    if _kvm_starts(kernel):
        return Accelerator.KVM, "KVM: a kernel starts with it."
    return (
        Accelerator.TCG,
        f"software emulation (TCG): {KVM_DEVICE} is there, but no kernel starts with it.",
    )


def probe_command(kernel: Path) -> list[str]:
    """The command line that starts a kernel under KVM, with its console on stdout.

    The kernel finds no root file system, and reboots, which ends QEMU.
    """
    return [
        *(QEMU, "-nodefaults", "-no-reboot", "-display", "none", "-monitor", "none"),
        *_ACCELERATION[Accelerator.KVM],
        *("-m", "512", "-serial", "stdio", "-kernel", str(kernel)),
        *("-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"),
    ]


def _kvm_starts(kernel: Path) -> bool:
    try:
        ran = subprocess.run(
            probe_command(kernel),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=KVM_SECONDS,
        )
    except subprocess.TimeoutExpired as hung:
        return b"Linux version" in (hung.stdout or b"")
    return b"Linux version" in ran.stdout
