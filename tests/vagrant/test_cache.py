"""What is kept is found by what it was made from."""

import json
import subprocess
from pathlib import Path

import pytest

from vagrant import cache
from vagrant.cache import Cache
from vagrant.errors import MachineError
from vagrant.log import Log

MAKEFILE = """\
PACKAGES := python3-venv redis-server
TEST_PACKAGES := tcpdump $(BENCH_PACKAGES)
VM_PACKAGES := qemu-utils
demo: setup
"""


def test_a_key_tells_apart_where_one_part_ends_and_the_next_begins() -> None:
    assert cache.key(b"ab", b"c") != cache.key(b"a", b"bc")
    assert cache.key(b"ab", b"c") == cache.key(b"ab", b"c")


def test_a_machine_that_is_set_up_is_found_until_packages_change() -> None:
    kept = cache.setup_key(MAKEFILE, b"redis==5")
    assert cache.setup_key(MAKEFILE + "test: setup\n", b"redis==5") == kept
    assert cache.setup_key(MAKEFILE.replace("qemu-utils", "qemu"), b"redis==5") == kept
    assert cache.setup_key(MAKEFILE.replace("redis-server", "valkey"), b"redis==5") != kept
    assert cache.setup_key(MAKEFILE.replace("tcpdump", "tshark"), b"redis==5") != kept
    assert cache.setup_key(MAKEFILE, b"redis==6") != kept


@pytest.mark.parametrize("changed", ["image.sh", "provision.sh"])
def test_the_image_is_built_again_when_what_builds_it_changes(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("image.sh", "provision.sh"):
        (tmp_path / name).write_bytes((cache.HERE / name).read_bytes())
    before = cache.image_key()
    monkeypatch.setattr(cache, "HERE", tmp_path)
    assert cache.image_key() == before
    with (tmp_path / changed).open("a", encoding="utf-8") as script:
        script.write("# changed\n")
    assert cache.image_key() != before


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Log) -> Cache:
    """A cache whose base image is 4 MB, and empty."""
    monkeypatch.setenv("ICELANE_VM_CACHE", str(tmp_path / "vm"))
    image = Cache(log)
    image.image.mkdir(parents=True)
    with image.base.open("wb") as disk:
        disk.truncate(4 << 20)
    return image


def write(disk: Path, offset: str, pattern: int) -> None:
    """Write 64 kB to a disk, as a machine does."""
    command = f"write -P {pattern} {offset} 64k"
    subprocess.run(["qemu-io", "-c", command, str(disk)], check=True, capture_output=True)


def holds(disk: Path, offset: str, pattern: int) -> bool:
    """Whether 64 kB of a disk are as `write` leaves them."""
    command = f"read -P {pattern} {offset} 64k"
    ran = subprocess.run(
        ["qemu-io", "-r", "-c", command, str(disk)], check=False, capture_output=True, text=True
    )
    differs = "Pattern verification failed" in ran.stdout
    assert (ran.returncode == 0) != differs, ran.stderr
    return not differs


def setups(kept: Cache) -> list[Path]:
    """The machines that are kept."""
    return sorted(kept.image.glob("setup-*.qcow2"))


def set_up(kept: Cache) -> Path:
    """Let a machine that was set up be kept, and give its disk."""
    disk = kept.overlay(bare=True)
    write(disk.image, "0", 1)
    kept.keep(disk, bare=True)
    kept.drop(disk)
    (setup,) = setups(kept)
    return setup


def test_what_a_machine_writes_is_kept_and_not_in_the_base_image(kept: Cache) -> None:
    assert not kept.is_set_up
    setup = set_up(kept)
    assert kept.is_set_up
    assert holds(setup, "0", 1)
    assert kept.base.read_bytes() == bytes(4 << 20)


def test_what_a_second_machine_writes_comes_to_what_is_kept(kept: Cache) -> None:
    setup = set_up(kept)
    disk = kept.overlay(bare=False)
    assert holds(disk.image, "0", 1)
    write(disk.image, "1M", 2)
    assert not holds(setup, "1M", 2)
    kept.keep(disk, bare=False)
    kept.drop(disk)
    assert setups(kept) == [setup]
    assert kept.is_set_up
    assert holds(setup, "0", 1)
    assert holds(setup, "1M", 2)
    assert list(kept.image.glob("run-*")) == []


