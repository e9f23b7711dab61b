"""The bpf(2) system call: pinned maps, links, programs, by file descriptor.

Errors come out as OSError with the kernel's errno, and callers say what they mean.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from relay.dataplane.kernel import bpfattr
from relay.linux import NETNS

_SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_BPF = _SYSCALL_NUMBERS.get(platform.machine())
_libc = ctypes.CDLL(None, use_errno=True)


class Command(IntEnum):
    """The commands in use (enum bpf_cmd)."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_TEST_RUN = 10
    PROG_GET_FD_BY_ID = 13
    OBJ_GET_INFO_BY_FD = 15
    RAW_TRACEPOINT_OPEN = 17
    BTF_LOAD = 18
    BTF_GET_FD_BY_ID = 19
    MAP_LOOKUP_AND_DELETE_ELEM = 21
    MAP_LOOKUP_BATCH = 24
    LINK_CREATE = 28
    LINK_UPDATE = 29
    LINK_DETACH = 34


class MapType(IntEnum):
    """The kinds of map in use (enum bpf_map_type)."""

    HASH = 1
    ARRAY = 2
    PERCPU_ARRAY = 6
    ARRAY_OF_MAPS = 12


MMAPABLE = 1 << 10  # BPF_F_MMAPABLE
_BPF_F_REPLACE, _BPF_F_TEST_RUN_ON_CPU = 1 << 2, 1 << 0
ATTACH_TYPE_XDP, ATTACH_TYPE_SK_LOOKUP = 37, 36  # enum bpf_attach_type
XDP_FLAGS_SKB_MODE = 1 << 1  # linux/if_link.h: generic mode
XDP_FLAGS_DRV_MODE = 1 << 2  # native mode


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel says about a map; sizes in bytes, ids of types in the BTF `btf_id`."""

    type: int
    id: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    name: str
    btf_id: int
    key_type_id: int
    value_type_id: int


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says about a program; its tag is a hash of its instructions."""

    id: int
    tag: str
    jited_size: int
    translated_size: int


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """What the kernel says about an XDP link; `ifindex` 0 means that its interface has gone."""

    id: int
    program_id: int
    ifindex: int


