"""What is kept is found by what it was made from."""

from pathlib import Path

import pytest

from vagrant import cache

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


def test_the_cache_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ICELANE_VM_CACHE", raising=False)
    assert cache.directory() == cache.CHECKOUT / ".vm"
    monkeypatch.setenv("ICELANE_VM_CACHE", "/var/cache/vm")
    assert cache.directory() == Path("/var/cache/vm")