def test_a_bare_machine_has_nothing_of_the_kept_one_and_replaces_it(kept: Cache) -> None:
    other = kept.image / "setup-0123456789ab.qcow2"
    other.touch()
    setup = set_up(kept)
    assert not other.exists()
    disk = kept.overlay(bare=True)
    assert not holds(disk.image, "0", 1)
    write(disk.image, "0", 3)
    kept.keep(disk, bare=True)
    assert setups(kept) == [setup]
    assert holds(setup, "0", 3)


def test_a_machine_that_is_not_kept_leaves_nothing(kept: Cache) -> None:
    setup = set_up(kept)
    disk = kept.overlay(bare=False)
    write(disk.image, "0", 4)
    kept.drop(disk)
    assert not disk.image.exists()
    assert holds(setup, "0", 1)


def test_what_a_killed_run_left_is_removed_by_the_next(kept: Cache) -> None:
    left = kept.image / "run-1.qcow2"
    left.touch()
    disk = kept.overlay(bare=True)
    assert list(kept.image.glob("run-*")) == [disk.image]


def test_a_kept_disk_that_was_written_half_is_no_use(kept: Cache) -> None:
    set_up(kept)
    disk = kept.overlay(bare=False)
    disk.image.write_bytes(b"no disk")
    with pytest.raises(MachineError, match="qemu-img failed with status 1"):
        kept.keep(disk, bare=False)
    assert not kept.is_set_up
    set_up(kept)
    assert kept.is_set_up


def test_a_kept_disk_is_an_overlay_of_the_base_image(kept: Cache) -> None:
    told = subprocess.run(
        ["qemu-img", "info", "--output=json", str(set_up(kept))], check=True, capture_output=True
    )
    assert json.loads(told.stdout)["full-backing-filename"] == str(kept.base)


def test_an_image_that_is_there_is_not_built(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    kept.build()


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Log) -> Cache:
    """A cache without an image, whose script for one can be replaced."""
    monkeypatch.setenv("ICELANE_VM_CACHE", str(tmp_path / "vm"))
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "provision.sh").touch()
    (scripts / "image.sh").touch(0o755)
    monkeypatch.setattr(cache, "HERE", scripts)
    return Cache(log)


def test_an_image_that_cannot_be_built_leaves_nothing_and_says_why(building: Cache) -> None:
    script = "#!/bin/sh\ntouch $1/disk.img; seq 50; echo no such mirror: x >&2; exit 7\n"
    (cache.HERE / "image.sh").write_text(script, "utf-8")
    with pytest.raises(MachineError) as told:
        building.build()
    assert "failed with status 7" in str(told.value)
    assert str(told.value).endswith("  no such mirror: x")
    assert list(cache.directory().iterdir()) == []


def test_an_image_is_built_with_a_key_of_its_own_and_replaces_others(building: Cache) -> None:
    script = '#!/bin/sh\ngrep -q "^deb " "$3/sources.list" && cat "$4" >"$1/disk.img"\n'
    (cache.HERE / "image.sh").write_text(script, "utf-8")
    (cache.directory() / "0123456789ab").mkdir(parents=True)
    (cache.directory() / "wheels-0123456789ab").mkdir()
    (cache.directory() / "0123456789ab.building-1").mkdir()
    building.build()
    assert building.base.read_text("utf-8") == building.ssh_key.with_suffix(".pub").read_text()
    assert {path.name for path in cache.directory().iterdir()} == {
        building.image.name,
        "wheels-0123456789ab",
    }


def test_a_tool_that_is_missing_is_told_with_what_installs_it(
    kept: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MachineError, match="qemu-img is not installed: run `make vm-image`"):
        kept.overlay(bare=True)


def test_the_cache_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ICELANE_VM_CACHE", raising=False)
    assert cache.directory() == cache.CHECKOUT / ".vm"
    monkeypatch.setenv("ICELANE_VM_CACHE", "/var/cache/vm")
    assert cache.directory() == Path("/var/cache/vm")