def bpf(command: Command, attributes: ctypes.Structure) -> int:
    """Make the call.

    Raises:
        OSError: The kernel refused, or this processor is unknown here.
    """
    if _BPF is None:
        raise OSError(errno.ENOSYS, f"bpf(2) on {platform.machine()} is not known to Icelane")
    size = ctypes.sizeof(attributes)
    result = _libc.syscall(_BPF, int(command), ctypes.byref(attributes), size)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def obj_get(path: str | os.PathLike[str]) -> int:
    """Open what is pinned at a path; the caller closes the descriptor."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(Command.OBJ_GET, bpfattr.Object(pathname=ctypes.addressof(name)))


@contextmanager
def pinned(path: str | os.PathLike[str]) -> Iterator[int]:
    """Have what is pinned at a path open for a while."""
    fd = obj_get(path)
    try:
        yield fd
    finally:
        os.close(fd)


def obj_pin(fd: int, path: str | os.PathLike[str]) -> None:
    """Pin a map, program or link, so that it outlives its descriptors."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    bpf(Command.OBJ_PIN, bpfattr.Object(pathname=ctypes.addressof(name), fd=fd))


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """A value, or None. `value_size` is that of all processors' values for per-CPU maps."""
    value = ctypes.create_string_buffer(value_size)
    try:
        bpf(Command.MAP_LOOKUP_ELEM, _element(fd, key, value))
    except FileNotFoundError:
        return None
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Set a value; E2BIG when the map is full."""
    buffer = ctypes.create_string_buffer(value, len(value))
    bpf(Command.MAP_UPDATE_ELEM, _element(fd, key, buffer))


def map_delete(fd: int, key: bytes) -> bool:
    """Delete an entry; says whether it was there."""
    try:
        bpf(Command.MAP_DELETE_ELEM, _element(fd, key, None))
    except FileNotFoundError:
        return False
    return True


def queue_pop(fd: int, value_size: int) -> bytes | None:
    """Take the first value out of a queue, or None when it is empty."""
    value = ctypes.create_string_buffer(value_size)
    try:
        bpf(Command.MAP_LOOKUP_AND_DELETE_ELEM, _element(fd, None, value))
    except FileNotFoundError:
        return None
    return value.raw


class BatchReader:
    """Reads a hash map in large batches.

    Args:
        fd: The map.
        key_size: Bytes of a key.
        value_size: Bytes of a value.
        count: How many entries to ask for at a time. The kernel never splits a hash bucket, and
            this must be more than the longest one has.
    """

    def __init__(self, fd: int, key_size: int, value_size: int, count: int) -> None:
        self._fd = fd
        self._sizes = key_size, value_size
        self._count = count
        self._keys = ctypes.create_string_buffer(key_size * count)
        self._values = ctypes.create_string_buffer(value_size * count)
        # A token of the kernel's for where to go on: the size of a key or 4 bytes, if more.
        self._token = ctypes.create_string_buffer(max(key_size, 4))
        self._started = self._ended = False

    def read(self) -> list[tuple[bytes, bytes]]:
        """The next entries, as keys with values; an empty list at the end."""
        count, keys, values = self.read_raw()
        k, v = self._sizes
        return [(keys[i * k : i * k + k], values[i * v : i * v + v]) for i in range(count)]

    def read_raw(self) -> tuple[int, bytes, bytes]:
        """How many entries come next, their keys and their values; none at the end."""
        if self._ended:
            return 0, b"", b""
        attributes = bpfattr.Batch(
            in_batch=ctypes.addressof(self._token) if self._started else 0,
            out_batch=ctypes.addressof(self._token),
            keys=ctypes.addressof(self._keys),
            values=ctypes.addressof(self._values),
            count=self._count,
            map_fd=self._fd,
        )
        try:
            bpf(Command.MAP_LOOKUP_BATCH, attributes)
        except FileNotFoundError:
            self._ended = True  # `count` entries came along with the news that there is no more
        self._started = True
        count, (k, v) = attributes.count, self._sizes
        return count, self._keys.raw[: count * k], self._values.raw[: count * v]


def map_info(fd: int) -> MapInfo:
    """What the kernel says about a map."""
    info = bpfattr.MapInfo()
    _get_info(fd, info)
    return MapInfo(
        type=info.type,
        id=info.id,
        key_size=info.key_size,
        value_size=info.value_size,
        max_entries=info.max_entries,
        flags=info.map_flags,
        name=info.name.decode(),
        btf_id=info.btf_id,
        key_type_id=info.btf_key_type_id,
        value_type_id=info.btf_value_type_id,
    )


def program_info(fd: int) -> ProgramInfo:
    """What the kernel says about a program."""
    info = bpfattr.ProgramInfo()
    _get_info(fd, info)
    return ProgramInfo(info.id, bytes(info.tag).hex(), info.jited_prog_len, info.xlated_prog_len)


def program_name(fd: int) -> str:
    """What a program was called when it was loaded."""
    info = bpfattr.ProgramInfo()
    _get_info(fd, info)
    return str(info.name.decode())


def program_maps(fd: int) -> list[int]:
    """The kernel's numbers of the maps that a program uses, in ascending order."""
    info = bpfattr.ProgramInfo()
    _get_info(fd, info)
    numbers = (ctypes.c_uint32 * info.nr_map_ids)()
    asked = bpfattr.ProgramInfo(nr_map_ids=len(numbers), map_ids=ctypes.addressof(numbers))
    _get_info(fd, asked)
    return sorted(numbers)


def program_by_id(number: int) -> int:
    """Open a program by the kernel's number of it; the caller closes the descriptor."""
    return bpf(Command.PROG_GET_FD_BY_ID, bpfattr.Id(id=number))


def link_info(fd: int) -> LinkInfo:
    """What the kernel says about an XDP link."""
    info = bpfattr.XdpLinkInfo()
    _get_info(fd, info)
    return LinkInfo(info.id, info.prog_id, info.ifindex)


