"""The base image as a Vagrant box for libvirt, which starts its kernel directly, too."""

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from vagrant import qemu
from vagrant.errors import MachineError

CONVERT_SECONDS = 600.0
VIRTUAL_SIZE = 12  # GB, as in image.sh

METADATA = {"provider": "libvirt", "format": "qcow2", "virtual_size": VIRTUAL_SIZE}

VAGRANTFILE = f"""\
Vagrant.configure("2") do |config|
  config.ssh.private_key_path = File.expand_path("key", __dir__)
  config.ssh.insert_key = false
  config.vm.provider "libvirt" do |machine|
    machine.kernel = File.expand_path("vmlinuz", __dir__)
    machine.initrd = File.expand_path("initrd.img", __dir__)
    machine.cmd_line = "{qemu.KERNEL_COMMAND}"
  end
end
"""


def make(image: Path, box: Path) -> None:
    """Make the box.

    Args:
        image: The directory of the base image.
        box: The file to write.

    Raises:
        MachineError: The image cannot be converted.
    """
    with tempfile.TemporaryDirectory(dir=box.parent) as name:
        directory = Path(name)
        try:
            subprocess.run(
                [
                    *("qemu-img", "convert", "-O", "qcow2"),
                    *(str(image / "disk.img"), str(directory / "box.img")),
                ],
                check=True,
                timeout=CONVERT_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise MachineError(f"The image cannot be converted: {error}") from None
        for each in ("vmlinuz", "initrd.img", "key"):
            shutil.copy2(image / each, directory)
        (directory / "metadata.json").write_text(json.dumps(METADATA), "utf-8")
        (directory / "Vagrantfile").write_text(VAGRANTFILE, "utf-8")
        with tarfile.open(directory / "box", "w") as archive:
            for path in sorted(directory.iterdir()):
                if path.name != "box":
                    archive.add(path, path.name)
        (directory / "box").replace(box)
