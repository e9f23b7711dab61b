"""Command lines of QEMU, as far as they can be wrong without a machine."""

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from vagrant import qemu
from vagrant.qemu import Accelerator, Card, Disk

DISK = Disk(Path("/vm/vmlinuz"), Path("/vm/initrd.img"), Path("/vm/run.qcow2"))
CARDS = (
    Card("public", "02:00:00:00:01:10", (5, 6)),
    Card("internal", "02:00:00:00:02:10", (7, 8, 9)),
)


def command(
    accelerator: Accelerator = Accelerator.TCG, disk: Disk = DISK, share: Path | None = None
) -> list[str]:
    return qemu.command(
        disk, accelerator, ssh_port=2222, serial=Path("/vm/log"), cards=CARDS, share=share
    )


def values(option: str, arguments: list[str]) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == option]


def test_a_card_has_a_vector_for_each_direction_of_each_queue_and_two_more() -> None:
    devices = values("-device", command())
    assert "virtio-net-pci,netdev=public,mac=02:00:00:00:01:10,mq=on,vectors=6" in devices
    assert "virtio-net-pci,netdev=internal,mac=02:00:00:00:02:10,mq=on,vectors=8" in devices
    assert "tap,id=public,fds=5:6" in values("-netdev", command())


def test_the_first_card_is_for_management_so_that_the_others_are_eth1_and_eth2() -> None:
    assert [netdev.split(",")[1] for netdev in values("-netdev", command())] == [
        "id=management",
        "id=public",
        "id=internal",
    ]
    assert "net.ifnames=0" in values("-append", command())[0]


def test_ssh_is_reached_from_this_host_only() -> None:
    assert "hostfwd=tcp:127.0.0.1:2222-:22" in values("-netdev", command())[0]


def test_software_emulation_uses_every_processor() -> None:
    assert values("-accel", command()) == ["tcg,thread=multi,tb-size=512"]
    assert values("-accel", command(Accelerator.KVM)) == ["kvm"]


def test_a_directory_is_shared_read_only_or_none_is() -> None:
    assert values("-virtfs", command()) == []
    (shared,) = values("-virtfs", command(share=Path("/vm/wheels")))
    assert "path=/vm/wheels," in shared
    assert "readonly=on" in shared


def test_a_comma_in_a_path_does_not_end_an_option() -> None:
    disk = Disk(DISK.kernel, DISK.initrd, Path("/a,b/run.qcow2"))
    assert values("-drive", command(disk=disk))[0].startswith("file=/a,,b/run.qcow2,if=virtio")


def test_what_is_asked_for_is_used_without_a_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    for wanted in (Accelerator.KVM, Accelerator.TCG):
        assert qemu.choose(wanted, DISK.kernel)[0] is wanted


def test_without_a_kvm_device_all_is_emulated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(qemu, "KVM_DEVICE", tmp_path / "kvm")
    accelerator, why = qemu.choose(Accelerator.AUTO, DISK.kernel)
    assert accelerator is Accelerator.TCG
    assert "there is no" in why


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo '[    0.000000] Linux version 6.1.0'", Accelerator.KVM),
        ("echo '[    0.000000] Linux version 6.1.0'; sleep 60", Accelerator.KVM),
        ("sleep 60", Accelerator.TCG),
        ("echo 'qemu: error: failed to set MSR' >&2; kill -ABRT $$", Accelerator.TCG),
    ],
    ids=["the kernel starts", "it starts and stays", "QEMU hangs", "QEMU aborts"],
)
def test_kvm_is_used_where_a_kernel_starts_with_it(
    script: str, expected: Accelerator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "qemu"
    fake.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec sleep')}\n", "utf-8")
    fake.chmod(0o755)
    monkeypatch.setattr(qemu, "QEMU", str(fake))
    monkeypatch.setattr(qemu, "KVM_DEVICE", fake)
    monkeypatch.setattr(qemu, "KVM_SECONDS", 1.0)
    assert qemu.choose(Accelerator.AUTO, DISK.kernel)[0] is expected
