"""Making maps and loading programs and type information, by bpf(2).

Errors come out as OSError with the kernel's errno, and callers say what they mean.
"""

import ctypes
from contextlib import suppress

from relay.dataplane.kernel import bpfattr, bpfsys

# enum bpf_prog_type
PROG_TYPE_XDP, PROG_TYPE_RAW_TRACEPOINT, PROG_TYPE_SK_LOOKUP = 6, 17, 30
_XDP_HAS_FRAGS = 1 << 5  # BPF_F_XDP_HAS_FRAGS of linux/bpf.h, Linux 5.18
_LOG_SIZE = 1 << 20  # bytes of the verifier's words
_ATTEMPTS = 10  # to have a program verified without a signal in the midst of it


def btf_load(data: bytes) -> int:
    """Give the kernel type information; a descriptor of it."""
    buffer = ctypes.create_string_buffer(data, len(data))
    load = bpfattr.BtfLoad(btf=ctypes.addressof(buffer), btf_size=len(data))
    return bpfsys.bpf(bpfsys.Command.BTF_LOAD, load)


def map_create(  # noqa: PLR0917  # in the kernel's order
    kind: int,
    key_size: int,
    value_size: int,
    max_entries: int,
    flags: int,
    name: str,
    types: tuple[int, int, int] = (0, 0, 0),
    inner: int = 0,
) -> int:
    """Make a map.

    Args:
        kind: Of enum bpf_map_type.
        key_size: Bytes.
        value_size: Bytes.
        max_entries: For how many entries there is room.
        flags: BPF_F_* of linux/bpf.h.
        name: At most 15 characters.
        types: A descriptor of type information, and the numbers of key and value in it.
        inner: A descriptor of a map such as those that a map of maps is to hold.

    Returns:
        A descriptor of the map.
    """
    btf_fd, key_type, value_type = types
    create = bpfattr.MapCreate(
        map_type=kind,
        key_size=key_size,
        value_size=value_size,
        max_entries=max_entries,
        map_flags=flags,
        inner_map_fd=inner,
        map_name=name.encode(),
        btf_fd=btf_fd,
        btf_key_type_id=key_type,
        btf_value_type_id=value_type,
    )
    return bpfsys.bpf(bpfsys.Command.MAP_CREATE, create)


def program_load(
    instructions: bytes, kind: int, attach_type: int, *, name: str = "", terms: str = "GPL"
) -> int:
    """Load a program; one for XDP also takes the first buffer of frames that need several.

    Without that, drivers refuse it in native mode where the MTU is larger than a page.

    Args:
        instructions: An array of struct bpf_insn.
        kind: Of enum bpf_prog_type.
        attach_type: Of enum bpf_attach_type.
        name: At most 15 characters.
        terms: Its license: some helpers are for compatible ones only.

    Returns:
        A descriptor of the program.

    Raises:
        OSError: The kernel refuses it; its text ends with the verifier's last words.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_text = ctypes.create_string_buffer(terms.encode())
    load = bpfattr.ProgramLoad(
        prog_type=kind,
        insn_cnt=len(instructions) // 8,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(license_text),
        prog_flags=_XDP_HAS_FRAGS if kind == PROG_TYPE_XDP else 0,
        prog_name=name.encode(),
        expected_attach_type=attach_type,
    )
    try:
        return _verified(load)
    except OSError as error:
        # Once more, with a log: the kernel would spend time on it for a program that is fine.
        log = ctypes.create_string_buffer(_LOG_SIZE)
        load.log_level, load.log_size, load.log_buf = 1, _LOG_SIZE, ctypes.addressof(log)
        try:
            return bpfsys.bpf(bpfsys.Command.PROG_LOAD, load)
        except OSError:
            words = log.value.decode(errors="replace").strip().splitlines()[-3:]
            text = "; ".join(filter(None, [error.strerror, *words]))
            raise OSError(error.errno, text) from None


def _verified(load: bpfattr.ProgramLoad) -> int:
    """Load a program; again where a signal to this process has made the verifier give up."""
    for _ in range(_ATTEMPTS):
        with suppress(BlockingIOError):  # EAGAIN
            return bpfsys.bpf(bpfsys.Command.PROG_LOAD, load)
    return bpfsys.bpf(bpfsys.Command.PROG_LOAD, load)
