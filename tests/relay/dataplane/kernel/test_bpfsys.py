"""bpf(2) on real maps, programs and links."""

import errno
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.btf import Btf
from relay.dataplane.kernel.pins import Pins
from relay.linux import netns_inode
from relay.netns.host import Host
from tests.lab.xdp_program import load_xdp, run_xdp

pytestmark = pytest.mark.bpf

_MOV, _EXIT = 0xB7, 0x95  # BPF_ALU64 | BPF_MOV | BPF_K to register 0; BPF_JMP | BPF_EXIT
DROP, PASS = 1, 2  # enum xdp_action


@contextmanager
def program(verdict: int) -> Iterator[int]:
    """A program that answers every packet with one verdict."""
    fd = load_xdp(struct.pack("=BBhiBBhi", _MOV, 0, 0, verdict, _EXIT, 0, 0, 0))
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def keys(pins: Pins) -> Iterator[int]:
    """A hash with keys of 20 bytes and values of 4, and one entry."""
    with bpfsys.pinned(pins.map("route_keys")) as fd:
        yield fd


def test_a_program_runs_on_a_frame() -> None:
    frame = bytes(range(60))
    with program(DROP) as drop, program(PASS) as accept:
        ran = run_xdp(drop, frame, times=3)
        assert (ran.verdict, ran.data) == (DROP, frame)
        assert run_xdp(accept, frame).verdict == PASS
        assert bpfsys.program_info(drop).tag != bpfsys.program_info(accept).tag


def test_a_program_is_opened_by_its_number() -> None:
    with program(PASS) as fd:
        number = bpfsys.program_info(fd).id
        again = bpfsys.program_by_id(number)
        assert bpfsys.program_info(again).id == number
        os.close(again)
    with pytest.raises(FileNotFoundError):
        bpfsys.program_by_id(number)  # it went with its last descriptor


def test_what_is_pinned_outlives_its_descriptors(pins: Pins) -> None:
    path = pins.directory / "program-of-a-test"
    with program(DROP) as fd:
        number = bpfsys.program_info(fd).id
        bpfsys.obj_pin(fd, path)
        with pytest.raises(FileExistsError):
            bpfsys.obj_pin(fd, path)
    try:
        with bpfsys.pinned(path) as again:
            assert bpfsys.program_info(again).id == number
    finally:
        path.unlink()
    with pytest.raises(FileNotFoundError):
        bpfsys.obj_get(path)


def test_entries_come_and_go(keys: int) -> None:
    key, one, two = b"key!", bytes(16), bytes(range(16))
    assert bpfsys.map_lookup(keys, key, 16) is None
    bpfsys.map_update(keys, key, one)
    assert bpfsys.map_lookup(keys, key, 16) == one
    bpfsys.map_update(keys, key, two)
    assert bpfsys.map_lookup(keys, key, 16) == two
    assert bpfsys.map_delete(keys, key)
    assert not bpfsys.map_delete(keys, key)


def test_a_hash_is_read_in_batches(keys: int) -> None:
    entries = {number.to_bytes(4, "big"): number.to_bytes(16, "big") for number in range(40)}
    for key, value in entries.items():
        bpfsys.map_update(keys, key, value)
    reader = bpfsys.BatchReader(keys, 4, 16, 16)
    batches = []
    while batch := reader.read():
        batches.append(batch)
    assert len(batches) > 2
    read = dict(entry for batch in batches for entry in batch)
    assert read.items() >= entries.items()
    assert reader.read() == []


def test_the_kernel_tells_of_a_map_and_its_types(pins: Pins) -> None:
    with bpfsys.pinned(pins.map("route_keys")) as fd:
        info = bpfsys.map_info(fd)
    assert (info.name, info.type) == ("route_keys", bpfsys.MapType.HASH)
    assert (info.key_size, info.max_entries) == (4, 4096)
    types = Btf(bpfsys.btf_data(info.btf_id))
    assert types.layout(info.key_type_id).name == "route_key_id"
    assert types.layout(info.value_type_id).size == info.value_size


def test_a_per_cpu_map_has_a_value_for_every_possible_processor(pins: Pins) -> None:
    assert bpfsys.possible_cpus() >= (os.cpu_count() or 1)
    with bpfsys.pinned(pins.map("counters")) as fd:
        size = bpfsys.map_info(fd).value_size * bpfsys.possible_cpus()
        values = bytes(each % 256 for each in range(size))
        bpfsys.map_update(fd, bytes(4), values)
        assert bpfsys.map_lookup(fd, bytes(4), size) == values


def test_a_link_runs_another_program_until_it_is_detached(maps_host: Host) -> None:
    with program(PASS) as first, program(DROP) as second, maps_host.netlink() as netlink:
        netlink.link("add", ifname="linked", kind="veth", peer="linked-far")
        (index,) = netlink.link_lookup(ifname="linked")
        link = bpfsys.link_create_xdp(first, index, bpfsys.XDP_FLAGS_SKB_MODE)
        try:
            info = bpfsys.link_info(link)
            assert (info.program_id, info.ifindex) == (bpfsys.program_info(first).id, index)
            bpfsys.link_update(link, second)
            assert bpfsys.link_info(link).program_id == bpfsys.program_info(second).id
            with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
                bpfsys.link_create_xdp(first, index, bpfsys.XDP_FLAGS_SKB_MODE)
            bpfsys.link_detach(link)
            assert bpfsys.link_info(link).ifindex == 0
        finally:
            os.close(link)
            netlink.link("del", index=index)


def test_a_link_to_a_network_namespace_tells_which(maps_host: Host, pins: Pins) -> None:
    with bpfsys.pinned(pins.steer_link) as link:
        there = bpfsys.link_netns(link)
    with maps_host.inside():
        assert there == netns_inode()
    assert there != netns_inode()


def test_an_unknown_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpfsys, "_BPF", None)
    with pytest.raises(OSError, match=f"on {platform.machine()} is not known to Icelane"):
        bpfsys.program_by_id(1)
