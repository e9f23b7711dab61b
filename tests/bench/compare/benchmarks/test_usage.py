"""CPU time and memory of processes, and memory of the kernel's objects."""

import os
import time

import pytest

from tests.bench.compare.benchmarks.usage import cpu_seconds, process_bytes, shares, slab_bytes

SLABS = """\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>
UDP                   62    108   1344   12    4 : tunables    0    0    0
nf_conntrack         100    208    256   16    1 : tunables    0    0    0
kmalloc-128           10     32    128   16    4 : tunables    0    0    0
UDPLITE                5      5   1344   12    4 : tunables    0    0    0
dentry            505344 505344    192   21    1 : tunables    0    0    0
"""


def test_objects_in_use_of_flows_are_counted() -> None:
    assert slab_bytes(SLABS) == 62 * 1344 + 100 * 256 + 10 * 128


def test_memory_of_a_process_is_what_it_has_for_itself_at_least() -> None:
    ballast = bytearray(os.urandom(30_000_000))
    assert len(ballast) < process_bytes(os.getpid()) < 100 * len(ballast)
    with pytest.raises(ProcessLookupError):
        process_bytes(0)


def test_processor_time_is_that_of_the_process() -> None:
    begun = time.process_time()
    while time.process_time() < begun + 0.05:
        pass
    assert cpu_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=0.5)
    assert shares({"a": 1.0}, {"a": 1.5}, seconds=2) == {"a": 25}
