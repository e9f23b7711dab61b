"""Maps, programs and type information that are made by bpf(2) alone."""

import errno
import os
import struct
from contextlib import ExitStack

import pytest

from relay.dataplane.kernel import bpfattr, bpfload, bpfsys, objects
from relay.dataplane.kernel.bpfload import PROG_TYPE_XDP
from relay.dataplane.kernel.bpfsys import ATTACH_TYPE_XDP
from tests.lab.xdp_program import load_xdp

pytestmark = pytest.mark.bpf

_MOV, _EXIT, _JUMP, _CALL = 0xB7, 0x95, 0x05, 0x85  # of linux/bpf.h, with immediate values
TRACE_PRINTK = 6  # a helper that only programs under a compatible license may call


def instruction(code: int, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, 0, offset, immediate)


END = instruction(_MOV) + instruction(_EXIT)


def test_a_map_has_the_size_name_and_types_that_it_was_given() -> None:
    wanted = objects.find_or_build().object
    spec = wanted.maps["flow_records"]
    with ExitStack() as opened:
        types = bpfload.btf_load(wanted.types)
        opened.callback(os.close, types)
        fd = bpfload.map_create(
            spec.type,
            spec.key_size,
            spec.value_size,
            7,
            spec.flags,
            spec.name,
            (types, spec.key_type, spec.value_type),
        )
        opened.callback(os.close, fd)
        info = bpfsys.map_info(fd)
        assert (info.name, info.max_entries) == ("flow_records", 7)
        assert (info.key_size, info.value_size) == (spec.key_size, spec.value_size)
        assert bpfsys.btf_data(info.btf_id) == wanted.types
        assert (info.key_type_id, info.value_type_id) == (spec.key_type, spec.value_type)


def test_types_that_are_none_are_refused() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        bpfload.btf_load(bytes(24))


def test_a_refused_program_comes_with_the_verifiers_words() -> None:
    forever = instruction(_JUMP, offset=-1)
    with pytest.raises(OSError, match=r"; .*insn") as refused:
        bpfload.program_load(forever + END, PROG_TYPE_XDP, ATTACH_TYPE_XDP, name="forever")
    assert refused.value.errno == errno.EINVAL


def test_the_license_decides_which_helpers_a_program_may_call() -> None:
    code = instruction(_CALL, immediate=TRACE_PRINTK) + END  # without its arguments
    with pytest.raises(OSError, match="GPL-restricted"):
        bpfload.program_load(code, PROG_TYPE_XDP, ATTACH_TYPE_XDP, terms="Apache-2.0")
    with pytest.raises(OSError, match="R1 type") as allowed:
        bpfload.program_load(code, PROG_TYPE_XDP, ATTACH_TYPE_XDP, terms="GPL")
    assert "GPL" not in str(allowed.value)


def test_a_program_without_maps_and_helpers_is_no_matter_of_license() -> None:
    fd = load_xdp(END)
    assert bpfsys.program_info(fd).id > 0
    os.close(fd)


def test_a_signal_amid_verification_has_it_begin_again_without_a_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a log the same takes seven times as long."""
    logged = []

    def interrupted(command: bpfsys.Command, load: bpfattr.ProgramLoad) -> int:
        logged.append(load.log_level)
        if len(logged) < 3:
            raise BlockingIOError(errno.EAGAIN, "as the verifier says")
        return call(command, load)

    call = bpfsys.bpf
    monkeypatch.setattr(bpfsys, "bpf", interrupted)
    os.close(bpfload.program_load(END, PROG_TYPE_XDP, ATTACH_TYPE_XDP))
    assert logged == [0, 0, 0]
