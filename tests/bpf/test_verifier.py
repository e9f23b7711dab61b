"""What the kernel's verifier has to read, which is most of the time that loading takes."""

import ctypes
import os
import re
from contextlib import ExitStack

import pytest

from relay.dataplane.kernel import bpfattr, bpfload, bpfsys, objects

pytestmark = pytest.mark.bpf

STATISTICS = 4  # BPF_LOG_STATS of linux/bpf_verifier.h
NEWEST = 6, 18  # older verifiers see fewer ways as the same, and read more
# Instructions: 97,000 on Linux 6.18. A branch for each word once made 93,000 of 55,000.
MOST = 100_000


def read_by_verifier(name: str) -> int:
    """How many instructions the verifier reads of a program, on all ways through it."""
    found = objects.find_or_build().object
    spec = found.programs[name]
    with ExitStack() as opened:
        maps = {}
        for each in found.maps.values():
            shape = each.key_size, each.value_size, each.max_entries, each.flags
            maps[each.name] = bpfload.map_create(each.type, *shape, each.name)
            opened.callback(os.close, maps[each.name])
        code, terms = ctypes.create_string_buffer(spec.linked(maps)), ctypes.c_char_p(b"GPL")
        log = ctypes.create_string_buffer(1 << 16)
        load = bpfattr.ProgramLoad(
            prog_type=spec.type,
            insn_cnt=len(spec.instructions) // 8,
            insns=ctypes.addressof(code),
            license=ctypes.cast(terms, ctypes.c_void_p).value,
            expected_attach_type=spec.attach_type,
            log_level=STATISTICS,
            log_size=len(log),
            log_buf=ctypes.addressof(log),
        )
        opened.callback(os.close, bpfsys.bpf(bpfsys.Command.PROG_LOAD, load))
    words = re.search(rb"processed (\d+) insns", log.value)
    assert words, log.value
    return int(words[1])


def test_no_way_through_the_program_is_followed_for_each_word_of_a_ufrag() -> None:
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    if release < NEWEST:
        pytest.skip("an older verifier")
    assert read_by_verifier("relay_request") < MOST