def link_netns(fd: int) -> int:
    """The inode number of a link's network namespace; 0 when that has gone."""
    info = bpfattr.NetnsLinkInfo()
    _get_info(fd, info)
    return int(info.netns_ino)


def btf_by_id(btf_id: int) -> int:
    """Open type information by the kernel's number of it; the caller closes the descriptor."""
    return bpf(Command.BTF_GET_FD_BY_ID, bpfattr.Id(id=btf_id))


def btf_read(fd: int) -> bytes:
    """Type information, in the format of Documentation/bpf/btf.rst."""
    info = bpfattr.BtfInfo()
    _get_info(fd, info)
    data = ctypes.create_string_buffer(info.size)
    _get_info(fd, bpfattr.BtfInfo(btf=ctypes.addressof(data), size=info.size))
    return data.raw


def btf_data(btf_id: int) -> bytes:
    """The type information with an id; see `btf_read`."""
    fd = btf_by_id(btf_id)
    try:
        return btf_read(fd)
    finally:
        os.close(fd)


def link_create_xdp(program_fd: int, ifindex: int, flags: int) -> int:
    """Attach a program to an interface; the link's descriptor, to be pinned and closed."""
    attributes = bpfattr.LinkCreate(program_fd, ifindex, ATTACH_TYPE_XDP, flags)
    return bpf(Command.LINK_CREATE, attributes)


def link_create_netns(program_fd: int, attach_type: int) -> int:
    """Attach a program to the calling thread's network namespace; the link's descriptor."""
    namespace = os.open(NETNS, os.O_RDONLY)
    try:
        attributes = bpfattr.LinkCreate(program_fd, namespace, attach_type, 0)
        return bpf(Command.LINK_CREATE, attributes)
    finally:
        os.close(namespace)


def link_create_tracepoint(program_fd: int, name: str) -> int:
    """Run a program at one of the kernel's raw tracepoints; the link's descriptor."""
    text = ctypes.create_string_buffer(name.encode())
    attributes = bpfattr.RawTracepoint(name=ctypes.addressof(text), prog_fd=program_fd)
    return bpf(Command.RAW_TRACEPOINT_OPEN, attributes)


def link_update(link_fd: int, program_fd: int, old_program_fd: int | None = None) -> None:
    """Replace a link's program in one step; no packet meets none or both.

    With an old program it is replaced only if it is that one; else this is a PermissionError.
    """
    old = (0, 0) if old_program_fd is None else (_BPF_F_REPLACE, old_program_fd)
    bpf(Command.LINK_UPDATE, bpfattr.LinkUpdate(link_fd, program_fd, *old))


def link_detach(fd: int) -> None:
    """Detach a link's program at once; closing the link would do so a moment later."""
    bpf(Command.LINK_DETACH, bpfattr.LinkDetach(fd))


def run_on(program_fd: int, cpu: int) -> None:
    """Run a program for a raw tracepoint once, on a processor; ENXIO when that is not online."""
    run = bpfattr.ProgramRun(prog_fd=program_fd, flags=_BPF_F_TEST_RUN_ON_CPU, cpu=cpu)
    bpf(Command.PROG_TEST_RUN, run)


def possible_cpus() -> int:
    """How many values an entry of a per-CPU map has."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:  # noqa: PTH123  # sysfs
        last = file.read().strip().rpartition(",")[2].rpartition("-")[2]
    return int(last) + 1


def _element(
    fd: int, key: bytes | None, value: ctypes.Array[ctypes.c_char] | None
) -> ctypes.Structure:
    """The attributes of an element command; they live as long as the buffers they point to."""
    attributes = bpfattr.Element(map_fd=fd)
    if key is not None:
        buffer = ctypes.create_string_buffer(key, len(key))
        attributes.key = ctypes.addressof(buffer)
        attributes.key_buffer = buffer
    if value is not None:
        attributes.value = ctypes.addressof(value)
    return attributes


def _get_info(fd: int, info: ctypes.Structure) -> None:
    attributes = bpfattr.Info(fd=fd, length=ctypes.sizeof(info), info=ctypes.addressof(info))
    bpf(Command.OBJ_GET_INFO_BY_FD, attributes)
