"""Pins of real instances: what is where, replaced and removed."""

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.attach import update_links
from relay.dataplane.kernel.pins import ROOT, Pins, instances, locked
from relay.errors import DataplaneError
from tests.lab.xdp_program import load_xdp

pytestmark = pytest.mark.bpf

PASS, DROP = (struct.pack("=BBhiBBhi", 0xB7, 0, 0, n, 0x95, 0, 0, 0) for n in (2, 1))


@pytest.fixture
def unloaded(instance: str) -> Iterator[Pins]:
    """Of an instance that has a directory and nothing in it."""
    pins = Pins(f"{instance}-other")
    pins.directory.mkdir()
    yield pins
    pins.remove()


def pin(path: Path, instructions: bytes = PASS) -> int:
    """Pin a program; its number."""
    fd = load_xdp(instructions)
    try:
        bpfsys.obj_pin(fd, path)
        return bpfsys.program_info(fd).id
    finally:
        os.close(fd)


def test_links_maps_and_programs_are_told_apart_by_name(pins: Pins) -> None:
    assert set(pins.links()) == {"a", "b"}
    assert {"flow_records", "flow_index", "own_vips", "counters", "tx_ports"} <= set(pins.maps())
    others = {"program", "program-pass-all", "program-tails", "program-ticks"}
    others |= {"tracepoint-xdp_redirect_err", "tracepoint-xdp_devmap_xmit"}
    others |= {"steer-sockets", "steer-link", "link-a", "link-b"}
    assert {path.name for path in pins.directory.iterdir()} - set(pins.maps()) == others


def test_an_interface_with_a_dot_has_a_link(unloaded: Pins) -> None:
    pin(unloaded.link("eth0.5"))  # the file system takes no dot
    assert unloaded.links() == {"eth0.5": unloaded.link("eth0.5")}
    unloaded.link("eth0.5").unlink()


@pytest.mark.parametrize("name", ["", "a/b", "..", "a" * 65, "ä"])
def test_a_name_that_is_no_directory_of_ours_is_refused(name: str) -> None:
    with pytest.raises(DataplaneError, match="is no instance name"):
        Pins(name)


def test_a_pin_is_replaced_in_its_place(unloaded: Pins) -> None:
    first = pin(unloaded.program)
    assert unloaded.loaded()
    left = unloaded.program.with_name("program-new")
    pin(left)  # by a loader that was killed half-way
    fd = load_xdp(DROP)
    unloaded.replace(unloaded.program, fd)
    os.close(fd)
    with bpfsys.pinned(unloaded.program) as program:
        assert bpfsys.program_info(program).id != first
    assert not left.exists()


def test_pins_of_an_older_version_are_removed_with_the_others(unloaded: Pins) -> None:
    for name in ("program", "program-bypass", "gates"):
        pin(unloaded.directory / name)
    unloaded.remove()
    assert not unloaded.directory.exists()
    unloaded.remove()  # again is fine
    unloaded.directory.mkdir()


def test_an_instance_without_the_wanted_program_says_so(unloaded: Pins) -> None:
    with pytest.raises(DataplaneError, match=f"unload --instance {unloaded.instance}"):
        update_links(unloaded, unloaded.pass_all)


def test_loaded_instances_are_listed(pins: Pins, unloaded: Pins) -> None:
    assert pins.instance in instances()
    assert unloaded.instance not in instances()


def test_only_one_holds_the_lock() -> None:
    def try_lock() -> None:
        fd = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(fd)

    with locked(), pytest.raises(BlockingIOError):
        try_lock()
