"""What compiling gives."""

import pytest

from relay.dataplane.kernel import bpfload, losses, objects, traces
from relay.dataplane.kernel.btf import Btf
from relay.dataplane.kernel.maps import TRACE_MAPS
from relay.dataplane.kernel.sources import current_key

pytestmark = pytest.mark.bpf


def test_it_has_all_programs_and_maps_and_the_layouts_of_their_entries() -> None:
    built = objects.build().object  # in a process of its own: it may change its mounts
    assert built.key == current_key()
    tails = {"relay_triage", "relay_request", "relay_forward", "relay_announced"}
    own = {"relay", "pass_all", "steer", "ticks", *losses.TRACEPOINTS, *traces.PROGRAMS}
    assert set(built.programs) == own | tails
    assert built.programs["steer"].type == bpfload.PROG_TYPE_SK_LOOKUP
    used = {name for program in built.programs.values() for _, name in program.maps}
    assert set(built.maps) == used | {"build"}
    value = Btf(built.types).layout(built.maps["transceivers"].value_type)
    assert [leaf.path for leaf in value.leaves] == ["addr.word", "port", "pad"]
    assert "kernel headers" in built.built_with


def test_what_forwards_knows_nothing_of_traces() -> None:
    """So following a client costs nothing while nobody does."""
    built = objects.find_or_build().object
    knowing = {
        name
        for name, program in built.programs.items()
        if {used for _, used in program.maps} & set(TRACE_MAPS)
    }
    assert knowing == set(traces.PROGRAMS)
