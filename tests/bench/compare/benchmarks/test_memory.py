"""Memory of a flow, in processes and in the kernel."""

import os

import pytest

from tests.bench.compare.benchmarks.memory import Memory
from tests.bench.compare.calls.usage import process_bytes, slab_bytes
from tests.bench.compare.systems.all import ALL

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


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("icelane xdp", 2 * 64),  # two entries of a map, each with key, value and a link
        ("C relay", 1000),  # a socket
    ],
)
def test_a_flow_takes_what_it_is_known_to_consist_of(name: str, least: int) -> None:
    (contestant,) = (each for each in ALL if each.name == name)
    question = Memory(contestant, flows=3000)
    if reason := question.missing():
        pytest.skip(reason)
    figures = {each.metric: each.value for each in question.ask()}
    assert figures["kernel_bytes"] > least
    assert figures["base_mb"] > 0
