"""Compile the program: a process that does this and ends. The only module that imports bcc.

Compiling takes 200 MB of memory that BCC never gives back, so nothing else runs in that process.
It writes the object to its standard output, or says on its standard error why it cannot.
"""

import sys
from collections.abc import Iterator
from typing import Any

from relay.dataplane.kernel import bpfload, bpfsys, headers
from relay.dataplane.kernel.bpfobject import BpfObject, MapSpec, ProgramSpec, map_references
from relay.dataplane.kernel.sources import MAIN, current_key, source_directory
from relay.errors import DataplaneError

# The functions of the sources, and what the kernel is told that they are (linux/bpf.h).
PROGRAMS = {
    "relay": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "relay_triage": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "relay_request": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "relay_announced": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "relay_forward": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "ticks": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "pass_all": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "steer": (bpfload.PROG_TYPE_SK_LOOKUP, bpfsys.ATTACH_TYPE_SK_LOOKUP),
    "count_failed": (bpfload.PROG_TYPE_RAW_TRACEPOINT, 0),
    "count_dropped": (bpfload.PROG_TYPE_RAW_TRACEPOINT, 0),
    "relay_traced": (bpfload.PROG_TYPE_XDP, bpfsys.ATTACH_TYPE_XDP),
    "trace_flush": (bpfload.PROG_TYPE_RAW_TRACEPOINT, 0),
}


def build() -> BpfObject:
    """Compile the sources, which needs root, BCC and kernel headers.

    Raises:
        DataplaneError: That is not possible; the text says why and what to do.
    """
    try:
        from bcc import BPF, __version__, lib  # noqa: PLC0415  # to say in words that it is missing
    except (ImportError, OSError):  # its Python part, or its library
        raise DataplaneError(
            "BCC is missing. Install python3-bpfcc (apt-get install python3-bpfcc); a virtual "
            "environment must be of /usr/bin/python3, with --system-site-packages."
        ) from None
    version = headers.ensure()
    directory = source_directory()
    text = b"".join((directory / name).read_bytes() for name in MAIN)
    try:
        module = BPF(text=text, cflags=[f"-I{directory}"])
    except Exception as error:  # noqa: BLE001  # bcc raises nothing more precise
        raise DataplaneError(f"The BPF program does not compile ({error}).") from None
    maps = dict(_maps(lib, module.module))
    names = {fd: name for name, (fd, _) in maps.items()}
    types = {info.btf_id for _, info in maps.values()} - {0}
    return BpfObject(
        key=current_key(),
        built_with=f"BCC {__version__}, kernel headers {version}",
        types=bpfsys.btf_data(types.pop()),
        maps={name: _map_spec(name, info) for name, (_, info) in maps.items()},
        programs={
            name: _program_spec(name, kinds, module.dump_func(name.encode()), names)
            for name, kinds in PROGRAMS.items()
        },
    )


def _maps(library: Any, module: Any) -> Iterator[tuple[str, tuple[int, bpfsys.MapInfo]]]:
    """The module's maps, with their descriptors."""
    for number in range(library.bpf_num_tables(module)):
        fd = library.bpf_table_fd_id(module, number)
        info = bpfsys.map_info(fd)
        yield info.name, (fd, info)


def _map_spec(name: str, info: bpfsys.MapInfo) -> MapSpec:
    return MapSpec(
        name,
        info.type,
        info.key_size,
        info.value_size,
        info.max_entries,
        info.flags,
        info.key_type_id,
        info.value_type_id,
    )


def _program_spec(
    name: str, kinds: tuple[int, int], instructions: bytes, names: dict[int, str]
) -> ProgramSpec:
    used = tuple((number, names[fd]) for number, fd in map_references(instructions))
    # The descriptors of this process mean nothing to others, and would make two builds differ.
    blank = ProgramSpec(name, *kinds, instructions, used)
    return ProgramSpec(name, *kinds, blank.linked(dict.fromkeys(names.values(), 0)), used)


def main() -> int:
    """Build, and print the object."""
    try:
        built = build()
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(built.dumps())
    return 0


if __name__ == "__main__":
    sys.exit(main())
