"""A box is what Vagrant's provider for libvirt unpacks."""

import json
import subprocess
from pathlib import Path

import pytest

from vagrant import box, qemu
from vagrant.errors import MachineError

SIZE = 4 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A base image of 4 MB."""
    directory = tmp_path / "image"
    directory.mkdir()
    (directory / "disk.img").write_bytes(b"disk".ljust(SIZE, b"\0"))
    for name in ("vmlinuz", "initrd.img", "key"):
        (directory / name).write_text(name, "utf-8")
    return directory


def unpacked(path: Path, into: Path) -> Path:
    """Unpack a box."""
    into.mkdir()
    subprocess.run(["tar", "-C", into, "-xf", path], check=True)
    return into


def test_a_box_holds_disk_kernel_key_and_what_says_how_to_start_it(
    image: Path, tmp_path: Path
) -> None:
    box.make(image, tmp_path / "icelane.box")
    inside = unpacked(tmp_path / "icelane.box", tmp_path / "unpacked")
    assert {path.name for path in inside.iterdir()} == {
        *("Vagrantfile", "box.img", "initrd.img", "key", "metadata.json", "vmlinuz")
    }
    metadata = json.loads((inside / "metadata.json").read_text("utf-8"))
    assert (metadata["provider"], metadata["format"]) == ("libvirt", "qcow2")
    assert qemu.KERNEL_COMMAND in (inside / "Vagrantfile").read_text("utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"icelane.box", "image", "unpacked"}


def test_its_disk_is_the_image(image: Path, tmp_path: Path) -> None:
    box.make(image, tmp_path / "icelane.box")
    inside = unpacked(tmp_path / "icelane.box", tmp_path / "unpacked")
    told = subprocess.run(
        ["qemu-img", "info", "--output=json", inside / "box.img"], check=True, capture_output=True
    )
    assert json.loads(told.stdout)["format"] == "qcow2"
    subprocess.run(
        ["qemu-img", "compare", "-q", inside / "box.img", image / "disk.img"], check=True
    )


def test_the_size_that_a_box_tells_is_that_of_the_image_script() -> None:
    script = (Path(box.__file__).parent / "image.sh").read_text("utf-8")
    assert f"truncate --size {box.VIRTUAL_SIZE}G" in script


def test_an_image_that_cannot_be_read_leaves_the_box_before(image: Path, tmp_path: Path) -> None:
    (image / "disk.img").unlink()
    (tmp_path / "icelane.box").write_text("before", "utf-8")
    with pytest.raises(MachineError, match="The image cannot be converted"):
        box.make(image, tmp_path / "icelane.box")
    assert (tmp_path / "icelane.box").read_text("utf-8") == "before"
